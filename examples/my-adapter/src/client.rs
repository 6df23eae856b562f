//! One client of the folder: core's [`Store`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use registry_core::store::{
    Capabilities, Found, JsonRecord, Key, Malformed, OpenRequest, Record, Session, SessionId, Store, StoreError, View,
};
use registry_core::{Info, InvalidField, ServiceName};

use crate::folder::{Folder, Trouble};
use crate::session::FolderSession;
use crate::view::FolderView;

/// A client of one shared folder.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) folder: Folder,
}

/// What a list found, and when the first of it dies unless it is renewed.
pub(crate) struct Listed {
    pub(crate) found: Vec<Found>,
    pub(crate) until: Option<SystemTime>,
}

impl Client {
    /// A client of the folder at `path`. Nothing is touched before the first operation.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { folder: Folder::new(path.into()) }
    }

    pub(crate) async fn read(&self, service: &ServiceName) -> Result<Listed, Trouble> {
        let locked = self.folder.lock().await?;
        let mut listed = Listed { found: Vec::new(), until: None };
        for key in locked.keys(&services(service))? {
            let Some(entry) = locked.entry(&key)? else { continue };
            listed.until = [listed.until, entry.until].into_iter().flatten().min();
            listed.found.push(match JsonRecord::decode(service, &entry.value) {
                Ok(instance) if key_of(service, instance.address().as_str()) == key => Found::new(key, instance, 0),
                Ok(_) => Found::malformed(key, Malformed("its address is not that of its file".to_owned())),
                Err(why) => Found::malformed(key, why),
            });
        }
        Ok(listed)
    }
}

#[async_trait]
impl Store for Client {
    /// Every step holds the lock and is one rename, so that all can be offered.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn check_service(&self, service: &ServiceName) -> Result<(), InvalidField> {
        fits("service", service.as_str())
    }

    fn encode(&self, info: &Info) -> Result<Record, InvalidField> {
        self.check_service(info.service())?;
        fits("address", info.address().as_str())?;
        Record::fitting(key_of(info.service(), info.address().as_str()), JsonRecord::encode(info), info)
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        // The granularity of a lease is the millisecond of its file.
        let ttl = request.ttl.max(Duration::from_millis(1));
        let id = SessionId(fastrand::u64(..));
        let locked = self.folder.lock().await?;
        locked.sweep(None)?;
        locked.extend(id, ttl)?;
        drop(locked);
        Ok(Arc::new(FolderSession { folder: self.folder.clone(), id, ttl }))
    }

    async fn list(&self, service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        Ok(self.read(service).await?.found)
    }

    async fn view(&self, service: &ServiceName, _attempt: u32) -> Result<Box<dyn View>, StoreError> {
        Ok(Box::new(FolderView::open(self.clone(), service.clone()).await?))
    }
}

/// All but letters, digits, `-` and `_` is escaped: no name is a path, and no two names are one (clause X3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
/// The longest file name of the usual file systems, in bytes.
const MAX_FILE_NAME: usize = 255;

fn services(service: &ServiceName) -> String {
    format!("services/{}", utf8_percent_encode(service.as_str(), ESCAPED))
}

fn key_of(service: &ServiceName, address: &str) -> Key {
    Key::new(format!("{}/{}", services(service), utf8_percent_encode(address, ESCAPED)))
}

fn fits(field: &'static str, text: &str) -> Result<(), InvalidField> {
    let size = utf8_percent_encode(text, ESCAPED).map(str::len).sum::<usize>();
    if size <= MAX_FILE_NAME {
        return Ok(());
    }
    let limit = format!("at most {MAX_FILE_NAME} bytes");
    Err(InvalidField::new(field, format!("has {size} bytes when all but letters and digits is escaped"))
        .with_limit(limit))
}
