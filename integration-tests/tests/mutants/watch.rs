//! W: watch.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use integration_tests::memory::MemoryHarness;
use registry_core::store::{Store as _, StoreError, View, ViewChange};
use registry_core::{
    Address, Error, ErrorKind, Handle, Publisher, Resolver as _, ServiceName, ServiceRegistry, Snapshot, Stale, Watch,
    WeakWatch,
};
use registry_memory::Client;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::mutant::Mutant;
use crate::relay::{Change, Relay, as_it_is};
use crate::twist::{StoreTwist, Twist, Twisted, TwistedStore};

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "tag changes are not changes",
        "Kitex DefaultDiff, volo diff_address",
        "w1_a_change_of_any_field_is_one_update",
        || MemoryHarness::new().with_handle(|handle, _| relayed(handle, tags_are_no_change)),
    ),
    Mutant::new(
        "what is not known yet is delivered as empty",
        "clients that begin with an empty list",
        "w1_a_watch_on_a_store_that_is_cut_off_is_unknown_and_not_empty",
        || MemoryHarness::new().with_handle(|handle, _| relayed(handle, unknown_is_empty)),
    ),
    Mutant::new(
        "the present snapshot is not delivered when it is empty",
        "kratos Consul",
        "w1_a_watch_is_unknown_then_present_then_follows_each_change",
        || MemoryHarness::new().with_handle(|handle, _| relayed(handle, never_empty)),
    ),
    Mutant::new(
        "a watch begins with the next change",
        "watches without a list",
        "w1_the_present_snapshot_comes_first_with_all_that_stands",
        || MemoryHarness::new().with_handle(|handle, _| relayed(handle, only_later_changes)),
    ),
    Mutant::new("the last removal is never reported", "kratos Consul", "w2_the_last_removal_is_seen", || {
        MemoryHarness::new().with_handle(|handle, _| relayed(handle, the_last_stays))
    }),
    Mutant::new(
        "a change soon after another is dropped",
        "debouncing without a last look",
        "w2_the_last_of_two_quick_changes_is_delivered",
        || MemoryHarness::new().with_handle(|handle, _| relayed(handle, drops_quick_changes)),
    )
    .under("two changes within a tenth of a second"),
    Mutant::new(
        "a stale read comes after a fresh one",
        "reads from a lagging follower",
        "w2_no_older_state_comes_after_a_newer",
        || MemoryHarness::new().with_handle(|handle, _| relayed(handle, old_after_new)),
    ),
    Mutant::new(
        "the watch ends for good on compaction",
        "etcd naming",
        "w2_after_compaction_the_last_item_is_the_store",
        || MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, EndsForGood)),
    )
    .under("a compaction while the watch is cut off"),
    Mutant::new(
        "the watch ends for good on a disconnect",
        "etcd naming, kratos ZooKeeper",
        "w2_after_a_kill_the_last_item_is_the_store",
        || MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, EndsForGood)),
    ),
    Mutant::new(
        "every change waits in a queue for its turn",
        "channels of changes instead of the newest state",
        "w3_after_10_000_changes_an_idle_consumer_gets_the_newest_in_one_item",
        || MemoryHarness::new().with_handle(|handle, _| Box::new(Twisted(Queues(handle)))),
    ),
    Mutant::new(
        "an outage reports an empty list",
        "Hertz",
        "w4_while_cut_off_the_list_stays_and_is_marked_stale",
        || MemoryHarness::new().with_handle(|handle, _| relayed(handle, stale_is_empty)),
    ),
    Mutant::new(
        "denied is told as unreachable",
        "errors that are strings",
        "w4_while_denied_the_list_stays_and_says_denied",
        || MemoryHarness::new().with_handle(|handle, _| relayed(handle, one_kind)),
    ),
    Mutant::new(
        "the stale mark stays for good",
        "marks that are set and never cleared",
        "w4_while_the_store_is_killed_the_list_stays",
        || MemoryHarness::new().with_handle(|handle, _| relayed(handle, stale_for_good)),
    ),
    Mutant::new(
        "what was removed in an outage is gone at once",
        "watchers without a grace",
        "w4_a_removal_during_an_outage_is_held_for_a_grace_and_then_delivered",
        || MemoryHarness::new().with_handle(|handle, _| relayed(handle, no_grace)),
    )
    .under("a removal in an outage"),
    Mutant::new(
        "a wiped store empties the list",
        "watchers without a grace",
        "w4_a_wiped_store_is_no_empty_list",
        || MemoryHarness::new().with_handle(|handle, _| relayed(handle, no_grace)),
    ),
    Mutant::new(
        "every removal is held for a grace",
        "a grace without an outage",
        "w4_without_an_outage_a_removal_is_delivered_at_once",
        || MemoryHarness::new().with_handle(|handle, _| relayed(handle, always_held)),
    ),
    Mutant::new(
        "an empty list is never believed",
        "empty-list protection",
        "w4_without_an_outage_a_scale_to_zero_is_delivered_at_once",
        || MemoryHarness::new().with_handle(|handle, _| relayed(handle, the_last_stays)),
    ),
    Mutant::new(
        "each resync leaves a watch behind",
        "watches that are armed again",
        "w5_watches_of_one_service_share_one_watch_on_the_store",
        || MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, ArmsTwice)),
    ),
    Mutant::new(
        "watches are kept for ever",
        "resolvers that cache their watchers",
        "w5_dropping_the_last_watch_ends_it_at_the_store",
        || MemoryHarness::new().with_handle(|handle, _| Box::new(Twisted(Keeps(handle, Mutex::default())))),
    ),
    Mutant::new(
        "a service that was watched once is not watched again",
        "resolvers that remember what they started",
        "w5_a_later_watch_starts_again_with_what_stands_then",
        || MemoryHarness::new().with_handle(|handle, _| Box::new(Twisted(StartsOnce(handle, Mutex::default())))),
    ),
    Mutant::new(
        "the newest snapshot is forgotten in an outage",
        "caches that are dropped with their connection",
        "w6_the_newest_snapshot_is_read_without_a_runtime",
        || MemoryHarness::new().with_handle(|handle, _| relayed(handle, stale_is_unknown)),
    ),
];

