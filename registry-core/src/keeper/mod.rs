//! The keeper: holds what a handle wants registered, and makes the store say so.

use std::sync::Arc;

use tokio::sync::watch;

use crate::error::Error;
use crate::handle::HandleOptions;
use crate::info::Info;
use crate::status::{HandleStatus, RegistrationStatus};
use crate::store::Store;

#[derive(Debug)]
pub(crate) struct Keeper {
    status: watch::Receiver<HandleStatus>,
}

impl Keeper {
    pub(crate) fn spawn(_store: Arc<dyn Store>, _options: HandleOptions) -> Self {
        panic!("being written")
    }
    pub(crate) async fn connected(&self) -> Result<(), Error> {
        Ok(())
    }
    pub(crate) async fn register(&self, _info: &Info) -> Result<(), Error> {
        Ok(())
    }
    pub(crate) async fn deregister(&self, _info: &Info) -> Result<(), Error> {
        Ok(())
    }
    pub(crate) fn announce(&self, _info: &Info) -> Result<(), Error> {
        Ok(())
    }
    pub(crate) async fn close(&self) -> Result<(), Error> {
        Ok(())
    }
    pub(crate) fn status(&self) -> watch::Receiver<HandleStatus> {
        self.status.clone()
    }
    pub(crate) fn registration(&self, _info: &Info) -> Option<watch::Receiver<RegistrationStatus>> {
        None
    }
    pub(crate) fn registrations(&self) -> Vec<RegistrationStatus> {
        Vec::new()
    }
}
