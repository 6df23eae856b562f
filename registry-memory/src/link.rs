//! The way between one client and the store, and the faults on it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use registry_core::ErrorKind;
use registry_core::store::StoreError;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::state::{Power, State};
use crate::store::MemoryStore;

/// The connection of one client to the store. Keep a clone of what is given to [`Options`](crate::Options) to put faults on it.
///
/// Clones are the same link. A new link passes everything. The faults exclude each other (the last call counts), while
/// [`delay`](Self::delay) and [`deny`](Self::deny) go together with all of them.
///
/// A *crash* of the owner is to drop its handle; to *freeze* the owner is to stop running its runtime: block its one thread, or do not poll it.
#[derive(Clone)]
pub struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    id: u64,
    condition: Mutex<Condition>,
    changed: Notify,
    requests: AtomicU64,
}

#[derive(Default)]
struct Condition {
    fault: Fault,
    delay: Duration,
    denied: [bool; 3],
    held: Vec<Held>,
}

/// What a link does to a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// A black hole: requests hang without effect. Those that are still waited for go on when it heals.
    Cut,
    /// Requests and views fail at once, as unreachable.
    Refuse,
    /// Writes are applied, and their answers never come. Reads and views hang as in [`Cut`](Self::Cut).
    DropReplies,
    /// Writes are read and checked against what stands there now, and applied on [`Link::release`], whether or not anybody still waits. Reads and views
    /// hang as in [`Cut`](Self::Cut).
    DeliverLate,
}

/// What a request does, as far as it can be denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Lists, views and inspections.
    Read,
    /// Writes and removals of entries.
    Write,
    /// Opening, renewing, fencing and ending sessions.
    Session,
}

/// A write that is under way until it is released.
pub(crate) struct Held {
    pub(crate) store: MemoryStore,
    pub(crate) commit: Commit,
}

/// The second step of a write, which answers whoever still waits.
pub(crate) type Commit = Box<dyn FnOnce(&mut State, Instant) + Send>;

impl Link {
    /// A link without faults.
    pub fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let id = LAST.fetch_add(1, Ordering::Relaxed);
        let shared = Shared { id, condition: Mutex::default(), changed: Notify::new(), requests: AtomicU64::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// Puts a fault on the link, in place of the one before.
    pub fn set(&self, fault: Fault) {
        self.change(|condition| condition.fault = fault);
    }

    /// [`Fault::Cut`]: requests hang without effect.
    pub fn cut(&self) {
        self.set(Fault::Cut);
    }

    /// [`Fault::Refuse`]: requests fail at once.
    pub fn refuse(&self) {
        self.set(Fault::Refuse);
    }

    /// [`Fault::DropReplies`]: writes are applied, and their answers never come.
    pub fn drop_replies(&self) {
        self.set(Fault::DropReplies);
    }

    /// [`Fault::DeliverLate`]: writes are held until [`release`](Self::release).
    pub fn deliver_late(&self) {
        self.set(Fault::DeliverLate);
    }

    /// Takes fault, delay and denials away. Writes that were held stay held: [`release`](Self::release) or [`discard`](Self::discard) them.
    pub fn heal(&self) {
        self.change(|condition| {
            condition.fault = Fault::None;
            condition.delay = Duration::ZERO;
            condition.denied = [false; 3];
        });
    }

    /// Lets every request arrive, and every change be seen, this much later. Dropping a request before it arrived takes it back.
    pub fn delay(&self, delay: Duration) {
        self.change(|condition| condition.delay = delay);
    }

    /// Denies requests of this kind, until [`permit`](Self::permit).
    pub fn deny(&self, access: Access) {
        self.change(|condition| condition.denied[access as usize] = true);
    }

    /// Ends [`deny`](Self::deny).
    pub fn permit(&self, access: Access) {
        self.change(|condition| condition.denied[access as usize] = false);
    }

    /// How many requests were sent over this link so far, keep-alives included: each batch is one.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// How many writes are held.
    pub fn held(&self) -> usize {
        self.condition().held.len()
    }

    /// Delivers the writes that were held, oldest first, and returns how many. A store that is frozen or stopped gets none.
    pub fn release(&self) -> usize {
        let held = std::mem::take(&mut self.condition().held);
        let mut delivered = 0;
        let mut kept = Vec::new();
        for Held { store, commit } in held {
            let kept_back = store.with(|state, now| {
                if state.power != Power::Running {
                    return Some(commit);
                }
                commit(state, now);
                None
            });
            match kept_back {
                Some(commit) => kept.push(Held { store, commit }),
                None => delivered += 1,
            }
        }
        self.condition().held.splice(0..0, kept);
        delivered
    }

    /// Loses the writes that were held: they never take effect. Returns how many.
    pub fn discard(&self) -> usize {
        std::mem::take(&mut self.condition().held).len()
    }
}

/// Whether a request gets through now.
pub(crate) enum Passage {
    Open,
    /// Not before the link changes.
    Wait,
    /// Held until it is released.
    Late,
    /// Applied, but not answered.
    Mute,
    Fail(StoreError),
}

impl Link {
    pub(crate) fn id(&self) -> u64 {
        self.shared.id
    }

    pub(crate) fn passage(&self, access: Access) -> Passage {
        let condition = self.condition();
        match condition.fault {
            Fault::Cut => return Passage::Wait,
            Fault::Refuse => {
                return Passage::Fail(StoreError::unreachable("connection refused: the link has a fault, heal it"));
            }
            Fault::DropReplies | Fault::DeliverLate if access == Access::Read => return Passage::Wait,
            _ => {}
        }
        if condition.denied[access as usize] {
            let message = match access {
                Access::Read => "reads are denied on this link, permit them",
                Access::Write => "writes are denied on this link, permit them",
                Access::Session => "sessions are denied on this link, permit them",
            };
            return Passage::Fail(StoreError::new(ErrorKind::Denied, message));
        }
        match condition.fault {
            Fault::DropReplies => Passage::Mute,
            Fault::DeliverLate => Passage::Late,
            _ => Passage::Open,
        }
    }

    pub(crate) fn count_request(&self) {
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn current_delay(&self) -> Duration {
        self.condition().delay
    }

    pub(crate) fn hold(&self, held: Held) {
        self.condition().held.push(held);
    }

    /// Told when anything about the link changes.
    pub(crate) fn changed(&self) -> &Notify {
        &self.shared.changed
    }

    fn change(&self, what: impl FnOnce(&mut Condition)) {
        what(&mut self.condition());
        self.shared.changed.notify_waiters();
    }

    fn condition(&self) -> MutexGuard<'_, Condition> {
        self.shared.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let condition = self.condition();
        f.debug_struct("Link")
            .field("id", &self.shared.id)
            .field("fault", &condition.fault)
            .field("delay", &condition.delay)
            .field("held", &condition.held.len())
            .finish_non_exhaustive()
    }
}
