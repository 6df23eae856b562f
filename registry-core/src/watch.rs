//! The consumer's end of a watch, and the publisher's.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use futures_core::Stream;
use tokio::sync::watch;

use crate::name::ServiceName;
use crate::snapshot::{Difference, Snapshot};

/// A watch on one service: the newest snapshot at any time, and each change of it.
///
/// Every watch has its own memory of what it delivered, so that the difference of each [`Change`] is relative to the item before it *as
/// delivered to this watch* (clause W1). A slow consumer skips intermediate states and never sees an older one after a newer (W2); it
/// costs one snapshot, whatever happens meanwhile (W3). A clone starts afresh: its first change is the present snapshot.
///
/// Dropping the last watch of a service on a handle ends it at the store, too (W5).
pub struct Watch {
    shared: Arc<Shared>,
    delivered: Option<Arc<Snapshot>>,
    changes: WatchChanges,
}

/// What all watches of one publisher share. Dropped with the last [`Watch`].
struct Shared {
    newest: Arc<ArcSwap<Snapshot>>,
    version: watch::Receiver<u64>,
}

/// One item of a watch: the full list and what changed since the item before it.
#[derive(Clone, Debug)]
pub struct Change {
    /// All instances.
    pub snapshot: Arc<Snapshot>,
    /// The difference to the snapshot delivered before; everything is `added` in the first item.
    pub difference: Difference,
}

impl Watch {
    /// The service that is watched.
    pub fn service(&self) -> ServiceName {
        self.shared.newest.load().service().clone()
    }

    /// The newest snapshot: synchronous and lock-free, without I/O, allocation or await, also during an outage (clause W6).
    pub fn latest(&self) -> SnapshotRef {
        SnapshotRef(self.shared.newest.load())
    }

    /// The next change of the set of instances: at first the present snapshot, as soon as the store has answered once (also when it is
    /// empty), then one item whenever the set or a field of an instance changed. `None` when the handle was closed.
    ///
    /// A mark that comes or goes (stale, unconfirmed) is no change of the set: see [`touched`](Self::touched) and
    /// [`latest`](Self::latest).
    ///
    /// # Cancel safety
    /// Cancel safe: a change is recorded as delivered only when it is returned.
    pub async fn next(&mut self) -> Option<Change> {
        std::future::poll_fn(|cx| self.poll_change(cx)).await
    }

    /// Waits until anything about the newest snapshot changed, marks included, since this method or [`next`](Self::next) last looked.
    /// `false` when the handle was closed.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn touched(&mut self) -> bool {
        self.changes.changed().await
    }

    /// Waits until at least `min` instances are known, for at most `limit`.
    ///
    /// Nothing is consumed: [`next`](Self::next) still delivers what it would have delivered.
    ///
    /// # Errors
    /// [`NotReady`] with the newest snapshot when the limit passed or the handle was closed.
    ///
    /// # Panics
    /// When polled outside a tokio runtime with time enabled.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn ready(&self, min: usize, limit: Duration) -> Result<Arc<Snapshot>, NotReady> {
        let mut changes = WatchChanges::new(self.shared.version.clone());
        let enough = async {
            loop {
                let newest = self.latest();
                if newest.is_known() && newest.len() >= min {
                    return Some(newest.to_arc());
                }
                drop(newest);
                if !changes.changed().await {
                    return None;
                }
            }
        };
        match tokio::time::timeout(limit, enough).await {
            Ok(Some(snapshot)) => Ok(snapshot),
            Ok(None) => Err(NotReady { newest: self.latest().to_arc(), wanted: min, closed: true }),
            Err(_) => Err(NotReady { newest: self.latest().to_arc(), wanted: min, closed: false }),
        }
    }

    fn poll_change(&mut self, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        loop {
            let seen = self.changes.poll_changed(cx);
            // Looked at in any case: `touched` may have seen the version of a change that was not delivered.
            let newest = self.shared.newest.load_full();
            let before = self.delivered.as_ref();
            if newest.is_known() && before.is_none_or(|before| !newest.same_set(before)) {
                let difference = match before {
                    Some(before) => newest.difference(before),
                    None => newest.difference(&Snapshot::unknown(newest.service().clone())),
                };
                self.delivered = Some(newest.clone());
                return Poll::Ready(Some(Change { snapshot: newest, difference }));
            }
            match seen {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(None),
            }
        }
    }
}

