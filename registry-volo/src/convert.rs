//! The registry's instances as Volo's.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use registry_core::{Address, Instance};
use volo::discovery::Instance as VoloInstance;
use volo::net::Address as VoloAddress;

/// How many host names are looked up at once.
const LOOKUPS: usize = 16;

/// Finds the first address of a `host:port`.
pub(crate) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<SocketAddr>> + Send + Sync>;

/// The system's own lookup.
pub(crate) fn system_lookup() -> Lookup {
    Arc::new(|host| {
        Box::pin(async move {
            let nothing = || io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
            tokio::net::lookup_host(host).await?.next().ok_or_else(nothing)
        })
    })
}

/// Volo's form of instances, by their addresses, so that one that stays is one value.
pub(crate) struct Converted {
    lookup: Lookup,
    known: HashMap<Address, Arc<VoloInstance>>,
    /// Those whose last lookup failed.
    unresolved: HashMap<Address, Arc<Instance>>,
}

/// What Volo sees differently.
#[derive(Default)]
pub(crate) struct Difference {
    pub(crate) added: Vec<Arc<VoloInstance>>,
    pub(crate) updated: Vec<Arc<VoloInstance>>,
}

impl Converted {
    pub(crate) fn new(lookup: Lookup) -> Self {
        Self { lookup, known: HashMap::new(), unresolved: HashMap::new() }
    }

    /// Converts these. One whose host name is not found keeps the address that it had, and is left out where it had none, with a warning.
    pub(crate) async fn add(&mut self, instances: Vec<Arc<Instance>>) -> Difference {
        let mut difference = Difference::default();
        for (instance, found) in self.dial(instances).await {
            let key = instance.address();
            let before = self.known.get(key);
            let address = match found {
                Ok(address) => {
                    self.unresolved.remove(key);
                    address
                }
                Err(error) => {
                    if self.unresolved.insert(key.clone(), instance.clone()).is_none() {
                        let what = if before.is_some() { "keeps the address it had" } else { "is left out" };
                        tracing::warn!(service = %instance.service(), address = %key, %error, "an instance {what}");
                    }
                    let Some(before) = before else { continue };
                    before.address.clone()
                }
            };
            let now = Arc::new(converted(&instance, address));
            match before {
                Some(before) if *before == now => continue,
                Some(_) => difference.updated.push(now.clone()),
                None => difference.added.push(now.clone()),
            }
            self.known.insert(key.clone(), now);
        }
        difference
    }

    /// Converts once more those that were not found.
    pub(crate) async fn add_unresolved(&mut self) -> Difference {
        self.add(self.unresolved.values().cloned().collect()).await
    }

    /// Forgets these.
    pub(crate) fn remove(&mut self, instances: &[Arc<Instance>]) {
        for instance in instances {
            self.known.remove(instance.address());
            self.unresolved.remove(instance.address());
        }
    }

    /// What was converted of these.
    pub(crate) fn all(&self, instances: &[Arc<Instance>]) -> Vec<Arc<VoloInstance>> {
        instances.iter().filter_map(|instance| self.known.get(instance.address()).cloned()).collect()
    }

    /// Whether any was not found.
    pub(crate) fn has_unresolved(&self) -> bool {
        !self.unresolved.is_empty()
    }

    /// The addresses that Volo dials for these: IP addresses and unix sockets as they are, host names looked up.
    async fn dial(&self, instances: Vec<Arc<Instance>>) -> Vec<(Arc<Instance>, io::Result<VoloAddress>)> {
        let dialled = instances.into_iter().map(|instance| {
            let lookup = self.lookup.clone();
            async move {
                let address = dialled(instance.address(), &lookup).await;
                (instance, address)
            }
        });
        futures_util::stream::iter(dialled).buffered(LOOKUPS).collect().await
    }
}

fn converted(instance: &Instance, address: VoloAddress) -> VoloInstance {
    let tags = instance.tags().iter().map(|(key, value)| (key.clone().into(), value.clone().into()));
    VoloInstance { address, weight: instance.weight(), tags: tags.collect() }
}

async fn dialled(address: &Address, lookup: &Lookup) -> io::Result<VoloAddress> {
    if let Some(socket) = address.socket_addr() {
        return Ok(VoloAddress::Ip(socket));
    }
    if address.port().is_some() {
        return lookup(address.as_str().to_owned()).await.map(VoloAddress::Ip);
    }
    #[cfg(unix)]
    return std::os::unix::net::SocketAddr::from_pathname(address.as_str()).map(VoloAddress::from);
    #[cfg(not(unix))]
    Err(io::ErrorKind::Unsupported.into())
}
