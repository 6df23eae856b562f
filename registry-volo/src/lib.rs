#![doc = include_str!("../README.md")]

mod convert;
mod follow;

#[cfg(test)]
mod tests;

#[cfg(feature = "http")]
mod http;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_broadcast::{InactiveReceiver, Receiver, Sender};
use faststr::FastStr;
use registry_core::{Resolver, ServiceName, Watch};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use volo::context::Endpoint;
use volo::discovery::{Change, Discover, Instance};
use volo::loadbalance::error::LoadBalanceError;

use self::convert::{Converted, Lookup};
use self::follow::Follower;

#[cfg(feature = "http")]
pub use self::http::serve;

/// How long the first request to a service waits for the store. Later ones find the newest snapshot.
pub const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// How many changes a subscriber may be behind before the next one waits for it.
const BEHIND: usize = 16;

/// Volo's [`Discover`] over any registry: the key is the callee's service name. Cheap to clone; the last clone ends the tasks that follow the services.
///
/// A service is followed from its first [`discover`](Discover::discover) on. Changes of all services that are followed go to every subscriber, whatever
/// keys it named, because each says its key. A subscriber that falls behind loses nothing: the next change waits for it, and then is the difference to
/// the newest snapshot. A second after a `discover` the list is told once more, without differences, because Volo's balancers drop the change that comes
/// before they have noted what `discover` answered.
#[derive(Clone)]
pub struct RegistryDiscover {
    shared: Arc<Shared>,
}

struct Shared {
    resolver: Arc<dyn Resolver>,
    lookup: Lookup,
    services: Mutex<HashMap<FastStr, Followed>>,
    changes: Sender<Change<FastStr>>,
    /// Keeps the channel open while nobody subscribes.
    subscribers: InactiveReceiver<Change<FastStr>>,
}

#[derive(Clone)]
struct Followed {
    watch: Watch,
    /// Told of each answer of `discover`.
    answered: Arc<Notify>,
    following: AbortHandle,
}

impl RegistryDiscover {
    /// Discovers through `resolver`: any handle, or an `Arc` of one that others use, too.
    pub fn new(resolver: impl Resolver + 'static) -> Self {
        Self::with_lookup(resolver, convert::system_lookup())
    }

    fn with_lookup(resolver: impl Resolver + 'static, lookup: Lookup) -> Self {
        let (mut changes, receiver) = async_broadcast::broadcast(BEHIND);
        // Without subscribers there is nobody to wait for.
        changes.set_await_active(false);
        let subscribers = receiver.deactivate();
        let services = Mutex::default();
        let shared = Shared { resolver: Arc::new(resolver), lookup, services, changes, subscribers };
        Self { shared: Arc::new(shared) }
    }

    /// A service, which is followed from now on.
    fn followed(&self, service: &FastStr) -> Result<Followed, LoadBalanceError> {
        let mut services = self.shared.services.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(followed) = services.get(service) {
            return Ok(followed.clone());
        }
        let name = ServiceName::new(service.as_str()).map_err(discovery)?;
        let watch = self.shared.resolver.watch(&name).map_err(discovery)?;
        let answered = Arc::new(Notify::new());
        let (changes, lookup) = (self.shared.changes.clone(), self.shared.lookup.clone());
        let follower = Follower::new(service.clone(), watch.clone(), changes, lookup, answered.clone());
        let following = tokio::spawn(follower.run()).abort_handle();
        let followed = Followed { watch, answered, following };
        services.insert(service.clone(), followed.clone());
        Ok(followed)
    }
}

impl Discover for RegistryDiscover {
    type Key = FastStr;
    type Error = LoadBalanceError;

    async fn discover<'s>(&'s self, endpoint: &'s Endpoint) -> Result<Vec<Arc<Instance>>, LoadBalanceError> {
        let followed = self.followed(&endpoint.service_name())?;
        let snapshot = followed.watch.ready(0, FIRST_ANSWER).await.map_err(discovery)?;
        let mut converted = Converted::new(self.shared.lookup.clone());
        converted.add(snapshot.instances().to_vec()).await;
        followed.answered.notify_one();
        Ok(converted.all(snapshot.instances()))
    }

    fn key(&self, endpoint: &Endpoint) -> FastStr {
        endpoint.service_name()
    }

    fn watch(&self, _: Option<&[FastStr]>) -> Option<Receiver<Change<FastStr>>> {
        Some(self.shared.subscribers.activate_cloned())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let services = self.services.get_mut().unwrap_or_else(PoisonError::into_inner);
        services.values().for_each(|followed| followed.following.abort());
    }
}

impl fmt::Debug for RegistryDiscover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryDiscover").finish_non_exhaustive()
    }
}

fn discovery(error: impl std::error::Error + Send + Sync + 'static) -> LoadBalanceError {
    LoadBalanceError::Discover(Box::new(error))
}
