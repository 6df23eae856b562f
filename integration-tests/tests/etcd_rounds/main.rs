//! Random fault rounds on a real etcd: see [`integration_tests::rounds`]. 7 rounds take half a minute.
//!
//! Needs what `scripts/test-all.sh` brings up; otherwise it shows as ignored.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{Client, GetOptions, LeaseStatus};
use integration_tests::EtcdServer;
use integration_tests::environment::Backend;
use integration_tests::rounds::{self, Entry, Failure, Ground};
use registry_core::store::{Record, Store};
use registry_core::{Handle, HandleOptions};
use registry_etcd::Options;

/// Of all keys.
const PREFIX: &str = "rounds";

fn main() {
    rounds::main::<Etcd>(0);
}

struct Etcd(EtcdServer);

impl Etcd {
    fn at(&self, address: SocketAddr) -> Options {
        Options::new([address.to_string()]).with_prefix(PREFIX).with_handle(self.options())
    }

    /// A connection of its own to the server.
    async fn door(&self) -> Result<Client, etcd_client::Error> {
        Client::connect([self.0.url()], None).await
    }

    /// Everything below this, by key.
    async fn below(&self, prefix: String) -> Result<BTreeMap<String, Entry>, Failure> {
        let answer = self.door().await?.get(prefix, Some(GetOptions::new().with_prefix())).await?;
        let entry = |pair: &etcd_client::KeyValue| {
            let session = (pair.lease() != 0).then(|| pair.lease().cast_unsigned());
            (String::from_utf8_lossy(pair.key()).into_owned(), Entry { value: pair.value().to_vec(), session })
        };
        Ok(answer.kvs().iter().map(entry).collect())
    }
}

#[async_trait(?Send)]
impl Ground for Etcd {
    const BACKEND: Backend = Backend::Etcd;
    const SESSIONS: usize = 1;

    async fn start() -> Result<Self, Failure> {
        Ok(Self(EtcdServer::start().await?))
    }

    fn address(&self) -> SocketAddr {
        self.0.address()
    }

    fn options(&self) -> HandleOptions {
        let mut options = HandleOptions::with_ttl(Duration::from_secs(2));
        options.operation_timeout = Duration::from_secs(2);
        options.attempt_timeout = Duration::from_secs(1);
        options.backoff_cap = Duration::from_millis(500);
        options.audit_interval = Duration::from_secs(1);
        options
    }

    async fn connect(&self, address: SocketAddr) -> Result<Handle, Failure> {
        Ok(registry_etcd::connect(self.at(address)).await?)
    }

    fn store(&self) -> Result<Box<dyn Store>, Failure> {
        Ok(Box::new(self.at(self.address()).client()?))
    }

    async fn kill(&self) -> Result<(), Failure> {
        Ok(self.0.kill().await?)
    }

    async fn restart(&self) -> Result<(), Failure> {
        Ok(self.0.restart().await?)
    }

    async fn freeze(&self) -> Result<(), Failure> {
        Ok(self.0.freeze().await?)
    }

    async fn thaw(&self) -> Result<(), Failure> {
        Ok(self.0.thaw().await?)
    }

    async fn expire(&self, session: u64) -> Result<(), Failure> {
        self.door().await?.lease_revoke(session.cast_signed()).await?;
        Ok(())
    }

    async fn put(&self, record: &Record) -> Result<(), Failure> {
        self.door().await?.put(record.key().to_string(), record.value(), None).await?;
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), Failure> {
        self.door().await?.delete(key, None).await?;
        Ok(())
    }

    async fn entries(&self, service: &str) -> Result<BTreeMap<String, Entry>, Failure> {
        self.below(format!("{PREFIX}/{service}/")).await
    }

    async fn sessions(&self) -> Result<Vec<u64>, Failure> {
        let answer = self.door().await?.leases().await?;
        Ok(answer.leases().iter().map(|lease: &LeaseStatus| lease.id().cast_unsigned()).collect())
    }

    /// The fences go with their leases.
    async fn left_over(&self) -> Result<Vec<String>, Failure> {
        Ok(self.below(format!("{PREFIX}/")).await?.into_keys().collect())
    }
}
