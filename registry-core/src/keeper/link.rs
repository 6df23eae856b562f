//! The keeper's session with the store: down, being opened, or up.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::operations::{self, Done, Operation};
use crate::handle::{LONGEST, SHORTEST};
use crate::store::Session;

/// An answer that took longer was held up by the store, and came when those of many others came.
const HELD_UP: Duration = Duration::from_millis(100);

/// Counts the sessions of one handle: a result that belongs to an earlier one is told by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Epoch(pub(super) u64);

/// The session of a handle.
pub(super) enum Link {
    /// None; the next attempt is due then.
    Down { retry_at: Instant },
    /// An attempt is in flight.
    Opening,
    /// One stands.
    Up(Up),
}

/// A session that stands, as far as we know.
pub(super) struct Up {
    pub(super) session: Arc<dyn Session>,
    pub(super) epoch: Epoch,
    /// When it was opened.
    pub(super) opened: Instant,
    /// A third of the TTL that the store granted.
    pub(super) interval: Duration,
    /// When the next renewal is due.
    pub(super) renew_at: Instant,
    /// When the renewal of the whole session that is in flight was sent.
    pub(super) renewing: Option<Instant>,
    /// The last renewal failed.
    pub(super) failing: bool,
    /// It failed because the store did not answer, so that asking for anything else is idle.
    pub(super) silent: bool,
    /// Another operation failed: the session itself is to be asked.
    pub(super) suspected: bool,
    /// What the store tells without being asked. Dropped with the session, so that nothing keeps a lost one alive.
    signal: Operation,
}

impl Link {
    pub(super) fn up(&self) -> Option<&Up> {
        match self {
            Self::Up(up) => Some(up),
            _ => None,
        }
    }

    pub(super) fn up_mut(&mut self) -> Option<&mut Up> {
        match self {
            Self::Up(up) => Some(up),
            _ => None,
        }
    }

    /// Waits until the store tells something about the present session. Cancel safe; after a result [`Up::listen`] is due.
    pub(super) async fn signalled(&mut self) -> Done {
        match self {
            Self::Up(up) => up.signal.as_mut().await,
            _ => std::future::pending().await,
        }
    }

    /// The session of this epoch, if it still is the present one.
    pub(super) fn is_at(&self, epoch: Epoch) -> bool {
        self.up().is_some_and(|up| up.epoch == epoch)
    }
}

impl Up {
    pub(super) fn new(session: Arc<dyn Session>, epoch: Epoch, wanted_ttl: Duration) -> Self {
        // What a store grants is its own input: within the bounds of what can be asked for, the clock can take it and a core can bear it.
        let granted = session.ttl().filter(|ttl| !ttl.is_zero());
        let ttl = granted.map_or(wanted_ttl, |ttl| ttl.clamp(SHORTEST, LONGEST));
        let interval = ttl / 3;
        // The first renewal comes early by a random part, so that handles that came back together do not renew together (L5).
        let renew_at = Instant::now() + interval.mul_f64(0.5 + fastrand::f64() / 2.0);
        let signal = operations::signal(session.clone(), epoch);
        Self {
            session,
            epoch,
            opened: Instant::now(),
            interval,
            renew_at,
            renewing: None,
            failing: false,
            silent: false,
            suspected: false,
            signal,
        }
    }

    /// Listens for the next signal.
    pub(super) fn listen(&mut self) {
        self.signal = operations::signal(self.session.clone(), self.epoch);
    }

    /// How long a renewal may take: an answer that comes after the next one was due is as good as none.
    pub(super) fn renew_limit(&self, attempt_timeout: Duration) -> Duration {
        attempt_timeout.min(self.interval.max(Duration::from_millis(100)))
    }

    /// How long the renewal of an entry may take: until its next one would be due, and no less. A store that stalls, as Consul's agents do while a leader is
    /// elected, carries it out as soon as it can; one sent anew would only come later.
    pub(super) fn beat_limit(&self) -> Duration {
        self.interval.max(Duration::from_millis(100))
    }

    /// Whether an answer to the renewal in flight that comes now was held up by a store that had stopped answering.
    pub(super) fn is_held_up(&self) -> bool {
        self.failing && self.renewing.is_some_and(|sent| sent.elapsed() > HELD_UP)
    }

    /// Renews now rather than at the next turn: something else failed.
    pub(super) fn suspect(&mut self) {
        if !self.failing && !self.suspected {
            self.suspected = true;
            self.renew_at = self.renew_at.min(Instant::now());
        }
    }
}
