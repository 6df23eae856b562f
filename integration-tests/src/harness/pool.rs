//! Servers that go from case to case.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{OnceCell, Semaphore, watch};

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

/// How many servers start at once. More would start no sooner, and leave nothing of the processor to the cases that run.
const START_AT_ONCE: usize = 2;

type Place<S> = Arc<OnceCell<Arc<S>>>;

/// The stands: those of cases that run, by namespace, and those that wait for the next case. There are as many as cases run at once.
pub(super) struct Pool<S> {
    taken: Mutex<Vec<(String, Place<S>)>>,
    idle: Mutex<Vec<Arc<S>>>,
    starts: Semaphore,
    /// How many are waited for.
    starting: watch::Sender<usize>,
}

impl<S: Stand> Pool<S> {
    /// The stand of a namespace and of those whose names begin like it. The first who asks waits until it has started.
    pub(super) async fn stand(&self, namespace: &str) -> Result<Arc<S>, BenchError> {
        let place = self.place(namespace);
        let start = async || {
            let idle = lock(&self.idle).pop();
            match idle {
                Some(stand) => Ok(stand),
                None => self.start().await.map(Arc::new),
            }
        };
        place.get_or_try_init(start).await.cloned()
    }

    /// Makes the stand of a namespace ready, and waits until no other one is being started: cases that begin together find the machine quiet.
    pub(super) async fn prepare(&self, namespace: &str) -> Result<Arc<S>, BenchError> {
        let stand = self.stand(namespace).await;
        // The sender is here: this cannot fail.
        let _ = self.starting.subscribe().wait_for(|starting| *starting == 0).await;
        stand
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

    async fn start(&self) -> Result<S, BenchError> {
        let _counted = Starting::new(&self.starting);
        let _permit = self.starts.acquire().await.expect("invariant: it is never closed");
        S::start().await
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
        Self {
            taken: Mutex::default(),
            idle: Mutex::default(),
            starts: Semaphore::new(START_AT_ONCE),
            starting: watch::Sender::default(),
        }
    }
}

/// One start that is under way or waits for its turn.
struct Starting<'a>(&'a watch::Sender<usize>);

impl<'a> Starting<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
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
