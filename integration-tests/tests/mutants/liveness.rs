//! L: liveness.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use registry_core::store::{
    Guard, Key, Lineage, OpenRequest, Put, Record, Session, SessionError, Standing, Store as _, StoreError, WriteError,
};
use registry_core::{Handle, HandleState, HandleStatus, NotServing, Registry as _};
use registry_memory::Client;
use tokio::sync::watch;

use crate::mutant::Mutant;
use crate::twist::{StoreTwist, Twist, handle, store};

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "a heart-beat that comes too late now and then",
        "Kitex Consul: beats at TTL - 1 s",
        "l1_an_entry_stays_for_ten_ttls",
        store!(BeatsLate::default()),
    ),
    Mutant::new(
        "heart-beats go to an empty check id",
        "Kitex Consul",
        "l1_an_entry_stays_for_ten_ttls",
        store!(RenewsNothing),
    ),
    Mutant::new(
        "the keep-alive outlives the registry value",
        "Kitex etcd: a goroutine that nobody stops",
        "l2_a_crashed_owner_is_gone_after_its_ttl_and_not_before",
        handle!(OutlivesItself::new),
    ),
    Mutant::new(
        "dropping a handle withdraws its entries",
        "clean-up in Drop",
        "l2_a_crashed_owner_is_gone_after_its_ttl_and_not_before",
        handle!(ClosesInDrop),
    ),
    Mutant::new(
        "never registers again after the agent lost it",
        "Kitex Consul",
        "l3_all_is_back_after_the_store_lost_its_data",
        store!(NeverRestores),
    ),
    Mutant::new(
        "gives up registering again after 5 failures, silently",
        "Kitex etcd, kratos etcd",
        "l3_all_is_back_after_a_long_outage",
        store!(GivesUp::default()),
    )
    .under("an outage of more than five tries"),
    Mutant::new(
        "what was announced is given up after 5 failures, silently",
        "Kitex etcd, kratos etcd",
        "r10_announced_in_an_outage_stands_after_it",
        store!(GivesUp::default()),
    ),
    Mutant::new(
        "never looks whether its entry still stands",
        "Kitex etcd and Consul",
        "l4_a_removed_entry_is_back_within_an_audit",
        store!(TrustsItself),
    ),
    Mutant::new(
        "never looks whether its entry still says what it wrote",
        "a check for existence only",
        "l4_a_changed_entry_is_back_within_an_audit",
        store!(LooksForExistence),
    ),
    Mutant::new(
        "restores a vanished entry at once, against a claimer that deletes and creates",
        "Curator: node watchers that re-create",
        "l4_an_owner_leaves_a_vanished_entry_alone_for_a_moment",
        store!(RestoresAtOnce),
    )
    .under("an audit between a claimer's delete and its create"),
    Mutant::new(
        "a keep-alive for each registration",
        "Kitex etcd: a lease each",
        "l5_between_audits_many_registrations_cost_no_more_than_one",
        store!(RenewsEach::default()),
    ),
    Mutant::new(
        "reconnects without a pause",
        "zookeeper-async: 3,300 connects a second",
        "l5_an_owner_backs_off_while_the_store_is_away",
        store!(ReconnectsWithoutPause),
    ),
    Mutant::new(
        "says connected whatever happens",
        "Kitex: no status",
        "l6_the_handles_status_follows_an_outage",
        handle!(AlwaysConnected::new),
    ),
    Mutant::new(
        "is ready while another owner holds its address",
        "Kitex: no status",
        "l6_is_ready_names_the_displaced_registration",
        handle!(AlwaysConnected::new),
    ),
    Mutant::new(
        "a log line for each failed attempt",
        "consulrs: three for each failed call",
        "l6_a_long_outage_costs_few_log_lines",
        store!(LogsEachFailure),
    ),
];

#[derive(Default)]
struct BeatsLate(AtomicU32);

#[async_trait]
impl StoreTwist for BeatsLate {
    async fn renew(&self, inner: &dyn Session, due: &[Record]) -> Result<Vec<Key>, SessionError> {
        if self.0.fetch_add(1, Ordering::Relaxed) % 5 == 4 { inner.renew(due).await } else { Ok(Vec::new()) }
    }
}

struct RenewsNothing;

#[async_trait]
impl StoreTwist for RenewsNothing {
    async fn renew(&self, _: &dyn Session, _: &[Record]) -> Result<Vec<Key>, SessionError> {
        Ok(Vec::new())
    }
}

struct OutlivesItself(Handle);

impl OutlivesItself {
    fn new(handle: Handle) -> Self {
        let kept = handle.clone();
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(kept);
        });
        Self(handle)
    }
}

impl Twist for OutlivesItself {
    fn inner(&self) -> &Handle {
        &self.0
    }
}

struct ClosesInDrop(Handle);

impl Twist for ClosesInDrop {
    fn inner(&self) -> &Handle {
        &self.0
    }
}

impl Drop for ClosesInDrop {
    fn drop(&mut self) {
        let handle = self.0.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { handle.close().await });
        }
    }
}

