//! Random fault rounds on a real ZooKeeper: see [`integration_tests::rounds`].
//!
//! Needs what `scripts/test-all.sh` brings up; otherwise it shows as ignored.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use integration_tests::environment::Backend;
use integration_tests::rounds::{self, Entry, Failure, Ground};
use integration_tests::{Acl, ZooKeeperDoor, ZooKeeperServer};
use registry_core::store::{Record, Store};
use registry_core::{Handle, HandleOptions};
use registry_zookeeper::Options;

fn main() {
    // They take about a minute.
    rounds::main::<ZooKeeper>(7);
}

struct ZooKeeper(ZooKeeperServer);

impl ZooKeeper {
    /// A session of its own for each use: the server dies and is wiped.
    async fn door(&self) -> Result<ZooKeeperDoor, Failure> {
        Ok(ZooKeeperDoor::open(self.0.address()).await?)
    }
}

fn options(address: SocketAddr, options: HandleOptions) -> Options {
    Options::new(address.to_string()).with_handle(options)
}

#[async_trait(?Send)]
impl Ground for ZooKeeper {
    const BACKEND: Backend = Backend::Zookeeper;
    const SMALLEST_TTL: Duration = Duration::from_secs(4);
    const SESSIONS: usize = 2;
    const CONNECTIONS: u64 = 2;

    async fn start() -> Result<Self, Failure> {
        Ok(Self(ZooKeeperServer::start().await?))
    }

    fn address(&self) -> SocketAddr {
        self.0.address()
    }

    async fn connect(&self, address: SocketAddr, handle: HandleOptions) -> Result<Handle, Failure> {
        Ok(registry_zookeeper::connect(options(address, handle)).await?)
    }

    fn store(&self, handle: HandleOptions) -> Result<Box<dyn Store>, Failure> {
        Ok(Box::new(options(self.address(), handle).client()?))
    }

    async fn kill(&self) -> Result<(), Failure> {
        Ok(self.0.kill().await?)
    }

    async fn restart(&self) -> Result<(), Failure> {
        Ok(self.0.restart().await?)
    }

    async fn wipe(&self) -> Result<(), Failure> {
        Ok(self.0.wipe().await?)
    }

    async fn freeze(&self) -> Result<(), Failure> {
        Ok(self.0.freeze().await?)
    }

    async fn thaw(&self) -> Result<(), Failure> {
        Ok(self.0.thaw().await?)
    }

    async fn expire(&self, session: u64) -> Result<(), Failure> {
        ZooKeeperDoor::expire(self.0.address(), session).await?;
        Ok(())
    }

    async fn put(&self, record: &Record) -> Result<(), Failure> {
        let mut door = self.door().await?;
        door.create_parents(record.key().as_str()).await?;
        door.replace(record.key().as_str(), record.value(), Acl::OPEN).await?;
        Ok(door.close().await?)
    }

    async fn delete(&self, key: &str) -> Result<(), Failure> {
        let mut door = self.door().await?;
        door.delete(key).await?;
        Ok(door.close().await?)
    }

    async fn entries(&self, service: &str) -> Result<BTreeMap<String, Entry>, Failure> {
        let mut door = self.door().await?;
        let mut entries = BTreeMap::new();
        for name in door.children(&format!("/{service}")).await? {
            let path = format!("/{service}/{name}");
            if let Some(node) = door.get(&path).await? {
                entries.insert(path, Entry { value: node.data, session: node.owner });
            }
        }
        door.close().await?;
        Ok(entries)
    }

    async fn sessions(&self) -> Result<Vec<u64>, Failure> {
        Ok(self.0.sessions().await?)
    }

    /// Services stay: they are shared, and without entries they are empty.
    async fn strays(&self, sessions: &[u64]) -> Result<Vec<String>, Failure> {
        let mut door = self.door().await?;
        let mut strays = Vec::new();
        for path in door.tree("/").await? {
            let is_shared = path.matches('/').count() == 1 || path.starts_with("/zookeeper/");
            let owner = door.get(&path).await?.map(|node| node.owner);
            match owner {
                Some(None) if is_shared => {}
                Some(Some(session)) if sessions.contains(&session) => {}
                Some(_) => strays.push(path),
                None => {}
            }
        }
        door.close().await?;
        Ok(strays)
    }
}
