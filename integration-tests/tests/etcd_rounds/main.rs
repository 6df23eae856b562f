//! Random fault rounds on a real etcd: see [`integration_tests::rounds`].
//!
//! Needs what `scripts/test-all.sh` brings up; otherwise it shows as ignored.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{Client, GetOptions, KeyValue, LeaseStatus, ResponseHeader};
use integration_tests::EtcdServer;
use integration_tests::environment::Backend;
use integration_tests::rounds::{self, Entry, Failure, Ground};
use registry_core::store::{Record, Store};
use registry_core::{Handle, HandleOptions};
use registry_etcd::Options;

/// Of all keys.
const PREFIX: &str = "rounds";

fn main() {
    // They take about half a minute.
    rounds::main::<Etcd>(7);
}

struct Etcd {
    server: EtcdServer,
    door: Client,
}

impl Etcd {
    /// Everything below this, by key.
    async fn below(&self, prefix: String) -> Result<BTreeMap<String, Entry>, Failure> {
        let answer = self.door.clone().get(prefix, Some(GetOptions::new().with_prefix())).await?;
        let entry = |pair: &KeyValue| {
            let session = (pair.lease() != 0).then(|| pair.lease().cast_unsigned());
            (String::from_utf8_lossy(pair.key()).into_owned(), Entry { value: pair.value().to_vec(), session })
        };
        Ok(answer.kvs().iter().map(entry).collect())
    }
}

fn options(address: SocketAddr, options: HandleOptions) -> Options {
    Options::new([address.to_string()]).with_prefix(PREFIX).with_handle(options)
}

#[async_trait(?Send)]
impl Ground for Etcd {
    const BACKEND: Backend = Backend::Etcd;
    const SMALLEST_TTL: Duration = Duration::from_secs(2);
    const SESSIONS: usize = 1;
    // For leases, calls and watches.
    const CONNECTIONS: u64 = 3;

    async fn start() -> Result<Self, Failure> {
        let server = EtcdServer::start().await?;
        let door = Client::connect([server.url()], None).await?;
        Ok(Self { server, door })
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    async fn connect(&self, address: SocketAddr, handle: HandleOptions) -> Result<Handle, Failure> {
        Ok(registry_etcd::connect(options(address, handle)).await?)
    }

    fn store(&self, handle: HandleOptions) -> Result<Box<dyn Store>, Failure> {
        Ok(Box::new(options(self.address(), handle).client()?))
    }

    async fn kill(&self) -> Result<(), Failure> {
        Ok(self.server.kill().await?)
    }

    async fn restart(&self) -> Result<(), Failure> {
        Ok(self.server.restart().await?)
    }

    async fn wipe(&self) -> Result<(), Failure> {
        Ok(self.server.wipe().await?)
    }

    async fn freeze(&self) -> Result<(), Failure> {
        Ok(self.server.freeze().await?)
    }

    async fn thaw(&self) -> Result<(), Failure> {
        Ok(self.server.thaw().await?)
    }

    async fn forget(&self) -> Result<(), Failure> {
        let revision = self.door.clone().get(PREFIX, None).await?.header().map_or(0, ResponseHeader::revision);
        self.door.clone().compact(revision, None).await?;
        Ok(())
    }

    async fn expire(&self, session: u64) -> Result<(), Failure> {
        self.door.clone().lease_revoke(session.cast_signed()).await?;
        Ok(())
    }

    async fn put(&self, record: &Record) -> Result<(), Failure> {
        self.door.clone().put(record.key().to_string(), record.value(), None).await?;
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), Failure> {
        self.door.clone().delete(key, None).await?;
        Ok(())
    }

    async fn entries(&self, service: &str) -> Result<BTreeMap<String, Entry>, Failure> {
        self.below(format!("{PREFIX}/{service}/")).await
    }

    async fn sessions(&self) -> Result<Vec<u64>, Failure> {
        let answer = self.door.clone().leases().await?;
        Ok(answer.leases().iter().map(|lease: &LeaseStatus| lease.id().cast_unsigned()).collect())
    }

    /// Fences, too: they go with their leases.
    async fn strays(&self, sessions: &[u64]) -> Result<Vec<String>, Failure> {
        let all = self.below(format!("{PREFIX}/")).await?.into_iter();
        let stray = |entry: &Entry| !entry.session.is_some_and(|session| sessions.contains(&session));
        Ok(all.filter(|(_, entry)| stray(entry)).map(|(key, _)| key).collect())
    }
}
