//! What the check has registered and not withdrawn yet, so that it can clean up on any store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use registry_conformance::HandleId;
use registry_connect::Handle;
use registry_core::{
    Error, HandleStatus, Info, NotServing, RegistrationStatus, Registry, Resolver, ServiceName, Snapshot, Watch,
};
use tokio::sync::watch;

/// What stands, or may stand, of each namespace that was opened.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<String, Vec<(HandleId, Info)>>>);

impl Ledger {
    /// What may stand in a namespace, each identity once. `None` when it was never opened, or is clean.
    pub(crate) fn of(&self, namespace: &str) -> Option<Vec<Info>> {
        let mut left: Vec<Info> = Vec::new();
        for (_, info) in self.lock().get(namespace)? {
            if !left.iter().any(|other| is_same(other, info)) {
                left.push(info.clone());
            }
        }
        Some(left)
    }

    /// The namespaces that are not clean.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// A namespace is in use.
    pub(crate) fn open(&self, namespace: &str) {
        self.lock().entry(namespace.to_owned()).or_default();
    }

    /// Nothing of a namespace stands any more.
    pub(crate) fn clean(&self, namespace: &str) {
        self.lock().remove(namespace);
    }

    fn change(&self, namespace: &str, change: impl FnOnce(&mut Vec<(HandleId, Info)>)) {
        change(self.lock().entry(namespace.to_owned()).or_default());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<(HandleId, Info)>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle whose registrations are in the ledger from before they are sent until they are withdrawn for sure.
pub(crate) struct Recorded {
    pub(crate) inner: Handle,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) namespace: String,
    pub(crate) handle: HandleId,
}

impl Recorded {
    fn wanted(&self, info: &Info) {
        self.ledger.change(&self.namespace, |left| left.push((self.handle, info.clone())));
    }

    fn withdrawn(&self, is_withdrawn: impl Fn(&Info) -> bool) {
        let stays = |(handle, info): &(HandleId, Info)| *handle != self.handle || !is_withdrawn(info);
        self.ledger.change(&self.namespace, |left| left.retain(stays));
    }
}

#[async_trait]
impl Registry for Recorded {
    async fn register(&self, info: &Info) -> Result<(), Error> {
        self.wanted(info);
        self.inner.register(info).await
    }

    async fn deregister(&self, info: &Info) -> Result<(), Error> {
        self.inner.deregister(info).await?;
        self.withdrawn(|other| is_same(other, info));
        Ok(())
    }

    fn announce(&self, info: &Info) -> Result<(), Error> {
        self.wanted(info);
        self.inner.announce(info)
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await?;
        self.withdrawn(|_| true);
        Ok(())
    }

    fn status(&self) -> watch::Receiver<HandleStatus> {
        self.inner.status()
    }

    fn registration(&self, info: &Info) -> Option<watch::Receiver<RegistrationStatus>> {
        self.inner.registration(info)
    }

    fn registrations(&self) -> Vec<RegistrationStatus> {
        self.inner.registrations()
    }

    fn store_endpoints(&self) -> Vec<String> {
        self.inner.store_endpoints()
    }

    fn is_ready(&self) -> Result<(), NotServing> {
        self.inner.is_ready()
    }
}

#[async_trait]
impl Resolver for Recorded {
    async fn resolve(&self, service: &ServiceName) -> Result<Snapshot, Error> {
        self.inner.resolve(service).await
    }

    fn watch(&self, service: &ServiceName) -> Result<Watch, Error> {
        self.inner.watch(service)
    }
}

fn is_same(one: &Info, other: &Info) -> bool {
    one.service() == other.service() && one.address() == other.address()
}
