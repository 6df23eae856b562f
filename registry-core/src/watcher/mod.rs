//! The watchers: one view per watched service and handle, kept going for ever.

use std::sync::Arc;

use crate::error::Error;
use crate::handle::HandleOptions;
use crate::name::ServiceName;
use crate::snapshot::Snapshot;
use crate::store::{Found, Store};
use crate::watch::Watch;

/// The watches of one handle.
#[derive(Debug)]
pub(crate) struct Watchers {}

impl Watchers {
    pub(crate) fn new(_store: Arc<dyn Store>, _options: &HandleOptions) -> Self {
        Self {}
    }

    pub(crate) fn watch(&self, service: &ServiceName) -> Result<Watch, Error> {
        Err(Error::closed("watch").about(service))
    }

    pub(crate) fn close(&self) {}

    pub(crate) fn is_closed(&self) -> bool {
        false
    }
}

/// What a full list says, without memory: decoded, healthy, one instance an identity.
pub(crate) fn snapshot_of(service: &ServiceName, _found: Vec<Found>) -> Snapshot {
    Snapshot::new(service.clone(), [])
}
