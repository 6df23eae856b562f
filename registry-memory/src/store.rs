//! The store that all connections share, and the faults of the store itself.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use registry_core::store::{Key, SessionId};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::link::Link;
use crate::state::{Power, State};

/// A store in this process. Cheap to clone; all clones are one store.
///
/// It has no task and no thread: sessions expire when anybody looks, and whoever waits sleeps until the next one is due. It runs on tokio's
/// clock, paused or not; all runtimes that use one store must share that clock (all real, or one paused).
///
/// Besides serving handles it is the back door of tests: raw reads and writes around every handle, and the faults that a store can have. The
/// faults of one connection are those of its [`Link`].
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    power: Notify,
    requests: AtomicUsize,
}

/// What is open on a store: all zero but the entries when nobody leaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Entries, owned or not.
    pub entries: usize,
    /// Sessions that have neither ended nor expired.
    pub sessions: usize,
    /// Views that have not been dropped: one for each service that is watched by a handle.
    pub views: usize,
    /// Requests that wait for their answer.
    pub requests: usize,
}

/// An entry as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawEntry {
    /// Its bytes.
    pub value: Arc<[u8]>,
    /// The session that it hangs on; `None` when it is unowned and never expires.
    pub session: Option<SessionId>,
    /// Grows with each write to the store.
    pub revision: u64,
}

impl MemoryStore {
    /// An empty store that only its clones share.
    pub fn new() -> Self {
        Self::default()
    }

    /// The store of this name in this process, empty when it is first asked for. It lives as long as the process: like a server it does not
    /// care whether anybody is connected.
    pub fn named(name: &str) -> Self {
        static STORES: OnceLock<Mutex<HashMap<String, MemoryStore>>> = OnceLock::new();
        let stores = STORES.get_or_init(Mutex::default);
        let mut stores = stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.entry(name.to_owned()).or_default().clone()
    }

    /// What is open now.
    pub fn usage(&self) -> Usage {
        let requests = self.shared.requests.load(Ordering::SeqCst);
        self.with(|state, _| Usage {
            entries: state.entry_count(),
            sessions: state.session_count(),
            views: state.views,
            requests,
        })
    }
}

/// The back door: entries around every handle, whatever the state of the store.
impl MemoryStore {
    /// All keys, sorted. A key is `{namespace}/{service}/{address}`.
    pub fn raw_keys(&self) -> Vec<String> {
        self.with(|state, _| state.keys()).iter().map(ToString::to_string).collect()
    }

    /// The entry under `key`.
    pub fn raw_get(&self, key: &str) -> Option<RawEntry> {
        self.with(|state, _| {
            state.entry(&Key::new(key)).map(|entry| RawEntry {
                value: entry.value.clone(),
                session: entry.session,
                revision: entry.revision,
            })
        })
    }

    /// Writes any bytes under any key, as an entry that nobody owns and that never expires.
    pub fn raw_put(&self, key: &str, value: impl Into<Arc<[u8]>>) {
        let value = value.into();
        self.with(|state, now| state.write(&Key::new(key), value, None, now));
    }

    /// Changes the bytes of an entry and leaves it with its owner. `false` when there is none.
    pub fn raw_overwrite(&self, key: &str, value: impl Into<Arc<[u8]>>) -> bool {
        let (key, value) = (Key::new(key), value.into());
        self.with(|state, now| {
            let Some(session) = state.entry(&key).map(|entry| entry.session) else { return false };
            state.write(&key, value, session, now);
            state.touch(&key);
            true
        })
    }

    /// Removes an entry, whoever owns it. `false` when there is none.
    pub fn raw_delete(&self, key: &str) -> bool {
        self.with(|state, now| state.erase(&Key::new(key), now))
    }
}

/// Faults of the store.
impl MemoryStore {
    /// Stops answering; requests hang until [`thaw`](Self::thaw). TTLs go on, as those of a stopped process on a wall clock do.
    pub fn freeze(&self) {
        self.switch(|state, _| state.power = Power::Frozen);
    }

    /// Answers again. Sessions that came due meanwhile are gone before the first request is looked at.
    pub fn thaw(&self) {
        self.switch(|state, _| {
            if state.power == Power::Frozen {
                state.power = Power::Running;
            }
        });
    }

    /// Kills the store: requests and views fail at once as unreachable, until [`start`](Self::start). The data stay.
    pub fn stop(&self) {
        self.switch(|state, _| state.power = Power::Stopped);
    }

    /// Starts the store again, with its data. Every session has its full TTL again, and every earlier view is over.
    pub fn start(&self) {
        self.switch(State::start);
    }

    /// [`stop`](Self::stop) and [`start`](Self::start) at once.
    pub fn restart(&self) {
        self.start();
    }

    /// Forgets all entries and sessions, as a store that was restarted on an empty disk. Every earlier view is over.
    pub fn wipe(&self) {
        self.switch(|state, _| state.wipe());
    }

    /// Forgets the changes that were not yet delivered: a view that has not seen them is over and has to read everything again.
    pub fn compact(&self) {
        self.with(|state, _| state.compact());
    }

    /// Expires the sessions opened through `link`, as if their TTL had passed. Returns how many there were.
    pub fn expire_sessions(&self, link: &Link) -> usize {
        self.with(|state, now| {
            let sessions = state.sessions_of(link.id());
            sessions.iter().filter(|id| state.end(**id, now)).count()
        })
    }

    /// Refuses handles' writes and removals of this one key as denied, until [`accept_key`](Self::accept_key).
    pub fn refuse_key(&self, key: &str) {
        self.with(|state, _| state.refuse_key(Key::new(key)));
    }

    /// Ends [`refuse_key`](Self::refuse_key).
    pub fn accept_key(&self, key: &str) {
        self.with(|state, _| state.accept_key(&Key::new(key)));
    }
}

impl MemoryStore {
    /// Runs `what` under the lock, after sessions that are due have expired.
    pub(crate) fn with<T>(&self, what: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = Instant::now();
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.expire(now);
        what(&mut state, now)
    }

    /// Told when the store freezes, thaws, stops, starts, or is wiped.
    pub(crate) fn power(&self) -> &Notify {
        &self.shared.power
    }

    /// Counts a request until the result is dropped.
    pub(crate) fn count_request(&self) -> RequestCount {
        self.shared.requests.fetch_add(1, Ordering::SeqCst);
        RequestCount(self.shared.clone())
    }

    fn switch(&self, what: impl FnOnce(&mut State, Instant)) {
        self.with(what);
        self.shared.power.notify_waiters();
    }
}

impl PartialEq for MemoryStore {
    /// Whether both are the same store.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for MemoryStore {}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("at", &Arc::as_ptr(&self.shared)).finish_non_exhaustive()
    }
}

pub(crate) struct RequestCount(Arc<Shared>);

impl Drop for RequestCount {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::SeqCst);
    }
}
