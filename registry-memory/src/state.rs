//! What a store holds: entries in folders, sessions with deadlines, and a bounded log of changes for views.
//!
//! Everything here runs under the store's one lock and knows nothing of faults on the way.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use registry_core::ServiceName;
use registry_core::store::{Found, JsonRecord, Key, Malformed, SessionId};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How many changes of one service are remembered for views that lag behind. A view that lags further has to read everything again.
pub(crate) const LOG: usize = 4096;

#[derive(Default)]
pub(crate) struct State {
    pub(crate) power: Power,
    /// Counts restarts and wipes: a view of an earlier life is over.
    pub(crate) life: u64,
    /// Open views.
    pub(crate) views: usize,
    revision: u64,
    last_session: u64,
    sessions: HashMap<SessionId, Lease>,
    deadlines: BTreeSet<(Instant, SessionId)>,
    folders: HashMap<Arc<str>, Folder>,
    refused: HashSet<Key>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Power {
    #[default]
    Running,
    Frozen,
    Stopped,
}

/// A live session.
struct Lease {
    ttl: Duration,
    deadline: Instant,
    link: u64,
    keys: HashSet<Key>,
    /// Writes of an earlier epoch are refused.
    epoch: u64,
    /// Entries that somebody else changed or removed, not yet told to the owner.
    touched: BTreeSet<Key>,
    notify: Arc<Notify>,
}

/// The entries of one service under one namespace.
#[derive(Default)]
struct Folder {
    entries: BTreeMap<Key, Entry>,
    views: usize,
    log: VecDeque<Logged>,
    /// Changes up to this revision are not in the log.
    compacted: u64,
    notify: Arc<Notify>,
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) value: Arc<[u8]>,
    pub(crate) session: Option<SessionId>,
    pub(crate) revision: u64,
    found: Found,
}

/// One change of a folder.
#[derive(Clone)]
pub(crate) struct Logged {
    pub(crate) revision: u64,
    pub(crate) at: Instant,
    pub(crate) key: Key,
    /// The entry, or `None` when it was removed.
    pub(crate) found: Option<Found>,
}

/// What a view finds past the revision that it has seen.
pub(crate) enum Next {
    Change(Logged),
    Compacted,
    Nothing,
}

/// Splits a key into folder and address. Namespaces and service names have no empty path element, so that the first `//` can only be the
/// beginning of a socket path; every other address has no `/`.
pub(crate) fn folder_of(key: &str) -> &str {
    let end = key.find("//").or_else(|| key.rfind('/')).unwrap_or(0);
    &key[..end]
}

/// Sessions.
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

/// Entries.
impl State {
    pub(crate) fn entry(&self, key: &Key) -> Option<&Entry> {
        self.folders.get(folder_of(key.as_str()))?.entries.get(key)
    }

    /// The revision of an entry; 0 when there is none.
    pub(crate) fn revision_of(&self, key: &Key) -> u64 {
        self.entry(key).map_or(0, |entry| entry.revision)
    }

    /// Writes an entry that hangs on `session`, or on nothing.
    pub(crate) fn write(&mut self, key: &Key, value: Arc<[u8]>, session: Option<SessionId>, now: Instant) {
        self.let_go(key, session);
        if let Some(lease) = session.and_then(|id| self.sessions.get_mut(&id)) {
            lease.keys.insert(key.clone());
        }
        self.revision += 1;
        let name = folder_of(key.as_str());
        let found = decode(name, key, &value, self.revision);
        let entry = Entry { value, session, revision: self.revision, found: found.clone() };
        if !self.folders.contains_key(name) {
            self.folders.insert(name.into(), Folder::default());
        }
        let folder = self.folders.get_mut(name).expect("invariant: it was there or has just been inserted");
        folder.entries.insert(key.clone(), entry);
        folder.log(Logged { revision: self.revision, at: now, key: key.clone(), found: Some(found) });
    }

    /// Removes an entry. `false` when there was none.
    pub(crate) fn erase(&mut self, key: &Key, now: Instant) -> bool {
        self.let_go(key, None);
        let name = folder_of(key.as_str());
        let Some(folder) = self.folders.get_mut(name) else { return false };
        if folder.entries.remove(key).is_none() {
            return false;
        }
        self.revision += 1;
        folder.log(Logged { revision: self.revision, at: now, key: key.clone(), found: None });
        self.drop_if_unused(&Arc::from(name));
        true
    }

    /// Removes an entry on behalf of its owner, who needs no telling.
    pub(crate) fn withdraw(&mut self, key: &Key, now: Instant) {
        if let Some(id) = self.entry(key).and_then(|entry| entry.session)
            && let Some(lease) = self.sessions.get_mut(&id)
        {
            lease.keys.remove(key);
            lease.touched.remove(key);
        }
        self.erase(key, now);
    }

