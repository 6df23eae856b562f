//! How a mutant is made: everything goes to the correct adapter but what the mutant does differently.

use std::sync::Arc;

use async_trait::async_trait;
use registry_core::store::{
    Capabilities, Found, Key, Lineage, OpenRequest, Put, Record, Removed, Session, SessionError, SessionId, Signal,
    Standing, Store, StoreError, View, WriteError,
};
use registry_core::{
    Error, Handle, HandleStatus, Info, InvalidField, NotServing, RegistrationStatus, Registry, Resolver, ServiceName,
    Snapshot, Watch,
};
use registry_memory::Client;
use tokio::sync::watch;

/// The harness of a mutant behind the public traits: `handle!(make)`, where `make` turns a handle into a [`Twist`].
macro_rules! handle {
    ($make:expr) => {
        || {
            integration_tests::memory::MemoryHarness::new()
                .with_handle(|handle, _| Box::new($crate::twist::Twisted($make(handle))))
        }
    };
}

/// The harness of a mutant of the store operations: `store!(make)`, where `make` makes a [`StoreTwist`] for each handle.
macro_rules! store {
    ($make:expr) => {
        || {
            integration_tests::memory::MemoryHarness::new()
                .with_store(|client, _| $crate::twist::TwistedStore::wrap(client, $make))
        }
    };
}

/// As [`store!`], with only the first handle of a namespace broken.
macro_rules! store_of_the_first {
    ($make:expr) => {
        || {
            integration_tests::memory::MemoryHarness::new().with_store(|client, request| match request.handle.0 {
                0 => $crate::twist::TwistedStore::wrap(client, $make),
                _ => std::sync::Arc::new(client),
            })
        }
    };
}

pub(crate) use {handle, store, store_of_the_first};

/// A mutant of the public traits: [`Twisted`] of it is a registry and a resolver.
#[async_trait]
pub(crate) trait Twist: Send + Sync + 'static {
    fn inner(&self) -> &Handle;

    async fn register(&self, info: &Info) -> Result<(), Error> {
        self.inner().register(info).await
    }
    async fn deregister(&self, info: &Info) -> Result<(), Error> {
        self.inner().deregister(info).await
    }
    fn announce(&self, info: &Info) -> Result<(), Error> {
        self.inner().announce(info)
    }
    async fn close(&self) -> Result<(), Error> {
        self.inner().close().await
    }
    fn status(&self) -> watch::Receiver<HandleStatus> {
        self.inner().status()
    }
    fn registration(&self, info: &Info) -> Option<watch::Receiver<RegistrationStatus>> {
        self.inner().registration(info)
    }
    fn registrations(&self) -> Vec<RegistrationStatus> {
        self.inner().registrations()
    }
    fn is_ready(&self) -> Result<(), NotServing> {
        self.inner().is_ready()
    }
    async fn resolve(&self, service: &ServiceName) -> Result<Snapshot, Error> {
        self.inner().resolve(service).await
    }
    fn watch(&self, service: &ServiceName) -> Result<Watch, Error> {
        self.inner().watch(service)
    }
}

/// The registry that a [`Twist`] makes.
pub(crate) struct Twisted<T>(pub(crate) T);

#[async_trait]
impl<T: Twist> Registry for Twisted<T> {
    async fn register(&self, info: &Info) -> Result<(), Error> {
        self.0.register(info).await
    }
    async fn deregister(&self, info: &Info) -> Result<(), Error> {
        self.0.deregister(info).await
    }
    fn announce(&self, info: &Info) -> Result<(), Error> {
        self.0.announce(info)
    }
    async fn close(&self) -> Result<(), Error> {
        self.0.close().await
    }
    fn status(&self) -> watch::Receiver<HandleStatus> {
        self.0.status()
    }
    fn registration(&self, info: &Info) -> Option<watch::Receiver<RegistrationStatus>> {
        self.0.registration(info)
    }
    fn registrations(&self) -> Vec<RegistrationStatus> {
        self.0.registrations()
    }
    fn is_ready(&self) -> Result<(), NotServing> {
        self.0.is_ready()
    }
}

#[async_trait]
impl<T: Twist> Resolver for Twisted<T> {
    async fn resolve(&self, service: &ServiceName) -> Result<Snapshot, Error> {
        self.0.resolve(service).await
    }
    fn watch(&self, service: &ServiceName) -> Result<Watch, Error> {
        self.0.watch(service)
    }
}

