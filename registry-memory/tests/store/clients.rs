//! Owners for the tests: a client with its session, its lineage and its link.

use std::sync::Arc;
use std::time::Duration;

use registry_core::store::{
    Guard, Lineage, OpenRequest, OwnerToken, Put, Record, Removed, Session, Store, View, ViewChange, WriteError,
};
use registry_core::{Info, ServiceName};
use registry_memory::{Client, Link, MemoryStore, Options};

/// The TTL of every session here.
pub(crate) const TTL: Duration = Duration::from_secs(3);

/// One owner with one session.
pub(crate) struct Owner {
    pub(crate) client: Client,
    pub(crate) link: Link,
    pub(crate) session: Arc<dyn Session>,
    pub(crate) lineage: Lineage,
}

pub(crate) fn client(store: &MemoryStore, link: &Link) -> Client {
    Options::new(store.clone()).with_link(link.clone()).client().unwrap()
}

pub(crate) async fn owner(store: &MemoryStore) -> Owner {
    let link = Link::new();
    let client = client(store, &link);
    let mut lineage = Lineage::new(OwnerToken::random());
    let session = open(&client).await;
    lineage.add(session.id());
    Owner { client, link, session, lineage }
}

/// Opens a session through core, which alone can make the request.
pub(crate) async fn open(client: &Client) -> Arc<dyn Session> {
    client.open(OpenRequest::new(TTL, 0, OwnerToken::random())).await.unwrap()
}

pub(crate) fn name() -> ServiceName {
    ServiceName::new("demo").unwrap()
}

pub(crate) fn info(port: u16, weight: u32) -> Info {
    Info::builder("demo").address(format!("10.0.0.5:{port}")).weight(weight).build().unwrap()
}

impl Owner {
    pub(crate) fn record(&self, port: u16, weight: u32) -> Record {
        self.client.encode(&info(port, weight)).unwrap()
    }

    pub(crate) async fn put(&self, port: u16, weight: u32, guard: Guard) -> Result<(), WriteError> {
        let put = Put { record: self.record(port, weight), guard };
        self.session.put(&[put], &self.lineage).await.remove(0)
    }

    pub(crate) async fn claim(&self, port: u16, weight: u32) {
        self.put(port, weight, Guard::Claim).await.unwrap();
    }

    pub(crate) async fn remove(&self, port: u16) -> Result<Removed, WriteError> {
        self.session.remove(&[self.record(port, 1)], &self.lineage).await.remove(0)
    }

    /// Weights of what is listed, in the order of the keys.
    pub(crate) async fn weights(&self) -> Vec<u32> {
        let found = self.client.list(&name()).await.unwrap();
        found.iter().filter_map(|found| found.instance.as_ref().ok()).map(|instance| instance.weight()).collect()
    }

    /// A view that has delivered its full list.
    pub(crate) async fn view(&self) -> Box<dyn View> {
        let mut view = self.client.view(&name(), 0).await.unwrap();
        assert!(matches!(view.next().await.unwrap(), ViewChange::Full(_)));
        view
    }
}

/// Polls a future for a while and gives it up: what a caller's deadline does.
pub(crate) async fn give_up<F: Future>(future: F) -> Option<F::Output> {
    tokio::time::timeout(Duration::from_millis(100), future).await.ok()
}

/// The key of an address in the default namespace.
pub(crate) fn key(port: u16) -> String {
    format!("registry/demo/10.0.0.5:{port}")
}
