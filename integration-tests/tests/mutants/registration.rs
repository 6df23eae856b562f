//! R: registration.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use registry_core::store::{
    Guard, Lineage, OpenRequest, Put, Record, Session, SessionError, Standing, Store as _, StoreError, WriteError,
};
use registry_core::{Error, ErrorKind, Handle, Info, Outcome, Registry as _, Resolver as _};
use registry_memory::Client;

use crate::mutant::Mutant;
use crate::twist::{StoreTwist, Twist, handle, store, store_of_the_first};

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "register answers before anything was written",
        "adapters that register in the background",
        "r1_registered_is_seen_by_another_handle_at_once",
        handle!(RegistersInTheBackground),
    ),
    Mutant::new(
        "an update deletes and re-creates",
        "Kitex ZooKeeper, Curator",
        "r2_an_update_replaces_every_field_and_no_reader_misses_the_identity",
        handle!(DeletesAndCreates),
    ),
    Mutant::new(
        "an update of a registration that stands is not written",
        "NodeExists taken for success",
        "r2_a_watcher_sees_the_updates_and_never_misses_the_identity",
        handle!(WritesOnce),
    ),
    Mutant::new(
        "one state a handle: withdrawing one registration ends the keep-alive of all",
        "Kitex etcd and Consul, Hertz etcd and Redis",
        "r3_a_second_registration_leaves_the_first_alone",
        handle!(OneStateForAll),
    ),
    Mutant::new(
        "one refused entry fails the batch",
        "one transaction for a whole batch",
        "r3_an_entry_that_the_store_denies_fails_alone_in_a_batch",
        store!(FailsTogether),
    ),
    Mutant::new(
        "calls overtake each other",
        "a task for each call",
        "r3_calls_for_one_identity_take_effect_in_the_order_of_their_first_poll",
        handle!(Overtakes),
    ),
    Mutant::new(
        "a dropped deregister is not carried out",
        "an async fn without a task behind it",
        "r3_a_dropped_deregister_is_carried_out",
        handle!(DropsWithTheFuture),
    ),
    Mutant::new(
        "a dropped close is not carried out",
        "an async fn without a task behind it",
        "r3_a_dropped_close_is_carried_out",
        handle!(DropsWithTheFuture),
    ),
    Mutant::new(
        "a dropped update goes through",
        "a detached task for each call",
        "r4_a_dropped_update_falls_back_to_the_previous_registration",
        handle!(Detaches),
    )
    .under("a call that is dropped while it is on its way"),
    Mutant::new(
        "a failed register is retried for ever",
        "kratos etcd",
        "r4_a_failed_register_is_not_retried_behind_the_callers_back",
        handle!(RetriesForEver),
    ),
    Mutant::new(
        "a time-out is reported as if nothing had been written",
        "a time-out taken for a failure",
        "r4_a_first_register_whose_answer_is_lost_says_unknown_and_is_undone",
        handle!(DeniesTheOutcome),
    )
    .under("a write that is carried out, and its answer lost"),
    Mutant::new(
        "deregister answers before anything was removed",
        "adapters that deregister in the background",
        "r5_deregistered_is_gone_for_others_at_once",
        handle!(RegistersInTheBackground),
    ),
    Mutant::new(
        "deregister of what is not held is an error",
        "Kitex ZooKeeper: NoNode",
        "r5_deregister_of_what_this_handle_does_not_hold_is_ok_and_touches_nothing",
        handle!(InsistsOnHolding),
    ),
    Mutant::new(
        "deregister deletes by address, and so removes the successor",
        "all Kitex adapters",
        "r6_deregister_leaves_a_successor_alone",
        handle!(DeletesByAddress),
    ),
    Mutant::new(
        "close deletes by address, and so removes the successor",
        "all Kitex adapters",
        "r6_close_leaves_a_successor_alone",
        handle!(DeletesByAddress),
    ),
    Mutant::new(
        "registering again after a lost session overwrites whoever stands there",
        "Kitex and kratos etcd",
        "r6_recovery_of_the_old_owner_leaves_a_successor_alone",
        store_of_the_first!(WritesBlindly),
    )
    .under("an expired session and a successor"),
    Mutant::new(
        "a retry of a write that timed out outlives its call",
        "Kitex etcd: keep-registering loop",
        "r6_a_late_register_of_the_old_owner_leaves_a_successor_alone",
        store_of_the_first!(RetriesBehind::default()),
    )
    .under("a delayed write and a successor"),
    Mutant::new(
        "an address that is taken is an error until its TTL is over",
        "kratos ZooKeeper: NodeExists",
        "r7_takeover_from_a_dead_owner_succeeds_at_once",
        handle!(RefusesTakenAddresses),
    ),
    Mutant::new(
        "takeover deletes and re-creates: watchers see a gap",
        "Kitex ZooKeeper, Curator",
        "r7_no_watcher_sees_a_gap",
        handle!(DeletesAndCreates),
    ),
    Mutant::new(
        "a displaced owner takes its address back at each audit",
        "Kitex etcd: keep-registering loop",
        "r7_the_displaced_owner_yields_over_several_audits",
        store_of_the_first!(WritesBlindly),
    ),
    Mutant::new(
        "a displaced owner never comes back",
        "an owner that gives up when displaced",
        "r7_the_displaced_owner_restores_its_entry_when_the_other_one_leaves",
        store!(GivesUpWhenDisplaced),
    ),
    Mutant::new(
        "a retry racing with deregister puts the entry back: an immortal zombie",
        "Kitex etcd, kratos and Kitex ZooKeeper",
        "r8_a_deregister_that_failed_in_an_outage_is_completed_after_it",
        handle!(RetriesForEver),
    )
    .under("an outage and a deregister in it"),
    Mutant::new(
        "a put that timed out is applied after an acknowledged delete",
        "measured on etcd: 5 of 6 rounds without a fence",
        "r8_a_register_that_arrives_late_does_not_show_after_deregister",
        store!(FencesNothing),
    )
    .under("a delayed write and a deregister that overtakes it"),
    Mutant::new(
        "close leaves the entries to their TTL",
        "Kitex adapters have no close",
        "r9_close_withdraws_everything",
        handle!(ClosesNothing),
    ),
    Mutant::new(
        "close waits for a store that is away",
        "retry loops without a limit",
        "r9_close_with_the_store_away_ends_in_time_and_the_handle_is_closed",
        handle!(ClosesForEver),
    ),
    Mutant::new(
        "dropping a handle outside a runtime panics",
        "Drop that spawns its clean-up",
        "r9_a_handle_dropped_outside_a_runtime_does_not_panic",
        handle!(SpawnsInDrop),
    ),
    Mutant::new(
        "a call on a handle whose runtime ended waits for ever",
        "an answer awaited without a limit",
        "r9_a_handle_whose_runtime_ended_neither_panics_nor_hangs",
        handle!(WaitsForEver),
    )
    .in_real_time(),
    Mutant::new(
        "announce is one try",
        "kratos: register at start only",
        "r10_announced_in_an_outage_stands_after_it",
        handle!(AnnouncesOnce),
    ),
    Mutant::new(
        "announce takes what no store can carry",
        "validation on first contact",
        "r10_announce_refuses_invalid_input_at_once",
        handle!(AnnouncesOnce),
    ),
];

