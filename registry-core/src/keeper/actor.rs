//! The keeper's task: one loop that owns all state of a handle.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::board::{Board, RegistrationTrouble};
use super::close::Closing;
use super::link::{Epoch, Link};
use super::log::KeeperLog;
use super::operations::{self, Done, Operation, Write};
use super::slot::{Slot, Step};
use super::{Command, link};
use crate::backoff::Backoff;
use crate::handle::HandleOptions;
use crate::status::Trouble;
use crate::store::{Capabilities, Key, Lineage, OpenRequest, OwnerToken, Put, Record, Renewal, Store};

/// How long an owner waits before it restores an entry that vanished under a live session, so as not to fight a claimer's
/// delete-and-create (L4).
pub(super) const MISSING_PAUSE: Duration = Duration::from_secs(1);

/// How many commands are taken in before work is started: a burst of calls makes full batches.
const COMMANDS_AT_ONCE: usize = 1024;

/// The identities of a handle. The hash is not random, so that in a test the order of work is a function of the seed; the keys are the program's own.
pub(super) type Slots = HashMap<Key, Slot, BuildHasherDefault<DefaultHasher>>;

pub(super) struct Actor {
    pub(super) store: Arc<dyn Store>,
    pub(super) capabilities: Capabilities,
    pub(super) options: HandleOptions,
    pub(super) board: Arc<Board>,
    pub(super) lineage: Lineage,
    pub(super) slots: Slots,
    pub(super) link: Link,
    pub(super) epoch: Epoch,
    /// Back-off of opening and of renewing.
    pub(super) backoff: Backoff,
    pub(super) closing: Option<Closing>,
    /// Counts writes with an unknown outcome, so that a fence knows which it covers.
    pub(super) uncertain_writes: u64,
    pub(super) fencing: bool,
    /// The store refused to fence under the present session: late writes are then watched for, as where a store cannot fence.
    pub(super) fence_refused: bool,
    pub(super) audit_at: Instant,
    pub(super) log: KeeperLog,
    /// When the store last answered a batch.
    pub(super) last_answer: Instant,
    inbox: mpsc::UnboundedReceiver<Command>,
    operations: FuturesUnordered<Operation>,
    /// Batches in flight.
    pub(super) batches: usize,
    /// Slots with a step to be taken: calls that were sent before, and after them all others.
    again: VecDeque<Key>,
    ready: VecDeque<Key>,
    /// Entries whose renewal is due, the one that waits longest first.
    pub(super) beats_due: VecDeque<Key>,
    /// Renewals of entries in flight.
    pub(super) beats: usize,
    schedule: BTreeSet<(Instant, Key)>,
    ended: bool,
}

impl Actor {
    pub(super) fn new(
        store: Arc<dyn Store>,
        options: HandleOptions,
        inbox: mpsc::UnboundedReceiver<Command>,
        board: Arc<Board>,
    ) -> Self {
        let now = Instant::now();
        Self {
            capabilities: store.capabilities(),
            store,
            lineage: Lineage::new(OwnerToken::random()),
            slots: Slots::default(),
            link: Link::Down { retry_at: now },
            epoch: Epoch(0),
            backoff: Backoff::new(options.backoff_cap),
            closing: None,
            uncertain_writes: 0,
            fencing: false,
            fence_refused: false,
            audit_at: now + jittered(options.audit_interval),
            log: KeeperLog::new(),
            last_answer: now,
            inbox,
            operations: FuturesUnordered::new(),
            batches: 0,
            again: VecDeque::new(),
            ready: VecDeque::new(),
            beats_due: VecDeque::new(),
            beats: 0,
            schedule: BTreeSet::new(),
            ended: false,
            board,
            options,
        }
    }

    pub(super) async fn run(mut self) {
        let mut orphaned = false;
        while !self.ended {
            self.start_work();
            if self.ended {
                break;
            }
            let wake = self.next_wake();
            tokio::select! {
                // Not at random, so that in a test the order of work is a function of the seed. Neither side waits for the other for long.
                biased;
                Some(done) = self.operations.next(), if !self.operations.is_empty() => {
                    self.settle(done);
                    if let Ok(command) = self.inbox.try_recv() {
                        self.take_in(command);
                    }
                }
                command = self.inbox.recv(), if !orphaned => match command {
                    Some(command) => self.take_in(command),
                    // The last clone of the handle is gone: a crash, unless it is being closed (R9).
                    None if self.closing.is_none() => return,
                    None => orphaned = true,
                },
                signalled = self.link.signalled() => self.settle(signalled),
                () = tokio::time::sleep_until(wake) => {}
            }
            self.wake_up(Instant::now());
        }
    }