struct NeverRestores;

#[async_trait]
impl StoreTwist for NeverRestores {
    async fn put(&self, inner: &dyn Session, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        if batch.iter().all(|put| put.guard == Guard::AbsentOrOurs) {
            return batch.iter().map(|_| Ok(())).collect();
        }
        inner.put(batch, ours).await
    }
    async fn inspect(
        &self,
        _: &dyn Session,
        records: &[Record],
        _: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        Ok(vec![Ok(Standing::Ours { current: true, same: true }); records.len()])
    }
}

/// How many failures in a row the peers take.
const FAILURES: u32 = 5;

#[derive(Default)]
struct GivesUp(AtomicU32);

impl GivesUp {
    /// Counts a try until it succeeds; an error when it is not made any more.
    fn begin(&self) -> Result<(), StoreError> {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            failures if failures > FAILURES => Err(StoreError::unreachable("given up")),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl StoreTwist for GivesUp {
    async fn open(&self, inner: &Client, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        self.begin()?;
        let session = inner.open(request).await?;
        self.0.store(0, Ordering::Relaxed);
        Ok(session)
    }
    async fn renew(&self, inner: &dyn Session, due: &[Record]) -> Result<Vec<Key>, SessionError> {
        self.begin().map_err(SessionError::Failed)?;
        let renewed = inner.renew(due).await?;
        self.0.store(0, Ordering::Relaxed);
        Ok(renewed)
    }
}

struct TrustsItself;

#[async_trait]
impl StoreTwist for TrustsItself {
    async fn inspect(
        &self,
        _: &dyn Session,
        records: &[Record],
        _: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        Ok(vec![Ok(Standing::Ours { current: true, same: true }); records.len()])
    }
}

struct LooksForExistence;

#[async_trait]
impl StoreTwist for LooksForExistence {
    async fn inspect(
        &self,
        inner: &dyn Session,
        records: &[Record],
        ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        let mut standings = inner.inspect(records, ours).await?;
        for standing in &mut standings {
            if let Ok(Standing::Ours { same, .. }) = standing {
                *same = true;
            }
        }
        Ok(standings)
    }
}

struct RestoresAtOnce;

#[async_trait]
impl StoreTwist for RestoresAtOnce {
    async fn inspect(
        &self,
        inner: &dyn Session,
        records: &[Record],
        ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        let mut standings = inner.inspect(records, ours).await?;
        for standing in standings.iter_mut().filter(|standing| matches!(standing, Ok(Standing::Absent))) {
            *standing = Ok(Standing::Ours { current: false, same: false });
        }
        Ok(standings)
    }
}

#[derive(Default)]
struct RenewsEach(Mutex<HashSet<Key>>);

#[async_trait]
impl StoreTwist for RenewsEach {
    async fn put(&self, inner: &dyn Session, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        let keys = batch.iter().map(|put| put.record.key().clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(keys);
        inner.put(batch, ours).await
    }
    async fn renew(&self, inner: &dyn Session, due: &[Record]) -> Result<Vec<Key>, SessionError> {
        let count = self.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        for _ in 0..count {
            inner.renew(due).await?;
        }
        inner.renew(due).await
    }
}

struct ReconnectsWithoutPause;

#[async_trait]
impl StoreTwist for ReconnectsWithoutPause {
    async fn open(&self, inner: &Client, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        loop {
            if let Ok(session) = inner.open(request.clone()).await {
                return Ok(session);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    async fn renew(&self, inner: &dyn Session, due: &[Record]) -> Result<Vec<Key>, SessionError> {
        loop {
            match inner.renew(due).await {
                Err(SessionError::Failed(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
                answered => return answered,
            }
        }
    }
}

struct AlwaysConnected {
    handle: Handle,
    status: watch::Sender<HandleStatus>,
}

impl AlwaysConnected {
    fn new(handle: Handle) -> Self {
        let status = handle.status().borrow().clone();
        let status = watch::Sender::new(HandleStatus { state: HandleState::Connected, ..status });
        Self { handle, status }
    }
}

impl Twist for AlwaysConnected {
    fn inner(&self) -> &Handle {
        &self.handle
    }
    fn status(&self) -> watch::Receiver<HandleStatus> {
        self.status.subscribe()
    }
    fn is_ready(&self) -> Result<(), NotServing> {
        Ok(())
    }
}

struct LogsEachFailure;

#[async_trait]
impl StoreTwist for LogsEachFailure {
    async fn open(&self, inner: &Client, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        tracing::error!("connecting");
        inner.open(request).await
    }
    async fn renew(&self, inner: &dyn Session, due: &[Record]) -> Result<Vec<Key>, SessionError> {
        let answered = tokio::time::timeout(Duration::from_millis(300), inner.renew(due)).await;
        answered.unwrap_or_else(|_| {
            tracing::error!("no answer");
            Err(SessionError::Failed(StoreError::unreachable("no answer")))
        })
    }
}
