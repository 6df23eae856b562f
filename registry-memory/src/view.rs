//! A view: core's [`View`] over a connection.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use registry_core::ErrorKind;
use registry_core::store::{StoreError, View, ViewChange};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::client::{Connection, stopped};
use crate::link::{Access, Passage};
use crate::state::{Next, Power, State};
use crate::wait::until;

/// A view of one service: a place in the store's log of changes, and nothing that grows.
pub(crate) struct MemoryView {
    connection: Connection,
    folder: Arc<str>,
    notify: Arc<Notify>,
    /// The life of the store in which the view was opened.
    life: u64,
    /// The revision up to which everything was delivered; `None` before the full list.
    seen: Option<u64>,
    probed: bool,
    /// Why the view is over.
    over: Option<StoreError>,
}

enum Step {
    Yield(ViewChange),
    Fail(StoreError),
    /// Until something happens, or this moment at the latest.
    Wait(Option<Instant>),
}

impl MemoryView {
    /// A view of `folder`, which was armed for it.
    pub(crate) fn new(connection: Connection, folder: Arc<str>, notify: Arc<Notify>, life: u64) -> Self {
        Self { connection, folder, notify, life, seen: None, probed: false, over: None }
    }

    fn step(&mut self, state: &mut State, now: Instant) -> Step {
        if state.power == Power::Stopped {
            return Step::Fail(stopped());
        }
        if state.power == Power::Frozen {
            return Step::Wait(None);
        }
        if state.life != self.life {
            return Step::Fail(StoreError::unreachable("the store was started anew, open another view"));
        }
        let Some(seen) = self.seen else {
            self.seen = Some(state.revision());
            return Step::Yield(ViewChange::Full(state.list(&self.folder)));
        };
        let due = match state.next_change(&self.folder, seen) {
            Next::Compacted => {
                return Step::Fail(StoreError::new(ErrorKind::Other, "changes were missed, read everything again"));
            }
            Next::Nothing => state.next_deadline(),
            Next::Change(logged) => {
                let due = logged.at + self.connection.link.current_delay();
                if due <= now {
                    self.seen = Some(logged.revision);
                    return Step::Yield(logged.found.map_or(ViewChange::Remove(logged.key), ViewChange::Upsert));
                }
                Some(due)
            }
        };
        if std::mem::take(&mut self.probed) { Step::Yield(ViewChange::Alive) } else { Step::Wait(due) }
    }
}

#[async_trait]
impl View for MemoryView {
    async fn next(&mut self) -> Result<ViewChange, StoreError> {
        let (store, link, notify) = (self.connection.store.clone(), self.connection.link.clone(), self.notify.clone());
        if let Some(error) = &self.over {
            return Err(error.clone());
        }
        loop {
            let (changed, cut, power) = (notify.notified(), link.changed().notified(), store.power().notified());
            let step = match link.passage(Access::Read) {
                Passage::Open => store.with(|state, now| self.step(state, now)),
                Passage::Fail(error) => Step::Fail(error),
                Passage::Wait | Passage::Late | Passage::Mute => Step::Wait(None),
            };
            let due = match step {
                Step::Yield(change) => return Ok(change),
                Step::Fail(error) => {
                    self.over = Some(error.clone());
                    return Err(error);
                }
                Step::Wait(due) => due,
            };
            tokio::select! { () = changed => {}, () = cut => {}, () = power => {}, () = until(due) => {} }
        }
    }

    async fn probe(&mut self) -> Result<(), StoreError> {
        self.probed = true;
        Ok(())
    }
}

impl Drop for MemoryView {
    fn drop(&mut self) {
        self.connection.store.with(|state, _| state.disarm(&self.folder));
    }
}

impl fmt::Debug for MemoryView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryView").field("folder", &self.folder).field("seen", &self.seen).finish_non_exhaustive()
    }
}
