//! The suite on etcd, with every hook: a server of its own for each case that runs, entered with a user and through a proxy for each handle.

mod door;
mod hooks;
mod spy;
mod stand;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use registry_conformance::{ConnectRequest, Credentials, Harness, HookError, Hooks};
use registry_core::store::{Capabilities, Store as _};
use registry_core::{Error, ErrorKind, Handle, ServiceRegistry};
use registry_etcd::{Client, Material, Options, Secret};
use tokio::sync::OnceCell;

use self::hooks::EtcdHooks;
use self::spy::Spy;
use self::stand::Stand;
use crate::bench::BenchError;

/// What etcd does not know as a password; not to be shown either.
const WRONG_PASSWORD: &str = "simsalabim-90d3";

/// Connects the suite with `registry-etcd`. Servers go from case to case; there are as many as cases run at once.
#[derive(Debug, Default)]
pub struct EtcdHarness {
    bench: Arc<EtcdBench>,
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

    fn smallest_ttl(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn connect(&self, request: ConnectRequest) -> Result<Box<dyn ServiceRegistry>, Error> {
        let broken = |error: BenchError| Error::new(ErrorKind::Other, "connect", error.to_string());
        let stand = self.bench.stand(&request.namespace).await.map_err(broken)?;
        let link = stand.link(request.handle).await.map_err(broken)?;
        let password = match request.credentials {
            Credentials::Bad => WRONG_PASSWORD,
            _ => door::PASSWORD,
        };
        let options = Options::new([link.proxy.address().to_string()])
            .with_prefix(&request.namespace)
            .with_user(door::user(request.handle.0), Material::Inline(Secret::new(password)));
        let client = options.with_handle(request.options.clone()).client()?;
        let store = Spy { client, sessions: link.sessions.clone() };
        Ok(Box::new(Handle::open(Arc::new(store), request.options).await?))
    }

    fn hooks(&self, namespace: &str) -> Option<Arc<dyn Hooks>> {
        Some(Arc::new(EtcdHooks::new(self.bench.clone(), namespace)))
    }

    fn isolated_stores(&self) -> bool {
        true
    }

    fn secrets(&self) -> Vec<String> {
        [door::PASSWORD, WRONG_PASSWORD].map(str::to_owned).to_vec()
    }

    async fn finish(&self, namespace: &str) {
        self.bench.finish(namespace).await;
    }
}

impl From<BenchError> for HookError {
    fn from(error: BenchError) -> Self {
        Self(error.to_string())
    }
}

type Place = Arc<OnceCell<Arc<Stand>>>;

/// The servers: those of cases that run, by namespace, and those that wait for the next case.
#[derive(Default)]
struct EtcdBench {
    taken: Mutex<Vec<(String, Place)>>,
    idle: Mutex<Vec<Arc<Stand>>>,
}

impl EtcdBench {
    /// The server of a namespace and of those whose names begin like it. The first who asks waits until it has started.
    async fn stand(&self, namespace: &str) -> Result<Arc<Stand>, BenchError> {
        let place = self.place(namespace);
        let start = async || {
            let idle = lock(&self.idle).pop();
            match idle {
                Some(stand) => Ok(stand),
                None => Stand::start().await.map(Arc::new),
            }
        };
        place.get_or_try_init(start).await.cloned()
    }

    fn place(&self, namespace: &str) -> Place {
        let mut taken = lock(&self.taken);
        let shares = |other: &str| {
            let (short, long) = if other.len() < namespace.len() { (other, namespace) } else { (namespace, other) };
            long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        if let Some((_, place)) = taken.iter().find(|(other, _)| shares(other)) {
            return place.clone();
        }
        let place = Place::default();
        taken.push((namespace.to_owned(), place.clone()));
        place
    }

    async fn finish(&self, namespace: &str) {
        let place = self.place(namespace);
        lock(&self.taken).retain(|(_, other)| !Arc::ptr_eq(other, &place));
        let Some(stand) = place.get() else { return };
        // A server that a case left dead or frozen is removed by dropping it.
        if stand.clean().await.is_ok() {
            lock(&self.idle).push(stand.clone());
        }
    }
}

impl std::fmt::Debug for EtcdBench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdBench").field("idle", &lock(&self.idle).len()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Key and value of an entry in a namespace.
fn encode(namespace: &str, info: &registry_core::Info) -> Result<(String, Vec<u8>), BenchError> {
    let client: Result<Client, _> = Options::default().with_prefix(namespace).client();
    let client = client.map_err(|error| BenchError::new(error.to_string()))?;
    let record = client.encode(info).map_err(|error| BenchError::new(error.to_string()))?;
    Ok((record.key().to_string(), record.value().to_vec()))
}
