//! What subscribers are told of one service.

use std::sync::Arc;
use std::time::Duration;

use async_broadcast::Sender;
use faststr::FastStr;
use registry_core::{Snapshot, Watch};
use tokio::sync::Notify;
use tokio::time::Instant;
use volo::discovery::Change;

use crate::convert::{Converted, Difference, Lookup};

/// How long after an answer of `discover` the list is told once more. Volo's balancers drop a change of a service that they do not know yet, and know it only
/// some time after `discover` has answered: without that, one that comes in between would be lost until the next.
pub(crate) const REPEAT: Duration = Duration::from_secs(1);

/// How often a host name that was not found is looked up again.
pub(crate) const LOOK_UP_AGAIN: Duration = Duration::from_secs(5);

/// Passes on what happens to one service. While a subscriber holds it up, the watch merges what happens.
pub(crate) struct Follower {
    key: FastStr,
    watch: Watch,
    changes: Sender<Change<FastStr>>,
    converted: Converted,
    newest: Option<Arc<Snapshot>>,
    answered: Arc<Notify>,
}

impl Follower {
    /// `answered` is told of each answer of `discover`.
    pub(crate) fn new(
        key: FastStr,
        watch: Watch,
        changes: Sender<Change<FastStr>>,
        lookup: Lookup,
        answered: Arc<Notify>,
    ) -> Self {
        Self { key, watch, changes, converted: Converted::new(lookup), newest: None, answered }
    }

    /// Runs until the registry is closed.
    pub(crate) async fn run(mut self) {
        let (mut repeat_at, mut look_up_at) = (None, None);
        loop {
            tokio::select! {
                change = self.watch.next() => {
                    let Some(change) = change else { return };
                    self.take(change).await;
                }
                () = self.answered.notified(), if repeat_at.is_none() => repeat_at = Some(Instant::now() + REPEAT),
                () = until(repeat_at) => {
                    // Before the first change there is nothing to repeat.
                    repeat_at = self.newest.is_none().then(|| Instant::now() + REPEAT);
                    self.tell(Difference::default(), Vec::new()).await;
                }
                () = until(look_up_at) => {
                    look_up_at = None;
                    let found = self.converted.add_unresolved().await;
                    if !(found.added.is_empty() && found.updated.is_empty()) {
                        self.tell(found, Vec::new()).await;
                    }
                }
            }
            if self.converted.has_unresolved() {
                look_up_at = look_up_at.or_else(|| Some(Instant::now() + LOOK_UP_AGAIN));
            }
        }
    }

    async fn take(&mut self, change: registry_core::Change) {
        let removed = self.converted.all(&change.difference.removed);
        self.converted.remove(&change.difference.removed);
        let seen = change.difference.added.iter().chain(&change.difference.updated).cloned().collect();
        let difference = self.converted.add(seen).await;
        self.newest = Some(change.snapshot);
        self.tell(difference, removed).await;
    }

    async fn tell(&self, difference: Difference, removed: Vec<Arc<volo::discovery::Instance>>) {
        let Some(newest) = &self.newest else { return };
        let Difference { added, updated } = difference;
        let all = self.converted.all(newest.instances());
        // An error means that nobody subscribes now; whoever does later discovers first.
        let _ = self.changes.broadcast(Change { key: self.key.clone(), all, added, updated, removed }).await;
    }
}

/// Waits for this moment, or for ever where there is none.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
