//! The suite on etcd, with every hook: a server of its own for each case that runs, entered with a user and through a proxy for each handle.

mod door;
mod hooks;
mod stand;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_conformance::{ConnectRequest, Credentials, Harness, HookError, Hooks};
use registry_core::store::{Capabilities, Store as _};
use registry_core::{Error, ErrorKind, Handle, ServiceRegistry};
use registry_etcd::{Client, Material, Options, Secret};

use self::hooks::EtcdHooks;
use self::stand::EtcdStand;
use super::credentials::CredentialFiles;
use super::pool::Pool;
use super::spy::Spy;
use super::version;
use crate::bench::BenchError;
use crate::environment::Backend;

/// What etcd does not know as a password; not to be shown either.
const WRONG_PASSWORD: &str = "simsalabim-90d3";

/// Connects the suite with `registry-etcd`. Servers go from case to case; there are as many as cases run at once.
#[derive(Debug, Default)]
pub struct EtcdHarness {
    pool: Arc<Pool<EtcdStand>>,
    files: CredentialFiles,
}

impl EtcdHarness {
    /// Starts nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Harness for EtcdHarness {
    fn adapter(&self) -> &str {
        "registry-etcd"
    }

    fn capabilities(&self) -> Capabilities {
        Options::default().client().expect("invariant: the defaults can work").capabilities()
    }

    fn server_version(&self) -> Option<String> {
        version::of(Backend::Etcd)
    }

    fn smallest_ttl(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn connect(&self, request: ConnectRequest) -> Result<Box<dyn ServiceRegistry>, Error> {
        let broken = |error: BenchError| Error::new(ErrorKind::Other, "connect", error.to_string());
        let stand = self.pool.stand(&request.namespace).await.map_err(broken)?;
        let link = stand.link(request.handle).await.map_err(broken)?;
        let password = match request.credentials {
            Credentials::Bad => self.files.bad(&request.namespace, request.handle, WRONG_PASSWORD, door::PASSWORD)?,
            _ => Material::Inline(Secret::new(door::PASSWORD)),
        };
        let options = Options::new([link.proxy.address().to_string()])
            .with_prefix(&request.namespace)
            .with_user(door::user(request.handle.0), password);
        let client = options.with_handle(request.options.clone()).client()?;
        let store = Spy { store: client, sessions: link.sessions.clone() };
        Ok(Box::new(Handle::open(Arc::new(store), request.options).await?))
    }

    fn hooks(&self, namespace: &str) -> Option<Arc<dyn Hooks>> {
        Some(Arc::new(EtcdHooks::new(self.pool.clone(), self.files.clone(), namespace)))
    }

    fn isolated_stores(&self) -> bool {
        true
    }

    fn secrets(&self) -> Vec<String> {
        [door::PASSWORD, WRONG_PASSWORD].map(str::to_owned).to_vec()
    }

    async fn prepare(&self, namespace: &str) -> Result<(), HookError> {
        self.pool.prepare(namespace).await?;
        Ok(())
    }

    async fn finish(&self, namespace: &str) {
        self.files.finish(namespace);
        self.pool.finish(namespace).await;
    }
}

/// Key and value of an entry in a namespace.
fn encode(namespace: &str, info: &registry_core::Info) -> Result<(String, Vec<u8>), BenchError> {
    let client: Result<Client, _> = Options::default().with_prefix(namespace).client();
    let client = client.map_err(|error| BenchError::new(error.to_string()))?;
    let record = client.encode(info).map_err(|error| BenchError::new(error.to_string()))?;
    Ok((record.key().to_string(), record.value().to_vec()))
}
