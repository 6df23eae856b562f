//! The watchers: one view per watched service and handle, kept going for ever.
//!
//! [`Watchers`] is the hub: it hands out watches and starts one task per service. `task` drives a view through outages, `table` holds the
//! set that the view tells about and decides which removals are held (clause W4), `report` keeps the log short (clause L6).

mod report;
mod table;
mod task;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle as Runtime;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use self::report::{OutageLog, Outages};
use self::table::Table;
pub(crate) use self::task::guarded;
use self::task::{Settings, Task};
use crate::error::Error;
use crate::handle::HandleOptions;
use crate::metrics;
use crate::name::ServiceName;
use crate::snapshot::Snapshot;
use crate::store::{Found, Store};
use crate::watch::{Publisher, Watch, WeakWatch};

/// How many views are opened at once. Those of many services that were lost together would otherwise take longer than one attempt may, each time anew.
const OPENING: usize = 32;

/// The watches of one handle. Dropping it ends them all.
pub(crate) struct Watchers {
    store: Arc<dyn Store>,
    settings: Settings,
    runtime: Runtime,
    outages: Arc<Outages>,
    /// A view is opened with one of these.
    turns: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

/// What is watched at present.
struct State {
    /// Dropped by `close`: every task ends when it is gone.
    alive: Option<watch::Sender<()>>,
    services: HashMap<ServiceName, Watched>,
    started: u64,
}

struct Watched {
    id: u64,
    watch: WeakWatch,
}

impl Watchers {
    /// The watchers of one handle, with their tasks on the runtime that this is called on.
    pub(crate) fn new(store: Arc<dyn Store>, options: &HandleOptions) -> Self {
        let settings = Settings::new(options, &store.capabilities());
        let (alive, _) = watch::channel(());
        let state = State { alive: Some(alive), services: HashMap::new(), started: 0 };
        Self {
            store,
            settings,
            runtime: Runtime::current(),
            outages: Arc::default(),
            turns: Arc::new(Semaphore::new(OPENING)),
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// A watch of `service`, sharing the view of those that are there (W5). From any thread.
    pub(crate) fn watch(&self, service: &ServiceName) -> Result<Watch, Error> {
        let mut state = lock(&self.state);
        let Some(alive) = &state.alive else { return Err(Error::closed("watch").about(service)) };
        if let Some(watch) = state.services.get(service).and_then(|watched| watched.watch.upgrade()) {
            return Ok(watch);
        }
        let stop = alive.subscribe();
        let (publisher, watch) = Publisher::new(service.clone());
        state.started += 1;
        let id = state.started;
        state.services.insert(service.clone(), Watched { id, watch: watch.downgrade() });
        // A runtime that has ended drops the task while it is spawned, and with it the seat, which takes the lock.
        drop(state);
        let seat = Seat::new(Arc::downgrade(&self.state), service.clone(), id);
        let task = Task {
            store: self.store.clone(),
            service: service.clone(),
            settings: self.settings,
            turns: self.turns.clone(),
            publisher,
            log: OutageLog::new(self.outages.clone(), service.clone()),
        };
        self.runtime.spawn(async move {
            let _seat = seat;
            task.run(stop).await;
        });
        Ok(watch)
    }

    /// Ends all watches; later ones are refused.
    pub(crate) fn close(&self) {
        let alive = lock(&self.state).alive.take();
        drop(alive);
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.state).alive.is_none()
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Watchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("Watchers")
            .field("closed", &state.alive.is_none())
            .field("services", &state.services.keys())
            .finish_non_exhaustive()
    }
}

/// A task's place among the watched services: leaves it however the task ends.
struct Seat {
    state: Weak<Mutex<State>>,
    service: ServiceName,
    id: u64,
}

impl Seat {
    fn new(state: Weak<Mutex<State>>, service: ServiceName, id: u64) -> Self {
        metrics::watches(1.0);
        Self { state, service, id }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        metrics::watches(-1.0);
        let Some(state) = self.state.upgrade() else { return };
        let mut state = lock(&state);
        // A later watch of the service may have taken the place already.
        if state.services.get(&self.service).is_some_and(|watched| watched.id == self.id) {
            state.services.remove(&self.service);
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a full list says, without memory: decoded, healthy, one instance an identity.
///
/// Without memory nothing can be logged once only: malformed entries are counted here, and logged by watches.
pub(crate) fn snapshot_of(service: &ServiceName, found: Vec<Found>) -> Snapshot {
    let mut table = Table::new(Duration::ZERO, Duration::ZERO);
    table.full(found, Instant::now());
    for complaint in table.take_complaints().listed {
        tracing::debug!(%service, key = %complaint.0, why = %complaint.1, "a malformed entry is left out");
    }
    Snapshot::new(service.clone(), table.listed())
}