    /// The actor is done: the handle is closed.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    fn take_in(&mut self, first: Command) {
        self.obey(first);
        for _ in 0..COMMANDS_AT_ONCE {
            let Ok(command) = self.inbox.try_recv() else { break };
            self.obey(command);
        }
    }

    /// The next moment at which a timer is due.
    fn next_wake(&self) -> Instant {
        let mut wake = self.audit_at;
        match &self.link {
            Link::Down { retry_at } if self.wants_session() => wake = wake.min(*retry_at),
            Link::Up(up) if up.renewing.is_none() => wake = wake.min(up.renew_at),
            _ => {}
        }
        if let Some((at, _)) = self.schedule.first() {
            wake = wake.min(*at);
        }
        if let Some(closing) = &self.closing {
            wake = wake.min(closing.deadline);
            if closing.retry_at > Instant::now() {
                wake = wake.min(closing.retry_at);
            }
        }
        wake
    }

    /// Handles all timers that are due.
    fn wake_up(&mut self, now: Instant) {
        while let Some((at, _)) = self.schedule.first() {
            if *at > now {
                break;
            }
            let Some((_, key)) = self.schedule.pop_first() else { break };
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.scheduled = None;
                if slot.beat_at.is_some_and(|at| at <= now) {
                    // Until the answer is there, and for a whole turn if none comes, nothing is due.
                    slot.beat_at = self.link.up().map(|up| now + up.interval * 2);
                    if !std::mem::replace(&mut slot.beat_due, true) {
                        self.beats_due.push_back(key.clone());
                    }
                }
                self.expire_calls(&key, now);
                self.touch(&key);
            }
        }
        if self.audit_at <= now {
            self.audit_at = now + jittered(self.options.audit_interval);
            self.look_at_all();
        }
    }

    /// Marks every registration to be inspected (L4).
    pub(super) fn look_at_all(&mut self) {
        let keys: Vec<Key> =
            self.slots.values().filter(|slot| slot.wanted.is_some()).map(|slot| slot.key.clone()).collect();
        for key in keys {
            self.look_at(&key);
        }
    }

    /// Marks one registration to be inspected.
    pub(super) fn look_at(&mut self, key: &Key) {
        if let Some(slot) = self.slots.get_mut(key) {
            slot.look = true;
            self.touch(key);
        }
    }

    /// Something about this slot changed: starts its next call, updates its status and timers, queues its next step, drops it when it is done.
    pub(super) fn touch(&mut self, key: &Key) {
        self.begin_call(key);
        let fencing = self.can_fence();
        let by_end = self.closing_by_end();
        let Some(slot) = self.slots.get_mut(key) else { return };
        let now = Instant::now();
        if slot.not_before.is_some_and(|at| at <= now) {
            slot.not_before = None;
        }
        if let Some(state) = slot.state() {
            let trouble = RegistrationTrouble {
                attempts: slot.backoff.failures(),
                error: slot.last_error.clone(),
                next_try: slot.not_before.map(system_time),
            };
            self.board.set_registration(slot.shown(), state, trouble);
        } else {
            self.board.remove_registration(key);
        }
        if !slot.ready && slot.next_step(now, fencing, by_end).is_some() {
            slot.ready = true;
            // A call that is tried again has little time left: it does not wait behind those that have all of it (V3).
            let again = slot.call.as_ref().is_some_and(|call| call.sent);
            let queue = if again { &mut self.again } else { &mut self.ready };
            queue.push_back(key.clone());
        }
        let wake = slot.next_wake();
        if slot.scheduled != wake {
            if let Some(old) = slot.scheduled {
                self.schedule.remove(&(old, key.clone()));
            }
            slot.scheduled = wake;
            if let Some(at) = wake {
                self.schedule.insert((at, key.clone()));
            }
        }
        if slot.is_done() {
            if let Some(at) = slot.scheduled {
                self.schedule.remove(&(at, key.clone()));
            }
            self.slots.remove(key);
        }
    }

    /// Starts whatever can be started now.
    fn start_work(&mut self) {
        let now = Instant::now();
        match &self.link {
            Link::Down { retry_at } if *retry_at <= now && self.wants_session() => self.start_open(),
            Link::Up(_) => {
                self.start_renewals(now);
                self.start_batches(now);
            }
            _ => {}
        }
        self.advance_closing(now);
    }

    fn start_open(&mut self) {
        let request = OpenRequest {
            ttl: self.options.ttl,
            attempt: self.backoff.failures(),
            owner: self.lineage.owner().clone(),
        };
        self.link = Link::Opening;
        let operation = operations::open(self.store.clone(), request, self.options.attempt_timeout);
        self.operations.push(operation);
    }

    fn start_renewals(&mut self, now: Instant) {
        let attempt_timeout = self.options.attempt_timeout;
        let due = self.link.up().is_some_and(|up| up.renewing.is_none() && up.renew_at <= now);
        // Where entries are renewed, the session itself is only asked when there is none to renew, or when something failed.
        let entries = self.capabilities.renewal == Renewal::Entry;
        let entries_tell = due && entries && self.slots.values().any(|slot| slot.beat_at.is_some());
        if let Some(up) = self.link.up_mut().filter(|_| due) {
            if entries_tell && !up.failing && !up.suspected {
                up.renew_at = now + up.interval;
            } else {
                up.renewing = Some(now);
                let limit = up.renew_limit(attempt_timeout);
                let operation = operations::renew(up.session.clone(), up.epoch, Vec::new(), limit);
                self.operations.push(operation);
            }
            self.tick();
        }
        self.start_beats();
    }

    /// Renews the entries that are due, each at its own phase and at most once at a time. While the store does not answer they wait: the session alone asks
    /// whether it is back, once a handle and not once an entry (L5), and then all of them have their turn, a few batches at a time.
    fn start_beats(&mut self) {
        let Some(up) = self.link.up().filter(|up| !up.silent) else { return };
        let (session, epoch, limit) = (up.session.clone(), up.epoch, up.beat_limit());
        let answered_by = Instant::now() + up.interval * 2;
        let (max_batch, max_in_flight) = (self.capabilities.max_batch.max(1), self.capabilities.max_in_flight.max(1));
        while self.beats < max_in_flight && !self.beats_due.is_empty() {
            let mut batch = Vec::new();
            while batch.len() < max_batch {
                let Some(key) = self.beats_due.pop_front() else { break };
                let Some(slot) = self.slots.get_mut(&key) else { continue };
                slot.beat_due = false;
                // What was withdrawn or displaced meanwhile is not renewed.
                let (Some(wanted), Some(_)) = (&slot.wanted, slot.beat_at) else { continue };
                batch.push(wanted.record.clone());
                slot.beat_at = Some(answered_by);
                self.touch(&key);
            }
            if !batch.is_empty() {
                self.beats += 1;
                self.operations.push(operations::renew(session.clone(), epoch, batch, limit));
            }
        }
    }

    fn start_batches(&mut self, now: Instant) {
        let (max_batch, max_in_flight) = (self.capabilities.max_batch.max(1), self.capabilities.max_in_flight.max(1));
        let fencing = self.can_fence();
        let by_end = self.closing_by_end();
        let conditional = self.capabilities.conditional_writes.is_offered();
        let (last_answer, operation_timeout) = (self.last_answer, self.options.operation_timeout);
        // While renewals are not answered they alone ask whether the store is back, once a handle and not once an entry (L5). Calls go on within their
        // deadlines; everything else waits for that answer.
        let waiting = self.closing.is_none() && self.link.up().is_some_and(|up| up.silent);
        while self.batches < max_in_flight && !(self.again.is_empty() && self.ready.is_empty()) {
            let (mut puts, mut removes, mut inspects) = (Vec::new(), Vec::new(), Vec::new());
            // Those of callers who may leave: they take nothing of the keeper's own with them, and nobody twice.
            let (mut calls, mut alone) = (Vec::new(), Vec::new());
            let mut fence = false;
            while let Some(key) = self.again.pop_front().or_else(|| self.ready.pop_front()) {
                let Some(slot) = self.slots.get_mut(&key) else { continue };
                slot.ready = false;
                if waiting && slot.call.is_none() {
                    continue;
                }
                match slot.next_step(now, fencing, by_end) {
                    None => continue,
                    Some(Step::Put(record, guard, call)) => {
                        slot.grant_time(now, last_answer, operation_timeout);
                        let call = call.and_then(|id| slot.caller(id, conditional));
                        let write = Write { put: Put { record, guard }, call };
                        let group = match &write.call {
                            Some((_, Some(_))) if slot.alone => &mut alone,
                            Some((_, Some(_))) => &mut calls,
                            _ => &mut puts,
                        };
                        group.push(write);
                    }
                    Some(Step::Remove(record)) => {
                        slot.grant_time(now, last_answer, operation_timeout);
                        removes.push(record);
                    }
                    Some(Step::Inspect(record)) => {
                        slot.look = false;
                        inspects.push(record);
                    }
                    Some(Step::Fence) => {
                        fence = true;
                        continue;
                    }
                }
                slot.busy = true;
                let fullest = puts.len().max(calls.len()).max(removes.len()).max(inspects.len());
                if fullest == max_batch || !alone.is_empty() {
                    break;
                }
            }
            if fence {
                self.start_fence();
            }
            self.launch([puts, calls, alone], removes, inspects);
        }
    }

    fn launch(&mut self, puts: [Vec<Write>; 3], removes: Vec<Record>, inspects: Vec<Record>) {
        let Some(up) = self.link.up() else { return };
        let (session, epoch, limit) = (&up.session, up.epoch, self.options.attempt_timeout);
        let ours = &self.lineage;
        for puts in puts.into_iter().filter(|puts| !puts.is_empty()) {
            self.batches += 1;
            self.operations.push(operations::put(session.clone(), epoch, puts, ours.clone(), limit));
        }
        if !removes.is_empty() {
            self.batches += 1;
            self.operations.push(operations::remove(session.clone(), epoch, removes, ours.clone(), limit));
        }
        if !inspects.is_empty() {
            self.batches += 1;
            self.operations.push(operations::inspect(session.clone(), epoch, inspects, ours.clone(), limit));
        }
    }

    pub(super) fn start_fence(&mut self) {
        let Some(up) = self.link.up() else { return };
        if !self.fencing {
            self.fencing = true;
            let limit = self.options.attempt_timeout;
            let operation = operations::fence(up.session.clone(), up.epoch, self.uncertain_writes, limit);
            self.operations.push(operation);
        }
    }

    /// Whether writes with an unknown outcome can be stopped, as far as is known.
    fn can_fence(&self) -> bool {
        self.capabilities.write_fencing.is_offered() && !self.fence_refused
    }

    /// Whether a fence would take every entry of the session away for a moment.
    fn fencing_is_dear(&self) -> bool {
        self.link.up().is_some_and(|up| up.session.fencing_ends_session())
    }

    pub(super) fn start(&mut self, operation: Operation) {
        self.operations.push(operation);
    }

    /// Once each third of a TTL: what is still uncertain is fenced, or looked at again.
    fn tick(&mut self) {
        let now = Instant::now();
        let uncertain: Vec<Key> =
            self.slots.values().filter(|slot| slot.unfenced.is_some()).map(|slot| slot.key.clone()).collect();
        if uncertain.is_empty() {
            return;
        }
        let fencing = self.can_fence();
        let wanted = |key: &Key| self.slots.get(key).is_some_and(|slot| slot.wanted.is_some());
        if fencing && !(self.fencing_is_dear() && uncertain.iter().all(wanted)) {
            self.start_fence();
            return;
        }
        for key in uncertain {
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            if slot.linger_until.is_some_and(|until| until <= now) {
                if fencing {
                    // Until it is withdrawn: that fences first.
                    continue;
                }
                slot.unfenced = None;
            }
            if slot.wanted.is_some() {
                slot.look = true;
            } else if slot.believed == super::slot::Believed::Nothing && slot.call.is_none() {
                slot.believed = super::slot::Believed::Unsure;
            }
            self.touch(&key);
        }
    }

    /// Whether a session is wanted: always, but for a handle that is closing and has nothing in the store.
    fn wants_session(&self) -> bool {
        self.closing.is_none() || !self.slots.is_empty()
    }

    pub(super) fn settle(&mut self, done: Done) {
        match done {
            Done::Opened(result) => self.opened(result),
            Done::Renewed(epoch, keys, result) => self.renewed(epoch, &keys, result),
            Done::Put(epoch, results) => self.put(epoch, results),
            Done::Removed(epoch, results) => self.removed(epoch, results),
            Done::Inspected(epoch, records, result) => self.inspected(epoch, records, result),
            Done::Fenced(epoch, up_to, result) => self.fenced(epoch, up_to, result),
            Done::Signalled(epoch, signal) => self.signalled(epoch, signal),
            Done::Ended(result) => self.session_ended(result),
        }
    }

    pub(super) fn trouble(error: &crate::store::StoreError) -> Trouble {
        Trouble { kind: error.kind(), text: error.message().into() }
    }

    pub(super) fn up_epoch(&self) -> Option<link::Epoch> {
        self.link.up().map(|up| up.epoch)
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.board.close();
    }
}

/// The interval, give or take a tenth.
pub(super) fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + fastrand::f64() / 5.0)
}

/// The wall-clock time of a moment, for people.
pub(super) fn system_time(at: Instant) -> std::time::SystemTime {
    std::time::SystemTime::now() + at.saturating_duration_since(Instant::now())
}