/// Longer than two looks of any case at the test's TTL, shorter than anything that a case waits for.
const ROUND_TRIP: Duration = Duration::from_millis(25);

struct RegistersInTheBackground(Handle);

#[async_trait]
impl Twist for RegistersInTheBackground {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn register(&self, info: &Info) -> Result<(), Error> {
        let (handle, info) = (self.0.clone(), info.clone());
        tokio::spawn(async move { handle.register(&info).await });
        Ok(())
    }
    async fn deregister(&self, info: &Info) -> Result<(), Error> {
        let (handle, info) = (self.0.clone(), info.clone());
        tokio::spawn(async move { handle.deregister(&info).await });
        Ok(())
    }
}

struct DeletesAndCreates(Handle);

#[async_trait]
impl Twist for DeletesAndCreates {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn register(&self, info: &Info) -> Result<(), Error> {
        if self.0.resolve(info.service()).await?.get(info.address().as_str()).is_some() {
            // Whoever holds it, it is ours to delete after this.
            self.0.register(info).await?;
            self.0.deregister(info).await?;
            tokio::time::sleep(ROUND_TRIP).await;
        }
        self.0.register(info).await
    }
}

struct WritesOnce(Handle);

#[async_trait]
impl Twist for WritesOnce {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn register(&self, info: &Info) -> Result<(), Error> {
        if self.0.registration(info).is_some() { Ok(()) } else { self.0.register(info).await }
    }
}

