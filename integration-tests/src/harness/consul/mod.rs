//! The suite on Consul, with the hooks that Consul can have: a server of its own for each case that runs, entered with a token and through a proxy for
//! each handle.

mod hooks;
mod stand;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_conformance::{ConnectRequest, Credentials, Harness, HookError, Hooks};
use registry_consul::{Client, Material, Options, Secret};
use registry_core::store::{Capabilities, Store as _};
use registry_core::{Error, ErrorKind, Handle, InvalidField, ServiceRegistry};

use self::hooks::ConsulHooks;
use self::stand::ConsulStand;
use super::credentials::CredentialFiles;
use super::pool::Pool;
use super::spy::Spy;
use super::version;
use crate::bench::BenchError;
use crate::consul::ROOT_TOKEN;
use crate::environment::Backend;

/// What Consul does not know as a token; not to be shown either.
const WRONG_TOKEN: &str = "90d3a1ba-0000-4000-8000-51a5a11ab111";

/// Connects the suite with `registry-consul`. Servers go from case to case; there are as many as cases run at once.
#[derive(Debug, Default)]
pub struct ConsulHarness {
    pool: Arc<Pool<ConsulStand>>,
    files: CredentialFiles,
}

impl ConsulHarness {
    /// Starts nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Harness for ConsulHarness {
    fn adapter(&self) -> &str {
        "registry-consul"
    }

    fn capabilities(&self) -> Capabilities {
        Options::default().client().expect("invariant: the defaults can work").capabilities()
    }

    fn server_version(&self) -> Option<String> {
        version::of(Backend::Consul)
    }

    fn smallest_ttl(&self) -> Duration {
        Duration::from_secs(3)
    }

    async fn connect(&self, request: ConnectRequest) -> Result<Box<dyn ServiceRegistry>, Error> {
        let broken = |error: BenchError| Error::new(ErrorKind::Other, "connect", error.to_string());
        // Consul in its open form has no namespaces. The suite names another one of a case like the case's own, with this behind it.
        if request.namespace.ends_with("-b") {
            let refused = InvalidField::new("namespace", "is another one, and Consul in its open form has none");
            return Err(Error::from(refused).in_operation("connect"));
        }
        let stand = self.pool.stand(&request.namespace).await.map_err(broken)?;
        let link = stand.link(request.handle).await.map_err(broken)?;
        let good = stand::token(request.handle.0);
        let token = match request.credentials {
            Credentials::Bad => self.files.bad(&request.namespace, request.handle, WRONG_TOKEN, &good)?,
            _ => Material::Inline(Secret::new(good)),
        };
        let options = Options::new(format!("http://{}", link.proxy.address())).with_token(token);
        let client: Client = options.with_handle(request.options.clone()).client()?;
        let store = Spy { store: client, sessions: link.sessions.clone() };
        Ok(Box::new(Handle::open(Arc::new(store), request.options).await?))
    }

    fn hooks(&self, namespace: &str) -> Option<Arc<dyn Hooks>> {
        Some(Arc::new(ConsulHooks::new(self.pool.clone(), self.files.clone(), namespace)))
    }

    fn isolated_stores(&self) -> bool {
        true
    }

    fn secrets(&self) -> Vec<String> {
        let handles = (0..stand::TOKENS_AT_ONCE).map(stand::token);
        [ROOT_TOKEN, WRONG_TOKEN].map(str::to_owned).into_iter().chain(handles).collect()
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
