//! The registry's instances as Volo's.

use std::collections::HashMap;
use std::sync::Arc;

use registry_core::{Address, Instance};
use volo::discovery::Instance as VoloInstance;
use volo::net::Address as VoloAddress;

/// Volo's form of instances, by their addresses, so that one that stays is one value.
#[derive(Default)]
pub(crate) struct Converted(HashMap<Address, Arc<VoloInstance>>);

impl Converted {
    /// Converts these. One that Volo cannot dial is left out, with a warning.
    pub(crate) async fn add(&mut self, instances: &[Arc<Instance>]) {
        for instance in instances {
            match dialled(instance.address()).await {
                Ok(address) => self.0.insert(instance.address().clone(), Arc::new(converted(instance, address))),
                Err(error) => {
                    tracing::warn!(service = %instance.service(), address = %instance.address(), %error, "an instance is left out");
                    self.0.remove(instance.address())
                }
            };
        }
    }

    /// Forgets these.
    pub(crate) fn remove(&mut self, instances: &[Arc<Instance>]) {
        for instance in instances {
            self.0.remove(instance.address());
        }
    }

    /// What was converted of these.
    pub(crate) fn all(&self, instances: &[Arc<Instance>]) -> Vec<Arc<VoloInstance>> {
        instances.iter().filter_map(|instance| self.0.get(instance.address()).cloned()).collect()
    }
}

fn converted(instance: &Instance, address: VoloAddress) -> VoloInstance {
    let tags = instance.tags().iter().map(|(key, value)| (key.clone().into(), value.clone().into()));
    VoloInstance { address, weight: instance.weight(), tags: tags.collect() }
}

/// Volo dials IP addresses and unix sockets: a host name is looked up here, and the first address that it has is taken.
async fn dialled(address: &Address) -> std::io::Result<VoloAddress> {
    if let Some(socket) = address.socket_addr() {
        return Ok(VoloAddress::Ip(socket));
    }
    if address.port().is_some() {
        let found = tokio::net::lookup_host(address.as_str()).await?.next();
        let nothing = || std::io::Error::new(std::io::ErrorKind::NotFound, "the host name has no address");
        return found.map(VoloAddress::Ip).ok_or_else(nothing);
    }
    #[cfg(unix)]
    return std::os::unix::net::SocketAddr::from_pathname(address.as_str()).map(VoloAddress::from);
    #[cfg(not(unix))]
    Err(std::io::ErrorKind::Unsupported.into())
}