fn relayed(handle: Handle, change: fn() -> Change) -> Box<dyn ServiceRegistry> {
    Box::new(Twisted(Relay { handle, change }))
}

fn tags_are_no_change() -> Change {
    let mut last: Option<Vec<(Address, u32)>> = None;
    Box::new(move |newest| {
        let compared = newest.instances().iter().map(|i| (i.address().clone(), i.weight())).collect();
        if newest.is_known() && last.replace(compared) != last { as_it_is(&newest) } else { Vec::new() }
    })
}

fn unknown_is_empty() -> Change {
    Box::new(|newest| match newest.is_known() {
        true => as_it_is(&newest),
        false => as_it_is(&Snapshot::new(newest.service().clone(), [])),
    })
}

fn never_empty() -> Change {
    Box::new(|newest| if newest.is_empty() { Vec::new() } else { as_it_is(&newest) })
}

fn only_later_changes() -> Change {
    let mut known = false;
    Box::new(move |newest| {
        let first = newest.is_known() && !std::mem::replace(&mut known, true);
        if first { Vec::new() } else { as_it_is(&newest) }
    })
}

fn the_last_stays() -> Change {
    let mut listed = false;
    Box::new(move |newest| {
        listed |= !newest.is_empty();
        if listed && newest.is_empty() { Vec::new() } else { as_it_is(&newest) }
    })
}

fn drops_quick_changes() -> Change {
    let mut last: Option<Instant> = None;
    Box::new(move |newest| {
        if last.is_some_and(|last| last.elapsed() < Duration::from_millis(100)) {
            return Vec::new();
        }
        last = Some(Instant::now());
        as_it_is(&newest)
    })
}

fn old_after_new() -> Change {
    let mut last: Option<Arc<Snapshot>> = None;
    Box::new(move |newest| {
        let old = last.replace(newest.clone()).unwrap_or_else(|| newest.clone());
        [&newest, &old, &newest].into_iter().flat_map(|snapshot| as_it_is(snapshot)).collect()
    })
}

fn stale_is_empty() -> Change {
    Box::new(|newest| match newest.stale() {
        Some(stale) => as_it_is(&Snapshot::new(newest.service().clone(), []).with_stale(Some(stale.clone()))),
        None => as_it_is(&newest),
    })
}

fn stale_is_unknown() -> Change {
    Box::new(|newest| match newest.stale() {
        Some(stale) => as_it_is(&Snapshot::unknown(newest.service().clone()).with_stale(Some(stale.clone()))),
        None => as_it_is(&newest),
    })
}

fn one_kind() -> Change {
    Box::new(|newest| {
        let mark = newest.stale().map(|stale| Stale { kind: ErrorKind::Unreachable, ..stale.clone() });
        as_it_is(&(*newest).clone().with_stale(mark))
    })
}

