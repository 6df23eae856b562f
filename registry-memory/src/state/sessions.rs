//! Sessions and their deadlines.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use registry_core::store::{Key, SessionId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Power, State};

/// A live session.
pub(super) struct Lease {
    pub(super) ttl: Duration,
    pub(super) deadline: Instant,
    pub(super) link: u64,
    pub(super) keys: HashSet<Key>,
    /// Writes of an earlier epoch are refused.
    pub(super) epoch: u64,
    /// Entries that somebody else changed or removed, not yet told to the owner.
    pub(super) touched: BTreeSet<Key>,
    pub(super) notify: Arc<Notify>,
}

impl State {
    /// Ends the sessions that are due. A stopped store forgets the time.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(&(deadline, id)) = self.deadlines.first() {
            if deadline > now || self.power == Power::Stopped {
                return;
            }
            self.end(id, now);
        }
    }

    /// When the next session is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.power == Power::Stopped { None } else { self.deadlines.first().map(|(deadline, _)| *deadline) }
    }

    pub(crate) fn open(&mut self, ttl: Duration, link: u64, now: Instant) -> (SessionId, Arc<Notify>) {
        self.last_session += 1;
        let id = SessionId(self.last_session);
        let notify = Arc::new(Notify::new());
        let deadline = now + ttl;
        let lease = Lease {
            ttl,
            deadline,
            link,
            keys: HashSet::new(),
            epoch: 0,
            touched: BTreeSet::new(),
            notify: notify.clone(),
        };
        self.sessions.insert(id, lease);
        self.deadlines.insert((deadline, id));
        (id, notify)
    }

    /// Whether the session lives.
    pub(crate) fn lives(&self, id: SessionId) -> bool {
        self.sessions.contains_key(&id)
    }

    /// Whether a write that was started in `epoch` may still take effect; `None` when the session is gone.
    pub(crate) fn admits(&self, id: SessionId, epoch: u64) -> Option<bool> {
        self.sessions.get(&id).map(|lease| epoch >= lease.epoch)
    }

    /// Grants the full TTL again. `false` when the session is gone.
    pub(crate) fn renew(&mut self, id: SessionId, now: Instant) -> bool {
        let Some(lease) = self.sessions.get_mut(&id) else { return false };
        self.deadlines.remove(&(lease.deadline, id));
        lease.deadline = now + lease.ttl;
        self.deadlines.insert((lease.deadline, id));
        true
    }

    /// Refuses writes of epochs before `epoch` from now on. `false` when the session is gone.
    pub(crate) fn fence(&mut self, id: SessionId, epoch: u64) -> bool {
        let Some(lease) = self.sessions.get_mut(&id) else { return false };
        lease.epoch = lease.epoch.max(epoch);
        true
    }

    /// Ends a session: the entries that still hang on it go with it.
    pub(crate) fn end(&mut self, id: SessionId, now: Instant) -> bool {
        let Some(lease) = self.sessions.remove(&id) else { return false };
        self.deadlines.remove(&(lease.deadline, id));
        for key in &lease.keys {
            self.erase(key, now);
        }
        lease.notify.notify_waiters();
        true
    }

    /// The sessions that were opened through a link.
    pub(crate) fn sessions_of(&self, link: u64) -> Vec<SessionId> {
        let mut ids: Vec<_> = self.sessions.iter().filter(|(_, lease)| lease.link == link).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// An entry of this session that somebody else touched, or `None`.
    pub(crate) fn take_touched(&mut self, id: SessionId) -> Option<Key> {
        self.sessions.get_mut(&id)?.touched.pop_first()
    }

    /// When this session is due.
    pub(crate) fn deadline_of(&self, id: SessionId) -> Option<Instant> {
        self.sessions.get(&id).filter(|_| self.power != Power::Stopped).map(|lease| lease.deadline)
    }

    pub(crate) fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Grants every session its full TTL, as a restarted store does, and ends every view.
    pub(crate) fn start(&mut self, now: Instant) {
        self.power = Power::Running;
        self.life += 1;
        let ids: Vec<_> = self.sessions.keys().copied().collect();
        for id in ids {
            self.renew(id, now);
        }
    }

    /// Forgets entries and sessions, and ends every view.
    pub(crate) fn wipe(&mut self) {
        self.life += 1;
        self.revision += 1;
        self.deadlines.clear();
        for (_, lease) in self.sessions.drain() {
            lease.notify.notify_waiters();
        }
        let revision = self.revision;
        self.folders.retain(|_, folder| {
            folder.entries.clear();
            folder.forget_changes(revision);
            folder.views > 0
        });
    }
}
