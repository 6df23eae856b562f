//! One client of the table: core's [`Store`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use my_store::Table;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use registry_core::store::{
    Capabilities, Found, JsonRecord, Key, OpenRequest, PollView, Record, Renewal, Session, SessionId, Store,
    StoreError, View,
};
use registry_core::{Info, InvalidField, ServiceName};

use crate::session::TableSession;

/// How often a view reads the table.
const POLL: Duration = Duration::from_millis(200);

/// A client of one table.
#[derive(Clone, Debug)]
pub struct Client {
    table: Table,
}

impl Client {
    /// A client of the table in `folder`. Nothing is touched before the first operation.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { table: Table::new(folder) }
    }
}

#[async_trait]
impl Store for Client {
    /// Every change holds the lock and is one rename, so that all promises can be offered; but nobody is told, and nothing but an entry is alive.
    fn capabilities(&self) -> Capabilities {
        Capabilities { renewal: Renewal::Entry, end_withdraws: false, ..Capabilities::default() }
    }

    fn encode(&self, info: &Info) -> Result<Record, InvalidField> {
        let key = prefix(info.service()) + &escaped(info.address().as_str());
        Record::fitting(Key::new(key), JsonRecord::encode(info), info)
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        // Nothing is opened; but an owner is told at once of a table that cannot be read.
        drop(self.table.rows().await?);
        let id = SessionId(fastrand::u64(..));
        Ok(Arc::new(TableSession { table: self.table.clone(), id, owner: request.owner, ttl: request.ttl }))
    }

    async fn list(&self, service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        let prefix = prefix(service);
        let rows = self.table.rows().await?.rows;
        let rows = rows.into_iter().filter(|row| row.key.starts_with(&prefix));
        let found = rows.map(|row| match JsonRecord::decode(service, row.value.as_bytes()) {
            Ok(instance) => Found::new(Key::new(row.key), instance, 0),
            Err(why) => Found::malformed(Key::new(row.key), why),
        });
        Ok(found.collect())
    }

    async fn view(&self, service: &ServiceName, _attempt: u32) -> Result<Box<dyn View>, StoreError> {
        let (client, service) = (self.clone(), service.clone());
        let list = move || {
            let (client, service) = (client.clone(), service.clone());
            async move { client.list(&service).await }
        };
        Ok(Box::new(PollView::new(POLL, list)))
    }
}

/// All but letters and digits is escaped: no name contains a `/`, a tab or a line feed (clause X3).
fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn prefix(service: &ServiceName) -> String {
    escaped(service.as_str()) + "/"
}
