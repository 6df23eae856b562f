//! An adapter's store, with a note of each session that it opens.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use registry_core::store::{
    Capabilities, Found, OpenRequest, OwnerToken, Record, Session, SessionId, Store, StoreError, View,
};
use registry_core::{Info, InvalidField, ServiceName};

/// The sessions of one handle, the present one last.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(Arc<Mutex<Vec<(SessionId, OwnerToken)>>>);

impl Sessions {
    pub(super) fn last(&self) -> Option<SessionId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last().map(|(session, _)| *session)
    }

    /// Whether this is one of them.
    pub(super) fn has(&self, session: SessionId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|(known, _)| *known == session)
    }

    /// Who opened them.
    pub(super) fn owner(&self) -> Option<OwnerToken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last().map(|(_, owner)| owner.clone())
    }

    fn add(&self, session: SessionId, owner: OwnerToken) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((session, owner));
    }
}

/// Passes everything on. A server does not tell which client a session belongs to; the session's id does.
pub(super) struct Spy<S> {
    pub(super) store: S,
    pub(super) sessions: Sessions,
}

#[async_trait]
impl<S: Store> Store for Spy<S> {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn check_service(&self, service: &ServiceName) -> Result<(), InvalidField> {
        self.store.check_service(service)
    }

    fn encode(&self, info: &Info) -> Result<Record, InvalidField> {
        self.store.encode(info)
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        let owner = request.owner.clone();
        let session = self.store.open(request).await?;
        self.sessions.add(session.id(), owner);
        Ok(session)
    }

    async fn list(&self, service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        self.store.list(service).await
    }

    async fn view(&self, service: &ServiceName, attempt: u32) -> Result<Box<dyn View>, StoreError> {
        self.store.view(service, attempt).await
    }

    fn endpoints(&self) -> Vec<String> {
        self.store.endpoints()
    }

    fn close(&self) {
        self.store.close();
    }
}