struct OneStateForAll(Handle);

#[async_trait]
impl Twist for OneStateForAll {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn deregister(&self, info: &Info) -> Result<(), Error> {
        for status in self.0.registrations() {
            let other = Info::builder(status.service.as_str()).address(&status.address).build()?;
            self.0.deregister(&other).await?;
        }
        self.0.deregister(info).await
    }
}

struct FailsTogether;

#[async_trait]
impl StoreTwist for FailsTogether {
    async fn put(&self, inner: &dyn Session, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        let results = inner.put(batch, ours).await;
        let failed = results.iter().find_map(|result| result.as_ref().err()).cloned();
        match failed {
            Some(error) => batch.iter().map(|_| Err(error.clone())).collect(),
            None => results,
        }
    }
}

struct Overtakes(Handle);

#[async_trait]
impl Twist for Overtakes {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn register(&self, info: &Info) -> Result<(), Error> {
        // The later the call, the sooner it goes: weights grow from call to call.
        tokio::time::sleep(Duration::from_millis(u64::from(100_u32.saturating_sub(info.weight())))).await;
        self.0.register(info).await
    }
}

struct DropsWithTheFuture(Handle);

#[async_trait]
impl Twist for DropsWithTheFuture {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn deregister(&self, info: &Info) -> Result<(), Error> {
        tokio::time::sleep(ROUND_TRIP).await;
        self.0.deregister(info).await
    }
    async fn close(&self) -> Result<(), Error> {
        tokio::time::sleep(ROUND_TRIP).await;
        self.0.close().await
    }
}

struct Detaches(Handle);

#[async_trait]
impl Twist for Detaches {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn register(&self, info: &Info) -> Result<(), Error> {
        let (handle, info) = (self.0.clone(), info.clone());
        let task = tokio::spawn(async move { handle.register(&info).await });
        task.await.unwrap_or_else(|_| Err(Error::closed("register")))
    }
}

struct RetriesForEver(Handle);

#[async_trait]
impl Twist for RetriesForEver {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn register(&self, info: &Info) -> Result<(), Error> {
        let registered = self.0.register(info).await;
        if registered.is_err() {
            self.0.announce(info)?;
        }
        registered
    }
    async fn deregister(&self, info: &Info) -> Result<(), Error> {
        let deregistered = self.0.deregister(info).await;
        if deregistered.is_err() {
            // The loop that restores it was not told.
            self.0.announce(info)?;
        }
        deregistered
    }
}

struct DeniesTheOutcome(Handle);

#[async_trait]
impl Twist for DeniesTheOutcome {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn register(&self, info: &Info) -> Result<(), Error> {
        self.0.register(info).await.map_err(|error| error.with_outcome(Outcome::NotApplied))
    }
}

struct InsistsOnHolding(Handle);

#[async_trait]
impl Twist for InsistsOnHolding {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn deregister(&self, info: &Info) -> Result<(), Error> {
        match self.0.registration(info) {
            Some(_) => self.0.deregister(info).await,
            None => Err(Error::new(ErrorKind::Other, "deregister", "no such node")),
        }
    }
}

struct DeletesByAddress(Handle);

#[async_trait]
impl Twist for DeletesByAddress {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn deregister(&self, info: &Info) -> Result<(), Error> {
        // Whoever holds it, it is ours to delete after this.
        self.0.register(info).await?;
        self.0.deregister(info).await
    }
    async fn close(&self) -> Result<(), Error> {
        for status in self.0.registrations() {
            self.deregister(&Info::builder(status.service.as_str()).address(&status.address).build()?).await?;
        }
        self.0.close().await
    }
}

