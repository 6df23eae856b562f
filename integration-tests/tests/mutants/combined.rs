//! Mistakes that no single step shows: they take a second fault, a second time, or a thousand of them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use integration_tests::memory::MemoryHarness;
use registry_core::store::{
    Guard, Lineage, OpenRequest, Put, Session, SessionError, Standing, Store as _, StoreError, View, WriteError,
};
use registry_core::{Instance, ServiceName, Snapshot};
use registry_memory::Client;

use crate::mutant::Mutant;
use crate::relay::{Change, Relay, as_it_is};
use crate::twist::{StoreTwist, Twisted, store};

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "a watch that is opened again begins one revision too late, and misses the next removal",
        "etcd naming, kratos etcd: a watch that goes on from the revision of another answer",
        "w2_after_a_kill_the_last_item_is_the_store",
        || MemoryHarness::new().with_handle(|handle, _| Box::new(Twisted(Relay { handle, change: one_too_late }))),
    )
    .under("an outage, and a removal as the first change after it"),
    Mutant::new(
        "one watch of 500 is never ended",
        "Kitex etcd: a goroutine and a channel for each watch that nobody stops",
        "w5_a_thousand_watches_that_came_and_went_leave_nothing",
        store!(KeepsSome::default()),
    )
    .under("a thousand watches"),
    Mutant::new(
        "what was restored once is not restored again",
        "kratos etcd: the counter of tries is not set back",
        "l3_all_is_back_after_each_of_many_session_expiries",
        store!(RestoresOnce::default()),
    )
    .under("a second expiry after a recovery"),
];

/// Applies differences to a list of its own, and after an outage loses those removals that come first.
fn one_too_late() -> Change {
    let (mut last, mut ghosts): (Vec<Arc<Instance>>, Vec<Arc<Instance>>) = Default::default();
    let (mut was_stale, mut misses) = (false, false);
    Box::new(move |newest| {
        let is_stale = newest.stale().is_some();
        misses |= was_stale && !is_stale;
        was_stale = is_stale;
        let gone = last.iter().filter(|instance| newest.get(instance.address().as_str()).is_none());
        let gone: Vec<Arc<Instance>> = gone.cloned().collect();
        if misses && !gone.is_empty() {
            misses = false;
            ghosts.extend(gone);
        }
        last = newest.instances().to_vec();
        if ghosts.is_empty() {
            return as_it_is(&newest);
        }
        let shown = Snapshot::new(newest.service().clone(), last.iter().chain(&ghosts).cloned());
        as_it_is(&shown.with_stale(newest.stale().cloned()))
    })
}

#[derive(Default)]
struct KeepsSome(AtomicU32, Mutex<Vec<Box<dyn View>>>);

#[async_trait]
impl StoreTwist for KeepsSome {
    async fn view(&self, inner: &Client, service: &ServiceName, attempt: u32) -> Result<Box<dyn View>, StoreError> {
        if self.0.fetch_add(1, Ordering::Relaxed) % 500 == 499 {
            let kept = inner.view(service, attempt).await?;
            self.1.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        }
        inner.view(service, attempt).await
    }
}

/// Counts the sessions: the first is the one to begin with, and the second restores.
#[derive(Default)]
struct RestoresOnce(AtomicU32);

#[async_trait]
impl StoreTwist for RestoresOnce {
    async fn open(&self, inner: &Client, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        let opened = inner.open(request).await?;
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(opened)
    }
    async fn put(&self, inner: &dyn Session, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        let restores = batch.iter().all(|put| put.guard == Guard::AbsentOrOurs);
        if restores && self.0.load(Ordering::Relaxed) > 2 {
            return batch.iter().map(|_| Ok(())).collect();
        }
        inner.put(batch, ours).await
    }
    async fn inspect(
        &self,
        inner: &dyn Session,
        records: &[registry_core::store::Record],
        ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        if self.0.load(Ordering::Relaxed) > 2 {
            return Ok(vec![Ok(Standing::Ours { current: true, same: true }); records.len()]);
        }
        inner.inspect(records, ours).await
    }
}
