//! `zookeeper-async` 5.0.0 as an engine.
//!
//! Measured, when it is used as its documentation suggests: each reconnect drops all watches and the authentication silently, an expired session is replaced
//! by another without a word, a first connection to a server that closes it is made again thousands of times a second, and dropping it ends nothing. Here it
//! gets one server, tells the end of its first connection as the end of it all (rule 6), and dies with the runtime it was made in (rule 1).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;
use zookeeper_async::{Acl, CreateMode, WatchedEvent, ZkState, ZooKeeper};

use super::{Access, Connection, Engine, Event, Failure, Kind, Stat, Watch};

#[cfg(test)]
mod tests;

/// The pause between its own attempts (rule 2). With the default, none, it spins on a dead port; we kill it at the first failure.
const RETRY: Duration = Duration::from_millis(100);

/// Makes a client for each connection, to be thrown away with it.
#[derive(Debug)]
pub(crate) struct Disposable;

#[async_trait]
impl Engine for Disposable {
    async fn connect(
        &self,
        server: SocketAddr,
        timeout: Duration,
        events: UnboundedSender<Event>,
    ) -> Result<Arc<dyn Connection>, Failure> {
        let (changes, states) = (events.clone(), events);
        // Every watch is told to this callback: the client then keeps no list of them, which it never tidies up.
        let watcher = move |event: WatchedEvent| {
            if let Some(path) = event.path {
                let _ = changes.send(Event::Changed(path));
            }
        };
        // One server and no chroot: it would always begin with the first, and panic on an event above the chroot (rules 3 and 10).
        let client = ZooKeeper::connect_with_retry_time(&server.to_string(), timeout, watcher, RETRY).await?;
        client.add_listener(move |state| {
            if !matches!(state, ZkState::Connected) {
                let _ = states.send(Event::Down("the connection broke, or the session expired"));
            }
        });
        Ok(Arc::new(client))
    }
}

#[async_trait]
impl Connection for ZooKeeper {
    async fn authenticate(&self, digest: Vec<u8>) -> Result<(), Failure> {
        Ok(self.add_auth("digest", digest).await?)
    }

    async fn create(&self, path: &str, data: &[u8], kind: Kind, access: Access) -> Result<(String, Stat), Failure> {
        let mode = match kind {
            Kind::Persistent => CreateMode::Persistent,
            Kind::Ephemeral => CreateMode::Ephemeral,
            Kind::EphemeralSequential => CreateMode::EphemeralSequential,
        };
        let acl = match access {
            Access::Open => Acl::open_unsafe(),
            Access::Creator => Acl::creator_all(),
        };
        let (path, stat) = self.create2(path, data.to_vec(), acl.clone(), mode).await?;
        Ok((path, stat.into()))
    }

    async fn delete(&self, path: &str, version: i32) -> Result<(), Failure> {
        Ok(Self::delete(self, path, Some(version)).await?)
    }

    async fn set(&self, path: &str, data: &[u8], version: i32) -> Result<Stat, Failure> {
        Ok(self.set_data(path, data.to_vec(), Some(version)).await?.into())
    }

    async fn exists(&self, path: &str, watch: Watch) -> Result<Option<Stat>, Failure> {
        Ok(Self::exists(self, path, watch == Watch::Armed).await?.map(Stat::from))
    }

    async fn get(&self, path: &str, watch: Watch) -> Result<(Vec<u8>, Stat), Failure> {
        let (data, stat) = self.get_data(path, watch == Watch::Armed).await?;
        Ok((data, stat.into()))
    }

    async fn children(&self, path: &str, watch: Watch) -> Result<Vec<String>, Failure> {
        Ok(self.get_children(path, watch == Watch::Armed).await?)
    }

    async fn close(&self) -> Result<(), Failure> {
        Ok(Self::close(self).await?)
    }
}

impl From<zookeeper_async::Stat> for Stat {
    fn from(stat: zookeeper_async::Stat) -> Self {
        Self { owner: stat.ephemeral_owner, version: stat.version, modified: stat.mzxid }
    }
}
