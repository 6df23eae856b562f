//! Servers that go from case to case.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use crate::bench::BenchError;

/// What one case has to itself: a server, and the links to it.
#[async_trait]
pub(super) trait Stand: Send + Sync + Sized + 'static {
    /// Starts a server and furnishes it.
    async fn start() -> Result<Self, BenchError>;

    /// Ends all links and makes the server as good as new.
    ///
    /// # Errors
    /// When the server is not fit for another case.
    async fn clean(&self) -> Result<(), BenchError>;
}

type Place<S> = Arc<OnceCell<Arc<S>>>;

/// The stands: those of cases that run, by namespace, and those that wait for the next case. There are as many as cases run at once.
pub(super) struct Pool<S> {
    taken: Mutex<Vec<(String, Place<S>)>>,
    idle: Mutex<Vec<Arc<S>>>,
}

impl<S: Stand> Pool<S> {
    /// The stand of a namespace and of those whose names begin like it. The first who asks waits until it has started.
    pub(super) async fn stand(&self, namespace: &str) -> Result<Arc<S>, BenchError> {
        let place = self.place(namespace);
        let start = async || {
            let idle = lock(&self.idle).pop();
            match idle {
                Some(stand) => Ok(stand),
                None => S::start().await.map(Arc::new),
            }
        };
        place.get_or_try_init(start).await.cloned()
    }

    /// The case of this namespace is over.
    pub(super) async fn finish(&self, namespace: &str) {
        let place = self.place(namespace);
        lock(&self.taken).retain(|(_, other)| !Arc::ptr_eq(other, &place));
        let Some(stand) = place.get() else { return };
        // A server that a case left dead or frozen is removed by dropping it.
        if stand.clean().await.is_ok() {
            lock(&self.idle).push(stand.clone());
        }
    }

    fn place(&self, namespace: &str) -> Place<S> {
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
}

impl<S> Default for Pool<S> {
    fn default() -> Self {
        Self { taken: Mutex::default(), idle: Mutex::default() }
    }
}

impl<S> std::fmt::Debug for Pool<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("idle", &lock(&self.idle).len()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
