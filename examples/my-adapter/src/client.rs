//! One client of the folder: core's [`Store`].

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use my_store::Folder;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use registry_core::store::{
    Capabilities, Found, JsonRecord, Key, Malformed, OpenRequest, Record, Session, SessionId, Store, StoreError, View,
};
use registry_core::{Info, InvalidField, ServiceName};

use crate::session::FolderSession;
use crate::view::FolderView;

/// A client of one shared folder.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) folder: Folder,
}

/// What a list found, and how long the first of it has left unless it is renewed.
pub(crate) struct Listed {
    pub(crate) found: Vec<Found>,
    pub(crate) left: Option<Duration>,
}

impl Client {
    /// A client of the folder at `path`. Nothing is touched before the first operation.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { folder: Folder::new(path) }
    }

    pub(crate) async fn read(&self, service: &ServiceName) -> io::Result<Listed> {
        let locked = self.folder.lock().await?;
        let mut listed = Listed { found: Vec::new(), left: None };
        for key in locked.keys(&escaped(service.as_str()))? {
            let Some(entry) = locked.entry(&key)? else { continue };
            listed.left = [listed.left, entry.left].into_iter().flatten().min();
            let key = Key::new(key);
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
        // A lease is counted in milliseconds.
        let ttl = request.ttl.max(Duration::from_millis(1));
        let id = SessionId(fastrand::u64(..));
        let locked = self.folder.lock().await?;
        locked.sweep(None)?;
        locked.extend(id.0, ttl)?;
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

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

fn key_of(service: &ServiceName, address: &str) -> Key {
    Key::new(format!("{}/{}", escaped(service.as_str()), escaped(address)))
}

fn fits(field: &'static str, text: &str) -> Result<(), InvalidField> {
    let size = escaped(text).len();
    if size <= MAX_FILE_NAME {
        return Ok(());
    }
    let why = format!("has {size} bytes when all but letters and digits is escaped");
    Err(InvalidField::new(field, why).with_limit(format!("at most {MAX_FILE_NAME} bytes")))
}
