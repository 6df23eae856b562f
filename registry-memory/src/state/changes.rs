//! Folders and their bounded log of changes, for views.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use registry_core::store::{Found, Key};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Entry, State};

/// How many changes of one service are remembered for views that lag behind. A view that lags further has to read everything again.
const LOG: usize = 4096;

/// The entries of one service under one namespace.
#[derive(Default)]
pub(super) struct Folder {
    pub(super) entries: BTreeMap<Key, Entry>,
    pub(super) views: usize,
    pub(super) log: VecDeque<Logged>,
    /// Changes up to this revision are not in the log.
    pub(super) compacted: u64,
    pub(super) notify: Arc<Notify>,
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

    pub(super) fn drop_if_unused(&mut self, folder: &Arc<str>) {
        if self.folders.get(folder).is_some_and(|found| found.views == 0 && found.entries.is_empty()) {
            self.folders.remove(folder);
        }
    }
}

impl Folder {
    /// Remembers a change while anybody watches.
    pub(super) fn log(&mut self, logged: Logged) {
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

    pub(super) fn forget_changes(&mut self, until: u64) {
        self.log = VecDeque::new();
        self.compacted = until;
        self.notify.notify_waiters();
    }
}