/// Only one of two owners is: two would fight without end.
struct WritesBlindly;

#[async_trait]
impl StoreTwist for WritesBlindly {
    async fn put(&self, inner: &dyn Session, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        let blind: Vec<Put> = batch.iter().map(|put| Put { guard: Guard::Claim, ..put.clone() }).collect();
        inner.put(&blind, ours).await
    }
    async fn inspect(
        &self,
        inner: &dyn Session,
        records: &[Record],
        ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        let mut standings = inner.inspect(records, ours).await?;
        for standing in standings.iter_mut().filter(|standing| matches!(standing, Ok(Standing::Foreign))) {
            *standing = Ok(Standing::Ours { current: false, same: false });
        }
        Ok(standings)
    }
}

#[derive(Default)]
struct RetriesBehind(Mutex<Option<Arc<dyn Session>>>);

#[async_trait]
impl StoreTwist for RetriesBehind {
    async fn open(&self, inner: &Client, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        let session = inner.open(request).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.clone());
        Ok(session)
    }
    async fn put(&self, inner: &dyn Session, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        let session = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(session) = session else { return inner.put(batch, ours).await };
        let (batch, ours) = (batch.to_vec(), ours.clone());
        let retries = tokio::spawn(async move {
            loop {
                let results = session.put(&batch, &ours).await;
                if !results.iter().any(|result| matches!(result, Err(WriteError::Contended))) {
                    return results;
                }
            }
        });
        retries.await.unwrap_or_default()
    }
}

struct RefusesTakenAddresses(Handle);

#[async_trait]
impl Twist for RefusesTakenAddresses {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn register(&self, info: &Info) -> Result<(), Error> {
        let taken = self.0.resolve(info.service()).await?.get(info.address().as_str()).is_some();
        if taken && self.0.registration(info).is_none() {
            return Err(Error::new(ErrorKind::Other, "register", "the node exists"));
        }
        self.0.register(info).await
    }
}

struct GivesUpWhenDisplaced;

#[async_trait]
impl StoreTwist for GivesUpWhenDisplaced {
    async fn inspect(
        &self,
        inner: &dyn Session,
        records: &[Record],
        ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        let mut standings = inner.inspect(records, ours).await?;
        for standing in standings.iter_mut().filter(|standing| matches!(standing, Ok(Standing::Absent))) {
            *standing = Ok(Standing::Foreign);
        }
        Ok(standings)
    }
}

struct FencesNothing;

#[async_trait]
impl StoreTwist for FencesNothing {
    async fn fence(&self, _: &dyn Session) -> Result<(), SessionError> {
        Ok(())
    }
}

struct ClosesNothing(Handle);

#[async_trait]
impl Twist for ClosesNothing {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}

struct ClosesForEver(Handle);

#[async_trait]
impl Twist for ClosesForEver {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn close(&self) -> Result<(), Error> {
        while !self.0.registrations().is_empty() {
            for status in self.0.registrations() {
                let info = Info::builder(status.service.as_str()).address(&status.address).build()?;
                // It is tried until it works.
                let _ = self.0.deregister(&info).await;
            }
        }
        self.0.close().await
    }
}

struct SpawnsInDrop(Handle);

impl Twist for SpawnsInDrop {
    fn inner(&self) -> &Handle {
        &self.0
    }
}

impl Drop for SpawnsInDrop {
    fn drop(&mut self) {
        let handle = self.0.clone();
        tokio::spawn(async move { handle.close().await });
    }
}

struct WaitsForEver(Handle);

#[async_trait]
impl Twist for WaitsForEver {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn register(&self, info: &Info) -> Result<(), Error> {
        match self.0.register(info).await {
            Err(error) if error.kind() == ErrorKind::Closed => std::future::pending().await,
            answered => answered,
        }
    }
}

struct AnnouncesOnce(Handle);

#[async_trait]
impl Twist for AnnouncesOnce {
    fn inner(&self) -> &Handle {
        &self.0
    }
    fn announce(&self, info: &Info) -> Result<(), Error> {
        let (handle, info) = (self.0.clone(), info.clone());
        tokio::spawn(async move { handle.register(&info).await });
        Ok(())
    }
}