fn stale_for_good() -> Change {
    let mut mark: Option<Stale> = None;
    Box::new(move |newest| {
        mark = newest.stale().cloned().or(mark.take());
        as_it_is(&(*newest).clone().with_stale(mark.clone()))
    })
}

fn no_grace() -> Change {
    Box::new(|newest| {
        if !newest.is_known() {
            return as_it_is(&newest);
        }
        let confirmed = newest.instances().iter().filter(|instance| !newest.is_unconfirmed(instance.address()));
        let confirmed = Snapshot::new(newest.service().clone(), confirmed.cloned());
        as_it_is(&confirmed.with_stale(newest.stale().cloned()))
    })
}

fn always_held() -> Change {
    let mut last: BTreeSet<Address> = BTreeSet::new();
    Box::new(move |newest| {
        let now: BTreeSet<Address> = newest.instances().iter().map(|instance| instance.address().clone()).collect();
        let removed = !last.is_subset(&now);
        last = now;
        vec![(if removed { Duration::from_secs(1) } else { Duration::ZERO }, (*newest).clone())]
    })
}

/// Views that go silent instead of telling that they are over.
struct EndsForGood;

#[async_trait]
impl StoreTwist for EndsForGood {
    async fn view(&self, inner: &Client, service: &ServiceName, attempt: u32) -> Result<Box<dyn View>, StoreError> {
        Ok(Box::new(SilentView { view: inner.view(service, attempt).await?, over: false }))
    }
}

struct SilentView {
    view: Box<dyn View>,
    over: bool,
}

#[async_trait]
impl View for SilentView {
    async fn next(&mut self) -> Result<ViewChange, StoreError> {
        if !self.over
            && let Ok(change) = self.view.next().await
        {
            return Ok(change);
        }
        self.over = true;
        // The connection lives; only this watch does not.
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(ViewChange::Alive)
    }
    async fn probe(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

struct ArmsTwice;

#[async_trait]
impl StoreTwist for ArmsTwice {
    async fn view(&self, inner: &Client, service: &ServiceName, attempt: u32) -> Result<Box<dyn View>, StoreError> {
        let left_behind = inner.view(service, attempt).await?;
        Ok(Box::new(TwoViews { view: inner.view(service, attempt).await?, _left_behind: Mutex::new(left_behind) }))
    }
}

struct TwoViews {
    view: Box<dyn View>,
    _left_behind: Mutex<Box<dyn View>>,
}

#[async_trait]
impl View for TwoViews {
    async fn next(&mut self) -> Result<ViewChange, StoreError> {
        self.view.next().await
    }
    async fn probe(&mut self) -> Result<(), StoreError> {
        self.view.probe().await
    }
}

struct Queues(Handle);

#[async_trait]
impl Twist for Queues {
    fn inner(&self) -> &Handle {
        &self.0
    }
    fn watch(&self, service: &ServiceName) -> Result<Watch, Error> {
        let mut inner = self.0.watch(service)?;
        let (publisher, watch) = Publisher::new(service.clone());
        let (queue, mut queued) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let fill = async {
                // Nobody takes from the queue any more when the watch was dropped.
                while inner.touched().await && queue.send(inner.latest().to_arc()).is_ok() {}
            };
            let deliver = async {
                while let Some(snapshot) = queued.recv().await {
                    publisher.publish((*snapshot).clone());
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            };
            tokio::select! { () = fill => {}, () = deliver => {}, () = publisher.unwatched() => {} }
        });
        Ok(watch)
    }
}

struct Keeps(Handle, Mutex<Vec<Watch>>);

#[async_trait]
impl Twist for Keeps {
    fn inner(&self) -> &Handle {
        &self.0
    }
    fn watch(&self, service: &ServiceName) -> Result<Watch, Error> {
        let watch = self.0.watch(service)?;
        self.1.lock().unwrap_or_else(PoisonError::into_inner).push(watch.clone());
        Ok(watch)
    }
}

struct StartsOnce(Handle, Mutex<HashMap<ServiceName, (WeakWatch, Vec<Publisher>)>>);

#[async_trait]
impl Twist for StartsOnce {
    fn inner(&self) -> &Handle {
        &self.0
    }
    fn watch(&self, service: &ServiceName) -> Result<Watch, Error> {
        let mut started = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((weak, idle)) = started.get_mut(service) {
            return Ok(weak.upgrade().unwrap_or_else(|| {
                let (publisher, watch) = Publisher::new(service.clone());
                idle.push(publisher);
                watch
            }));
        }
        let watch = self.0.watch(service)?;
        started.insert(service.clone(), (watch.downgrade(), Vec::new()));
        Ok(watch)
    }
}
