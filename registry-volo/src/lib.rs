#![doc = include_str!("../README.md")]

mod convert;

#[cfg(feature = "http")]
mod http;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_broadcast::{InactiveReceiver, Receiver, Sender};
use faststr::FastStr;
use registry_core::{Resolver, ServiceName, Watch};
use tokio::task::AbortHandle;
use volo::context::Endpoint;
use volo::discovery::{Change, Discover, Instance};
use volo::loadbalance::error::LoadBalanceError;

use self::convert::Converted;

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
/// the newest snapshot.
#[derive(Clone)]
pub struct RegistryDiscover {
    shared: Arc<Shared>,
}

struct Shared {
    resolver: Arc<dyn Resolver>,
    services: Mutex<HashMap<FastStr, Followed>>,
    changes: Sender<Change<FastStr>>,
    /// Keeps the channel open while nobody subscribes.
    subscribers: InactiveReceiver<Change<FastStr>>,
}

struct Followed {
    watch: Watch,
    following: AbortHandle,
}

impl RegistryDiscover {
    /// Discovers through `resolver`: any handle, or an `Arc` of one that others use, too.
    pub fn new(resolver: impl Resolver + 'static) -> Self {
        let (mut changes, receiver) = async_broadcast::broadcast(BEHIND);
        // Without subscribers there is nobody to wait for.
        changes.set_await_active(false);
        let subscribers = receiver.deactivate();
        let shared = Shared { resolver: Arc::new(resolver), services: Mutex::default(), changes, subscribers };
        Self { shared: Arc::new(shared) }
    }

    /// The watch of a service, which is followed from now on.
    fn watch_of(&self, service: &FastStr) -> Result<Watch, LoadBalanceError> {
        let mut services = self.shared.services.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(followed) = services.get(service) {
            return Ok(followed.watch.clone());
        }
        let name = ServiceName::new(service.as_str()).map_err(discovery)?;
        let watch = self.shared.resolver.watch(&name).map_err(discovery)?;
        let task = tokio::spawn(follow(service.clone(), watch.clone(), self.shared.changes.clone()));
        services.insert(service.clone(), Followed { watch: watch.clone(), following: task.abort_handle() });
        Ok(watch)
    }
}

impl Discover for RegistryDiscover {
    type Key = FastStr;
    type Error = LoadBalanceError;

    async fn discover<'s>(&'s self, endpoint: &'s Endpoint) -> Result<Vec<Arc<Instance>>, LoadBalanceError> {
        let watch = self.watch_of(&endpoint.service_name())?;
        let snapshot = watch.ready(0, FIRST_ANSWER).await.map_err(discovery)?;
        let mut converted = Converted::default();
        converted.add(snapshot.instances()).await;
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

/// Passes each change of the watch on. While a subscriber holds it up, the watch merges what happens.
async fn follow(key: FastStr, mut watch: Watch, changes: Sender<Change<FastStr>>) {
    let mut converted = Converted::default();
    while let Some(change) = watch.next().await {
        let difference = &change.difference;
        let removed = converted.all(&difference.removed);
        converted.remove(&difference.removed);
        converted.add(&difference.added).await;
        converted.add(&difference.updated).await;
        let change = Change {
            key: key.clone(),
            all: converted.all(change.snapshot.instances()),
            added: converted.all(&difference.added),
            updated: converted.all(&difference.updated),
            removed,
        };
        // An error means that nobody subscribes now; whoever does later discovers first.
        let _ = changes.broadcast(change).await;
    }
}

fn discovery(error: impl std::error::Error + Send + Sync + 'static) -> LoadBalanceError {
    LoadBalanceError::Discover(Box::new(error))
}
