//! One server of one case, and the links to it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_conformance::HandleId;

use super::door::{self, Door};
use crate::bench::{self, BenchError};
use crate::etcd::EtcdServer;
use crate::harness::link::{Link, Links};
use crate::harness::pool::Stand;

/// How long cleaning may take before the server is given up.
const CLEANS: Duration = Duration::from_secs(5);

/// A server with users, and a proxy for each handle.
pub(super) struct EtcdStand {
    pub(super) server: EtcdServer,
    links: Links,
}

impl EtcdStand {
    /// The link of a handle, whose user is then known to the server. It may be broken before the handle opens.
    pub(super) async fn link(&self, handle: HandleId) -> Result<Arc<Link>, BenchError> {
        if let Some(link) = self.links.of(handle) {
            return Ok(link);
        }
        if handle.0 >= door::USERS_AT_ONCE {
            self.through_the_door(move |mut door| async move { door.add_user(handle.0).await }).await?;
        }
        self.links.add(handle, self.server.address()).await
    }

    /// The users of all handles that there are or can be opened without the server.
    pub(super) fn users(&self) -> Vec<u32> {
        let known = self.links.handles().into_iter().map(|handle| handle.0);
        (0..door::USERS_AT_ONCE).chain(known.filter(|number| *number >= door::USERS_AT_ONCE)).collect()
    }

    /// Does something through the back door.
    pub(super) async fn through_the_door<T, F>(
        &self,
        what: impl FnOnce(Door) -> F + Send + 'static,
    ) -> Result<T, BenchError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, BenchError>> + Send + 'static,
    {
        let url = self.server.url();
        bench::on_bench(async move { what(Door::open(&url).await?).await }).await
    }

    /// Empties the store. No client gets to it before it has its users again.
    pub(super) async fn wipe(&self) -> Result<(), BenchError> {
        let barred = self.links.bar();
        self.server.wipe().await?;
        let url = self.server.url();
        bench::on_bench(async move { Door::furnish(&url).await }).await?;
        Links::restore(barred);
        Ok(())
    }
}

#[async_trait]
impl Stand for EtcdStand {
    async fn start() -> Result<Self, BenchError> {
        let server = EtcdServer::start().await?;
        let url = server.url();
        bench::on_bench(async move { Door::furnish(&url).await }).await?;
        Ok(Self { server, links: Links::default() })
    }

    async fn clean(&self) -> Result<(), BenchError> {
        self.links.clear();
        let cleaning = self.through_the_door(|mut door| async move { door.clean().await });
        let cleaned = tokio::time::timeout(CLEANS, cleaning).await;
        cleaned.map_err(|_| BenchError::new(format!("the server does not answer within {CLEANS:?}")))?
    }
}
