//! The suite on ZooKeeper: a server of its own for each case that runs, or three, entered with a user and through a proxy for each handle.

mod access;
mod hooks;
mod servers;
mod stand;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_conformance::{ConnectRequest, Credentials, Harness, HookError, Hooks};
use registry_core::store::{Capabilities, Store as _};
use registry_core::{Error, ErrorKind, Handle, ServiceRegistry};
use registry_zookeeper::{Material, Options, Secret};

use self::hooks::ZooKeeperHooks;
use self::stand::ZooKeeperStand;
use super::credentials::CredentialFiles;
use super::pool::Pool;
use super::spy::Spy;
use super::version;
use crate::bench::BenchError;
use crate::environment::Backend;

/// The user of all handles: what one of them writes, the others may replace.
const USER: &str = "registry";
/// What no output may show.
const PASSWORD: &str = "owners-51ae";
/// What stands in no ACL as a password; not to be shown either.
const WRONG_PASSWORD: &str = "simsalabim-90d3";

/// Connects the suite with `registry-zookeeper`. Servers go from case to case; there are as many as cases run at once.
#[derive(Debug, Default)]
pub struct ZooKeeperHarness {
    pool: Arc<Pool<ZooKeeperStand>>,
    files: CredentialFiles,
}

impl ZooKeeperHarness {
    /// Starts nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Harness for ZooKeeperHarness {
    fn adapter(&self) -> &str {
        "registry-zookeeper"
    }

    fn capabilities(&self) -> Capabilities {
        Options::default().client().expect("invariant: the defaults can work").capabilities()
    }

    fn server_version(&self) -> Option<String> {
        version::of(Backend::Zookeeper)
    }

    fn smallest_ttl(&self) -> Duration {
        Duration::from_secs(4)
    }

    async fn connect(&self, request: ConnectRequest) -> Result<Box<dyn ServiceRegistry>, Error> {
        let broken = |error: BenchError| Error::new(ErrorKind::Other, "connect", error.to_string());
        let stand = stand(&self.pool, &request.namespace).await.map_err(broken)?;
        let link = stand.link(request.handle).await.map_err(broken)?;
        let password = match request.credentials {
            Credentials::Bad => self.files.bad(&request.namespace, request.handle, WRONG_PASSWORD, PASSWORD)?,
            _ => Material::Inline(Secret::new(PASSWORD)),
        };
        let options = Options::new(format!("{}/{}", link.proxy.address(), request.namespace))
            .with_user(USER, password)
            .with_handle(request.options.clone());
        let store = Spy { store: options.client()?, sessions: link.sessions.clone() };
        Ok(Box::new(Handle::open(Arc::new(store), request.options).await?))
    }

    fn hooks(&self, namespace: &str) -> Option<Arc<dyn Hooks>> {
        Some(Arc::new(ZooKeeperHooks::new(self.pool.clone(), self.files.clone(), namespace)))
    }

    fn isolated_stores(&self) -> bool {
        true
    }

    fn secrets(&self) -> Vec<String> {
        [PASSWORD, WRONG_PASSWORD].map(str::to_owned).to_vec()
    }

    async fn prepare(&self, namespace: &str) -> Result<(), HookError> {
        self.pool.prepare(namespace).await?;
        stand(&self.pool, namespace).await?;
        Ok(())
    }

    async fn finish(&self, namespace: &str) {
        self.files.finish(namespace);
        self.pool.finish(namespace).await;
    }
}

/// The stand of a namespace, whose root stands there.
async fn stand(pool: &Pool<ZooKeeperStand>, namespace: &str) -> Result<Arc<ZooKeeperStand>, BenchError> {
    let stand = pool.stand(namespace).await?;
    stand.furnish(namespace).await?;
    Ok(stand)
}

/// Path and bytes of an entry in a namespace.
fn encode(namespace: &str, info: &registry_core::Info) -> Result<(String, Vec<u8>), BenchError> {
    let client = Options::default().client().map_err(|error| BenchError::new(error.to_string()))?;
    let record = client.encode(info).map_err(|error| BenchError::new(error.to_string()))?;
    Ok((format!("/{namespace}{}", record.key()), record.value().to_vec()))
}
