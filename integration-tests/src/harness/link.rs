//! The ways from the handles of one case to its server, and the faults on them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use registry_conformance::{HandleId, HookError};

use super::spy::Sessions;
use crate::bench::BenchError;
use crate::proxy::{Direction, Fault, FaultProxy};

/// Within what time delayed bytes are delivered once nothing holds them.
const DELIVERED: Duration = Duration::from_secs(5);

/// Between one handle and the server.
pub(super) struct Link {
    pub(super) handle: HandleId,
    pub(super) proxy: FaultProxy,
    pub(super) sessions: Sessions,
}

impl Link {
    /// Nothing passes any more, in either direction; connections stay open.
    pub(super) fn cut(&self) {
        self.proxy.set(Fault::Lose(Direction::Both));
    }

    /// What is sent arrives; what the server answers does not.
    pub(super) fn lose_answers(&self) {
        self.proxy.set(Fault::Lose(Direction::ToClient));
    }

    /// What is sent waits until the link is healed, or overtaken.
    pub(super) fn delay_writes(&self) {
        self.proxy.set(Fault::Hold(Direction::ToServer));
    }

    /// Ends every fault, and returns when delayed bytes are delivered.
    pub(super) async fn heal(&self) -> Result<(), HookError> {
        self.proxy.heal();
        let delivered = async {
            while self.proxy.counts().waiting > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let delivered = tokio::time::timeout(DELIVERED, delivered).await;
        delivered.map_err(|_| HookError(format!("delayed bytes are not delivered within {DELIVERED:?}")))
    }

    /// How many requests the handle has sent. What is sent while the server is down ends with the connection.
    pub(super) fn requests(&self) -> u64 {
        let counts = self.proxy.counts();
        counts.messages + counts.requests + counts.refused
    }
}

/// The links of one stand.
#[derive(Default)]
pub(super) struct Links(Mutex<Vec<Arc<Link>>>);

impl Links {
    /// The link of a handle, if there is one.
    pub(super) fn of(&self, handle: HandleId) -> Option<Arc<Link>> {
        self.lock().iter().find(|link| link.handle == handle).cloned()
    }

    /// A new link of a handle to this server. It may be broken before the handle opens.
    pub(super) async fn add(&self, handle: HandleId, server: SocketAddr) -> Result<Arc<Link>, BenchError> {
        let proxy = FaultProxy::start(server).await;
        let proxy = proxy.map_err(|error| BenchError::new(format!("a proxy does not start: {error}")))?;
        let link = Arc::new(Link { handle, proxy, sessions: Sessions::default() });
        self.lock().push(link.clone());
        Ok(link)
    }

    /// The handles that have one.
    pub(super) fn handles(&self) -> Vec<HandleId> {
        self.lock().iter().map(|link| link.handle).collect()
    }

    /// Resets every connection, and each new one, until what is returned is given to [`restore`](Self::restore): so that no client sees a server
    /// that is not furnished yet.
    pub(super) fn bar(&self) -> Vec<(Arc<Link>, Fault)> {
        let faults: Vec<_> = self.lock().iter().map(|link| (link.clone(), link.proxy.fault())).collect();
        for (link, _) in &faults {
            link.proxy.set(Fault::Reset);
        }
        faults
    }

    /// Ends [`bar`](Self::bar).
    pub(super) fn restore(barred: Vec<(Arc<Link>, Fault)>) {
        for (link, fault) in barred {
            link.proxy.set(fault);
        }
    }

    /// Ends all links.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
