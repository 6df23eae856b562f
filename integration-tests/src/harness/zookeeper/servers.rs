//! What a case runs on: one node, or three that form an ensemble.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::bench::BenchError;
use crate::zookeeper::{ZooKeeperEnsemble, ZooKeeperServer};

/// How many nodes the suite runs on: 1, or 3. One unless this says otherwise.
const NODES: &str = "REGISTRY_TEST_ZOOKEEPER_NODES";

/// A store as a whole: what happens to it happens to all of its nodes.
pub(super) enum Servers {
    One(ZooKeeperServer),
    Three(ZooKeeperEnsemble),
}

impl Servers {
    pub(super) async fn start() -> Result<Self, BenchError> {
        match std::env::var(NODES).as_deref() {
            Err(_) | Ok("1") => Ok(Self::One(ZooKeeperServer::start().await?)),
            Ok("3") => Ok(Self::Three(ZooKeeperEnsemble::start().await?)),
            Ok(other) => Err(BenchError::new(format!("{NODES} is {other:?}: 1 or 3"))),
        }
    }

    /// Where the back door is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address_of(0)
    }

    /// The node of a client: clients are spread over all.
    pub(super) fn address_of(&self, client: usize) -> SocketAddr {
        match self {
            Self::One(server) => server.address(),
            Self::Three(ensemble) => ensemble.address(client % ensemble.addresses().len()),
        }
    }

    pub(super) async fn kill(&self) -> Result<(), BenchError> {
        match self {
            Self::One(server) => server.kill().await,
            Self::Three(ensemble) => ensemble.kill_all().await,
        }
    }

    pub(super) async fn restart(&self) -> Result<(), BenchError> {
        match self {
            Self::One(server) => server.restart().await,
            Self::Three(ensemble) => ensemble.restart_all().await,
        }
    }

    pub(super) async fn freeze(&self) -> Result<(), BenchError> {
        match self {
            Self::One(server) => server.freeze().await,
            Self::Three(ensemble) => ensemble.freeze_all().await,
        }
    }

    pub(super) async fn thaw(&self) -> Result<(), BenchError> {
        match self {
            Self::One(server) => server.thaw().await,
            Self::Three(ensemble) => ensemble.thaw_all().await,
        }
    }

    pub(super) async fn wipe(&self) -> Result<(), BenchError> {
        match self {
            Self::One(server) => server.wipe().await,
            Self::Three(ensemble) => ensemble.wipe().await,
        }
    }

    pub(super) async fn sessions(&self) -> Result<Vec<u64>, BenchError> {
        match self {
            Self::One(server) => server.sessions().await,
            Self::Three(ensemble) => ensemble.sessions().await,
        }
    }

    pub(super) async fn watches(&self) -> Result<BTreeMap<String, usize>, BenchError> {
        match self {
            Self::One(server) => server.watches().await,
            Self::Three(ensemble) => ensemble.watches().await,
        }
    }
}