/// A mutant of the store operations: [`TwistedStore`] of it is a store. One value serves one handle.
#[async_trait]
pub(crate) trait StoreTwist: Send + Sync + 'static {
    fn capabilities(&self, inner: &Client) -> Capabilities {
        inner.capabilities()
    }
    fn encode(&self, inner: &Client, info: &Info) -> Result<Record, InvalidField> {
        inner.encode(info)
    }
    async fn open(&self, inner: &Client, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        inner.open(request).await
    }
    async fn list(&self, inner: &Client, service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        inner.list(service).await
    }
    async fn view(&self, inner: &Client, service: &ServiceName, attempt: u32) -> Result<Box<dyn View>, StoreError> {
        inner.view(service, attempt).await
    }
    async fn put(&self, inner: &dyn Session, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        inner.put(batch, ours).await
    }
    async fn remove(&self, inner: &dyn Session, batch: &[Record], ours: &Lineage) -> Vec<Result<Removed, WriteError>> {
        inner.remove(batch, ours).await
    }
    async fn inspect(
        &self,
        inner: &dyn Session,
        records: &[Record],
        ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        inner.inspect(records, ours).await
    }
    async fn renew(&self, inner: &dyn Session, due: &[Record]) -> Result<Vec<Key>, SessionError> {
        inner.renew(due).await
    }
    async fn signal(&self, inner: &dyn Session) -> Signal {
        inner.signal().await
    }
    async fn fence(&self, inner: &dyn Session) -> Result<(), SessionError> {
        inner.fence().await
    }
    async fn end(&self, inner: &dyn Session) -> Result<(), StoreError> {
        inner.end().await
    }
}

/// The store that a [`StoreTwist`] makes.
pub(crate) struct TwistedStore<T> {
    inner: Client,
    twist: Arc<T>,
}

impl<T: StoreTwist> TwistedStore<T> {
    pub(crate) fn wrap(inner: Client, twist: T) -> Arc<dyn Store> {
        Arc::new(Self { inner, twist: Arc::new(twist) })
    }
}

#[async_trait]
impl<T: StoreTwist> Store for TwistedStore<T> {
    fn capabilities(&self) -> Capabilities {
        self.twist.capabilities(&self.inner)
    }
    fn check_service(&self, service: &ServiceName) -> Result<(), InvalidField> {
        self.inner.check_service(service)
    }
    fn encode(&self, info: &Info) -> Result<Record, InvalidField> {
        self.twist.encode(&self.inner, info)
    }
    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        let inner = self.twist.open(&self.inner, request).await?;
        Ok(Arc::new(TwistedSession { inner, twist: self.twist.clone() }))
    }
    async fn list(&self, service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        self.twist.list(&self.inner, service).await
    }
    async fn view(&self, service: &ServiceName, attempt: u32) -> Result<Box<dyn View>, StoreError> {
        self.twist.view(&self.inner, service, attempt).await
    }
    fn close(&self) {
        self.inner.close();
    }
}

struct TwistedSession<T> {
    inner: Arc<dyn Session>,
    twist: Arc<T>,
}

#[async_trait]
impl<T: StoreTwist> Session for TwistedSession<T> {
    fn id(&self) -> SessionId {
        self.inner.id()
    }
    async fn put(&self, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        self.twist.put(&*self.inner, batch, ours).await
    }
    async fn remove(&self, batch: &[Record], ours: &Lineage) -> Vec<Result<Removed, WriteError>> {
        self.twist.remove(&*self.inner, batch, ours).await
    }
    async fn inspect(
        &self,
        records: &[Record],
        ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        self.twist.inspect(&*self.inner, records, ours).await
    }
    async fn renew(&self, due: &[Record]) -> Result<Vec<Key>, SessionError> {
        self.twist.renew(&*self.inner, due).await
    }
    async fn signal(&self) -> Signal {
        self.twist.signal(&*self.inner).await
    }
    async fn fence(&self) -> Result<(), SessionError> {
        self.twist.fence(&*self.inner).await
    }
    async fn end(&self) -> Result<(), StoreError> {
        self.twist.end(&*self.inner).await
    }
}