impl Clone for Watch {
    fn clone(&self) -> Self {
        let changes = WatchChanges::new(self.shared.version.clone());
        Self { shared: self.shared.clone(), delivered: None, changes }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("latest", &*self.latest()).finish_non_exhaustive()
    }
}

impl Stream for Watch {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        self.poll_change(cx)
    }
}

/// A borrowed newest snapshot. Keep it for as long as one decision takes; [`to_arc`](Self::to_arc) keeps it longer.
pub struct SnapshotRef(Guard<Arc<Snapshot>>);

impl SnapshotRef {
    /// The snapshot as a value to keep.
    pub fn to_arc(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0)
    }
}

impl Deref for SnapshotRef {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

impl fmt::Debug for SnapshotRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// [`Watch::ready`] ended without enough instances.
#[derive(Clone, Debug)]
pub struct NotReady {
    /// The newest snapshot when the waiting ended.
    pub newest: Arc<Snapshot>,
    /// How many instances were waited for.
    pub wanted: usize,
    /// Whether the handle was closed, so that waiting longer would not help.
    pub closed: bool,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { newest, wanted, closed } = self;
        write!(f, "{} of {wanted} instances of {} are known", newest.len(), newest.service())?;
        if *closed {
            f.write_str(", and the handle was closed")?;
        } else if let Some(stale) = newest.stale() {
            write!(f, ": {}: {}", stale.kind, stale.text)?;
        } else if !newest.is_known() {
            f.write_str(": the store has not answered yet")?;
        }
        Ok(())
    }
}

impl std::error::Error for NotReady {}

/// The publisher's end of a watch, for those who implement [`Resolver`](crate::Resolver) themselves. Adapters on core's store
/// operations do not need it.
#[derive(Debug)]
pub struct Publisher {
    newest: Arc<ArcSwap<Snapshot>>,
    version: watch::Sender<u64>,
}

/// Further watches of one publisher, without keeping it alive.
#[derive(Clone, Debug, Default)]
pub struct WeakWatch(std::sync::Weak<Shared>);

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl WeakWatch {
    /// Another watch of the same publisher, unless the last one was dropped or the publisher is gone.
    pub fn upgrade(&self) -> Option<Watch> {
        let shared = self.0.upgrade()?;
        if shared.version.has_changed().is_err() {
            return None;
        }
        let changes = WatchChanges::new(shared.version.clone());
        Some(Watch { shared, delivered: None, changes })
    }
}

impl Publisher {
    /// A publisher and its first watch, whose snapshot is unknown.
    pub fn new(service: ServiceName) -> (Self, Watch) {
        let newest = Arc::new(ArcSwap::from_pointee(Snapshot::unknown(service)));
        let (version, seen) = watch::channel(0);
        let changes = WatchChanges::new(seen.clone());
        let shared = Arc::new(Shared { newest: newest.clone(), version: seen });
        (Self { newest, version }, Watch { shared, delivered: None, changes })
    }

    /// Makes `snapshot` the newest one and wakes the consumers.
    pub fn publish(&self, snapshot: Snapshot) {
        self.newest.store(Arc::new(snapshot));
        self.version.send_modify(|version| *version += 1);
    }

    /// The newest snapshot.
    pub fn latest(&self) -> Arc<Snapshot> {
        self.newest.load_full()
    }

    /// Completes when the last watch was dropped (clause W5). Cancel safe.
    pub async fn unwatched(&self) {
        self.version.closed().await;
    }
}

impl Watch {
    /// A way to make further watches without keeping the publisher's work alive.
    pub fn downgrade(&self) -> WeakWatch {
        WeakWatch(Arc::downgrade(&self.shared))
    }
}

/// A pollable wait for the next version. The boxed future owns the receiver and hands it back, so that polling keeps its place.
struct WatchChanges {
    wait: Pin<Box<dyn Future<Output = (bool, watch::Receiver<u64>)> + Send + Sync>>,
}

impl WatchChanges {
    /// Starts with one change due: the present state.
    fn new(mut version: watch::Receiver<u64>) -> Self {
        version.mark_changed();
        Self { wait: Box::pin(wait_for_change(version)) }
    }

    fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let (more, version) = std::task::ready!(self.wait.as_mut().poll(cx));
        self.wait = Box::pin(wait_for_change(version));
        Poll::Ready(more)
    }

    async fn changed(&mut self) -> bool {
        std::future::poll_fn(|cx| self.poll_changed(cx)).await
    }
}

async fn wait_for_change(mut version: watch::Receiver<u64>) -> (bool, watch::Receiver<u64>) {
    let more = version.changed().await.is_ok();
    (more, version)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::address::Address;
    use crate::instance::Instance;

    fn service() -> ServiceName {
        ServiceName::new("demo").unwrap()
    }

    fn snapshot(ports: &[u16]) -> Snapshot {
        let instance = |port: &u16| Arc::new(Instance::new(service(), Address::tcp(&format!("h:{port}")).unwrap()));
        Snapshot::new(service(), ports.iter().map(instance))
    }

    #[tokio::test]
    async fn unknown_is_not_delivered_and_empty_is() {
        let (publisher, mut watch) = Publisher::new(service());
        assert!(!watch.latest().is_known());
        assert!(watch.next().now_or_never().is_none());
        publisher.publish(snapshot(&[]));
        assert!(watch.next().await.unwrap().snapshot.is_empty());
    }

    #[tokio::test]
    async fn the_difference_is_to_what_this_consumer_saw() {
        let (publisher, mut slow) = Publisher::new(service());
        publisher.publish(snapshot(&[1]));
        assert_eq!(slow.next().await.unwrap().difference.added.len(), 1);
        publisher.publish(snapshot(&[1, 2]));
        publisher.publish(snapshot(&[2, 3]));
        let change = slow.next().await.unwrap();
        assert_eq!((change.difference.added.len(), change.difference.removed.len()), (2, 1));
        assert!(slow.next().now_or_never().is_none(), "nothing more is due");
        assert_eq!(slow.clone().next().await.unwrap().difference.added.len(), 2, "a clone starts afresh");
    }

    #[tokio::test]
    async fn a_mark_touches_the_watch_and_is_no_change() {
        let (publisher, mut watch) = Publisher::new(service());
        publisher.publish(snapshot(&[1]));
        watch.next().await.unwrap();
        let since = std::time::SystemTime::now();
        let stale = crate::snapshot::Stale { since, kind: crate::ErrorKind::Unreachable, text: "gone".into() };
        publisher.publish(snapshot(&[1]).with_stale(Some(stale)));
        assert!(watch.touched().await);
        assert!(watch.latest().stale().is_some());
        assert!(watch.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_change_that_touched_the_watch_is_still_delivered() {
        let (publisher, mut watch) = Publisher::new(service());
        publisher.publish(snapshot(&[1]));
        assert!(watch.touched().await);
        let change = watch.next().now_or_never().expect("the change is due").unwrap();
        assert_eq!(change.difference.added.len(), 1);
        publisher.publish(snapshot(&[2]));
        drop(publisher);
        assert!(watch.touched().await);
        assert_eq!(watch.next().await.unwrap().difference.removed.len(), 1);
        assert!(watch.next().await.is_none());
    }

    #[tokio::test]
    async fn a_watch_ends_with_its_publisher_after_the_last_change() {
        let (publisher, mut watch) = Publisher::new(service());
        publisher.publish(snapshot(&[1]));
        drop(publisher);
        assert_eq!(watch.next().await.unwrap().snapshot.len(), 1);
        assert!(watch.next().await.is_none());
        assert!(watch.next().await.is_none());
        assert!(watch.downgrade().upgrade().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn ready_waits_for_enough_and_names_what_is_missing() {
        let (publisher, watch) = Publisher::new(service());
        let error = watch.ready(1, Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(error.to_string(), "0 of 1 instances of demo are known: the store has not answered yet");
        publisher.publish(snapshot(&[1, 2]));
        assert_eq!(watch.ready(2, Duration::from_secs(1)).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn the_publisher_learns_that_nobody_watches() {
        let (publisher, watch) = Publisher::new(service());
        let second = watch.clone();
        drop(watch);
        assert!(publisher.unwatched().now_or_never().is_none());
        drop(second);
        publisher.unwatched().await;
    }
}
