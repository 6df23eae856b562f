//! A view: core's [`View`] over a watch.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use registry_core::ServiceName;
use registry_core::store::{StoreError, View, ViewChange};

use crate::entries;
use crate::transport::{Changes, Event, Failure, Transport};

/// Every how many probes we ask whether we are still permitted to read: etcd checks it when a watch is created, and never again.
const PERMISSION_CHECK: u32 = 4;

/// A view of one service: the watch is armed first, then everything is read.
///
/// In the other order the watch would have to start at a revision that was read elsewhere, and one from a revision that a wiped store has not reached yet is
/// silent for ever.
pub(crate) struct EtcdView {
    transport: Arc<Transport>,
    service: ServiceName,
    folder: String,
    changes: Changes,
    /// What was told and not yet yielded: the full list, or the rest of one message.
    queue: VecDeque<ViewChange>,
    /// The revision of the full list: changes up to it are in it.
    listed: i64,
    /// Probes since the watch was created.
    probes: u32,
}

impl EtcdView {
    pub(crate) async fn open(transport: Arc<Transport>, service: ServiceName, folder: String) -> Result<Self, Failure> {
        let changes = transport.watch(&folder).await?;
        let listed = transport.list(&folder).await?;
        if listed.revision < changes.revision() {
            return Err(Failure::store_replaced());
        }
        let entries = listed.entries.iter().filter_map(|stored| entries::found(&service, &folder, stored));
        let queue = VecDeque::from([ViewChange::Full(entries.collect())]);
        Ok(Self { transport, service, folder, changes, queue, listed: listed.revision, probes: 0 })
    }

    fn change(&self, event: &Event) -> Option<ViewChange> {
        match event {
            Event::Put(stored) if stored.revision > self.listed => {
                entries::found(&self.service, &self.folder, stored).map(ViewChange::Upsert)
            }
            Event::Delete { key, revision } if *revision > self.listed => {
                entries::gone(&self.folder, key).map(ViewChange::Remove)
            }
            Event::Put(_) | Event::Delete { .. } => None,
        }
    }
}

#[async_trait]
impl View for EtcdView {
    async fn next(&mut self) -> Result<ViewChange, StoreError> {
        if let Some(change) = self.queue.pop_front() {
            return Ok(change);
        }
        let events = self.changes.next().await?;
        let changes: Vec<_> = events.iter().filter_map(|event| self.change(event)).collect();
        self.queue.extend(changes);
        Ok(self.queue.pop_front().unwrap_or(ViewChange::Alive))
    }

    async fn probe(&mut self) -> Result<(), StoreError> {
        self.changes.ask().await?;
        self.probes = self.probes.wrapping_add(1);
        if self.probes.is_multiple_of(PERMISSION_CHECK) {
            self.transport.check_readable(&self.folder).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for EtcdView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdView").field("folder", &self.folder).field("listed", &self.listed).finish_non_exhaustive()
    }
}
