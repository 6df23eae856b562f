//! The adapter's store, with a note of each session that it opens.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use registry_core::store::{Capabilities, Found, OpenRequest, Record, Session, SessionId, Store, StoreError, View};
use registry_core::{Info, InvalidField, ServiceName};
use registry_etcd::Client;

/// The sessions of one handle, the present one last.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(Arc<Mutex<Vec<SessionId>>>);

impl Sessions {
    pub(super) fn last(&self) -> Option<SessionId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last().copied()
    }

    fn add(&self, session: SessionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }
}

/// Passes everything on. etcd does not tell which client a lease belongs to; the session's id does.
pub(super) struct Spy {
    pub(super) client: Client,
    pub(super) sessions: Sessions,
}

#[async_trait]
impl Store for Spy {
    fn capabilities(&self) -> Capabilities {
        self.client.capabilities()
    }

    fn check_service(&self, service: &ServiceName) -> Result<(), InvalidField> {
        self.client.check_service(service)
    }

    fn encode(&self, info: &Info) -> Result<Record, InvalidField> {
        self.client.encode(info)
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        let session = self.client.open(request).await?;
        self.sessions.add(session.id());
        Ok(session)
    }

    async fn list(&self, service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        self.client.list(service).await
    }

    async fn view(&self, service: &ServiceName, attempt: u32) -> Result<Box<dyn View>, StoreError> {
        self.client.view(service, attempt).await
    }
}