    /// Takes a key from the session that it hangs on, and tells that session's owner, unless it is `new`.
    fn let_go(&mut self, key: &Key, new: Option<SessionId>) {
        let old = self.entry(key).and_then(|entry| entry.session);
        if old.is_some() && old == new {
            return;
        }
        if let Some(lease) = old.and_then(|id| self.sessions.get_mut(&id))
            && lease.keys.remove(key)
        {
            lease.touched.insert(key.clone());
            lease.notify.notify_waiters();
        }
    }

    /// Tells the session that `key` hangs on that somebody looked after it.
    pub(crate) fn touch(&mut self, key: &Key) {
        if let Some(lease) = self.entry(key).and_then(|entry| entry.session).and_then(|id| self.sessions.get_mut(&id)) {
            lease.touched.insert(key.clone());
            lease.notify.notify_waiters();
        }
    }

    pub(crate) fn list(&self, folder: &str) -> Vec<Found> {
        self.folders
            .get(folder)
            .map_or_else(Vec::new, |folder| folder.entries.values().map(|entry| entry.found.clone()).collect())
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<_> = self.folders.values().flat_map(|folder| folder.entries.keys().cloned()).collect();
        keys.sort_unstable();
        keys
    }

    pub(crate) fn entry_count(&self) -> usize {
        self.folders.values().map(|folder| folder.entries.len()).sum()
    }

    pub(crate) fn refuse_key(&mut self, key: Key) {
        self.refused.insert(key);
    }

    pub(crate) fn accept_key(&mut self, key: &Key) {
        self.refused.remove(key);
    }

    pub(crate) fn refuses(&self, key: &Key) -> bool {
        self.refused.contains(key)
    }
}

/// Views.
impl State {
    /// The present revision: a view that has read everything now has seen it.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn arm(&mut self, folder: &Arc<str>) -> Arc<Notify> {
        self.views += 1;
        let revision = self.revision;
        let folder = self.folders.entry(folder.clone()).or_default();
        if folder.views == 0 {
            folder.forget_changes(revision);
        }
        folder.views += 1;
        folder.notify.clone()
    }

    pub(crate) fn disarm(&mut self, folder: &Arc<str>) {
        self.views -= 1;
        if let Some(found) = self.folders.get_mut(folder) {
            found.views -= 1;
            if found.views == 0 {
                found.forget_changes(self.revision);
            }
        }
        self.drop_if_unused(folder);
    }

    /// The first change of a folder after `seen`.
    pub(crate) fn next_change(&self, folder: &str, seen: u64) -> Next {
        let Some(folder) = self.folders.get(folder) else { return Next::Nothing };
        if seen < folder.compacted {
            return Next::Compacted;
        }
        let at = folder.log.partition_point(|logged| logged.revision <= seen);
        folder.log.get(at).map_or(Next::Nothing, |logged| Next::Change(logged.clone()))
    }

    /// Forgets all changes: views that have not seen them have to read everything again.
    pub(crate) fn compact(&mut self) {
        for folder in self.folders.values_mut() {
            if let Some(last) = folder.log.back() {
                folder.forget_changes(last.revision);
            }
        }
    }

    fn drop_if_unused(&mut self, folder: &Arc<str>) {
        if self.folders.get(folder).is_some_and(|found| found.views == 0 && found.entries.is_empty()) {
            self.folders.remove(folder);
        }
    }
}

impl Folder {
    /// Remembers a change while anybody watches.
    fn log(&mut self, logged: Logged) {
        if self.views == 0 {
            return;
        }
        if self.log.len() == LOG
            && let Some(oldest) = self.log.pop_front()
        {
            self.compacted = oldest.revision;
        }
        self.log.push_back(logged);
        self.notify.notify_waiters();
    }

    fn forget_changes(&mut self, until: u64) {
        self.log = VecDeque::new();
        self.compacted = until;
        self.notify.notify_waiters();
    }
}

/// Decodes an entry once for all its readers.
fn decode(folder: &str, key: &Key, value: &[u8], revision: u64) -> Found {
    let name = folder.rsplit('/').next().unwrap_or_default();
    let instance = ServiceName::new(name)
        .map_err(|refused| Malformed(refused.to_string()))
        .and_then(|service| JsonRecord::decode(&service, value));
    match instance {
        Ok(instance) => Found::new(key.clone(), instance, revision),
        Err(why) => Found::malformed(key.clone(), why),
    }
}
