//! The server or servers of one case, and the links to them.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_conformance::HandleId;
use registry_core::store::SessionId;
use tokio::sync::Mutex;

use super::access;
use super::servers::Servers;
use crate::bench::{self, BenchError};
use crate::harness::link::{Link, Links};
use crate::harness::pool::Stand;
use crate::zookeeper::ZooKeeperDoor;

/// How long cleaning may take before the server is given up.
const CLEANS: Duration = Duration::from_secs(10);

/// What is done through the door.
type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, BenchError>> + Send + 'a>>;

/// A server or an ensemble, and a proxy for each handle.
pub(super) struct ZooKeeperStand {
    pub(super) server: Servers,
    links: Links,
    namespaces: Mutex<BTreeSet<String>>,
}

impl ZooKeeperStand {
    /// Makes the root of a namespace, which owners alone may enter, unless that was done.
    pub(super) async fn furnish(&self, namespace: &str) -> Result<(), BenchError> {
        let mut namespaces = self.namespaces.lock().await;
        if !namespaces.contains(namespace) {
            self.make_roots(vec![namespace.to_owned()]).await?;
            namespaces.insert(namespace.to_owned());
        }
        Ok(())
    }

    /// The link of a handle. It may be broken before the handle opens.
    pub(super) async fn link(&self, handle: HandleId) -> Result<Arc<Link>, BenchError> {
        match self.links.of(handle) {
            Some(link) => Ok(link),
            None => {
                let place = self.links.handles().len();
                self.links.add(handle, self.server.address_of(place)).await
            }
        }
    }

    /// Whether a handle opened this session for its entries.
    pub(super) fn is_of_a_handle(&self, session: SessionId) -> bool {
        let links = self.links.handles().into_iter().filter_map(|handle| self.links.of(handle));
        links.into_iter().any(|link| link.sessions.has(session))
    }

    /// Does something through the back door.
    pub(super) async fn through_the_door<T: Send + 'static>(
        &self,
        what: impl for<'a> FnOnce(&'a mut ZooKeeperDoor) -> Doing<'a, T> + Send + 'static,
    ) -> Result<T, BenchError> {
        let address = self.server.address();
        let doing = async move {
            let mut door = ZooKeeperDoor::open(address).await?;
            let done = what(&mut door).await;
            door.close().await?;
            done
        };
        bench::on_bench(doing).await
    }

    /// Ends a session at the server, if it lives.
    pub(super) async fn expire(&self, session: u64) -> Result<(), BenchError> {
        let address = self.server.address();
        bench::on_bench(async move { ZooKeeperDoor::expire(address, session).await }).await.map(drop)
    }

    /// Empties the store. No client gets to it before the roots of its namespaces are there again.
    pub(super) async fn wipe(&self) -> Result<(), BenchError> {
        let namespaces = self.namespaces.lock().await;
        let barred = self.links.bar();
        self.server.wipe().await?;
        self.make_roots(namespaces.iter().cloned().collect()).await?;
        Links::restore(barred);
        Ok(())
    }

    /// Ends every session and removes every node.
    async fn empty(&self) -> Result<(), BenchError> {
        for session in self.server.sessions().await? {
            self.expire(session).await?;
        }
        let mut namespaces = self.namespaces.lock().await;
        let roots = std::mem::take(&mut *namespaces);
        let remove = self.through_the_door(move |door| {
            Box::pin(async move {
                for root in roots {
                    for path in door.tree(&format!("/{root}")).await?.iter().rev() {
                        door.delete(path).await?;
                    }
                }
                Ok(())
            })
        });
        remove.await
    }

    async fn make_roots(&self, namespaces: Vec<String>) -> Result<(), BenchError> {
        let make = self.through_the_door(move |door| {
            Box::pin(async move {
                for namespace in namespaces {
                    door.create(&format!("/{namespace}"), b"", access::root()).await?;
                }
                Ok(())
            })
        });
        make.await
    }
}

#[async_trait]
impl Stand for ZooKeeperStand {
    async fn start() -> Result<Self, BenchError> {
        let server = Servers::start().await?;
        Ok(Self { server, links: Links::default(), namespaces: Mutex::default() })
    }

    async fn clean(&self) -> Result<(), BenchError> {
        self.links.clear();
        let cleaned = tokio::time::timeout(CLEANS, self.empty()).await;
        cleaned.map_err(|_| BenchError::new(format!("the server does not answer within {CLEANS:?}")))?
    }
}
