//! What a store holds: entries in folders, sessions with deadlines, and a bounded log of changes for views.
//!
//! Everything here runs under the store's one lock and knows nothing of faults on the way.

mod changes;
mod sessions;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use registry_core::ServiceName;
use registry_core::store::{Found, JsonRecord, Key, Malformed, SessionId};
use tokio::time::Instant;

use self::changes::Folder;
pub(crate) use self::changes::{Logged, Next};
use self::sessions::Lease;

/// All that a store holds.
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

/// Whether the store answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Power {
    #[default]
    Running,
    Frozen,
    Stopped,
}

/// An entry, with what its readers get.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) value: Arc<[u8]>,
    pub(crate) session: Option<SessionId>,
    pub(crate) revision: u64,
    found: Found,
}

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

    /// Tells the session that `key` hangs on that somebody changed it.
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

/// Splits a key into folder and address. Namespaces and service names have no empty path element, so that the first `//` can only be the
/// beginning of a socket path; every other address has no `/`.
fn folder_of(key: &str) -> &str {
    let end = key.find("//").or_else(|| key.rfind('/')).unwrap_or(0);
    &key[..end]
}
