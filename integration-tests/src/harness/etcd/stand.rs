//! One server of one case, and the links to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use registry_conformance::HandleId;

use super::door::{self, Door};
use super::spy::Sessions;
use crate::bench::{self, BenchError};
use crate::etcd_server::EtcdServer;
use crate::proxy::{Fault, FaultProxy};

/// How long cleaning may take before the server is given up.
const CLEANS: Duration = Duration::from_secs(5);

/// A server with users, and a proxy for each handle.
pub(super) struct Stand {
    pub(super) server: EtcdServer,
    links: Mutex<Vec<Arc<Link>>>,
}

/// Between one handle and the server.
pub(super) struct Link {
    pub(super) handle: HandleId,
    pub(super) proxy: FaultProxy,
    pub(super) sessions: Sessions,
}

impl Stand {
    pub(super) async fn start() -> Result<Self, BenchError> {
        let server = EtcdServer::start().await?;
        let url = server.url();
        bench::on_bench(async move { Door::furnish(&url).await }).await?;
        Ok(Self { server, links: Mutex::default() })
    }

    /// The link of a handle, whose user is then known to the server. It may be broken before the handle opens.
    pub(super) async fn link(&self, handle: HandleId) -> Result<Arc<Link>, BenchError> {
        let known = self.links().iter().find(|link| link.handle == handle).cloned();
        if let Some(link) = known {
            return Ok(link);
        }
        if handle.0 >= door::USERS_AT_ONCE {
            self.through_the_door(move |mut door| async move { door.add_user(handle.0).await }).await?;
        }
        let proxy = FaultProxy::start(self.server.address()).await;
        let proxy = proxy.map_err(|error| BenchError::new(format!("a proxy does not start: {error}")))?;
        let link = Arc::new(Link { handle, proxy, sessions: Sessions::default() });
        self.links().push(link.clone());
        Ok(link)
    }

    /// The users of all handles that there are or can be opened without the server.
    pub(super) fn users(&self) -> Vec<u32> {
        let later =
            self.links().iter().map(|link| link.handle.0).filter(|number| *number >= door::USERS_AT_ONCE).collect();
        [(0..door::USERS_AT_ONCE).collect::<Vec<_>>(), later].concat()
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
        let faults: Vec<_> = self.links().iter().map(|link| (link.clone(), link.proxy.fault())).collect();
        for (link, _) in &faults {
            link.proxy.set(Fault::Reset);
        }
        self.server.wipe().await?;
        let url = self.server.url();
        bench::on_bench(async move { Door::furnish(&url).await }).await?;
        for (link, fault) in faults {
            link.proxy.set(fault);
        }
        Ok(())
    }

    /// Ends all links and makes the server as good as new.
    ///
    /// # Errors
    /// When the server is not fit for another case.
    pub(super) async fn clean(&self) -> Result<(), BenchError> {
        self.links().clear();
        let cleaning = self.through_the_door(|mut door| async move { door.clean().await });
        let cleaned = tokio::time::timeout(CLEANS, cleaning).await;
        cleaned.map_err(|_| BenchError::new(format!("the server does not answer within {CLEANS:?}")))?
    }

    fn links(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
