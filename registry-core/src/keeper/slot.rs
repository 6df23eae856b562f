//! What the keeper wants and believes about one identity, and the next step that follows from it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Reply;
use super::caller::Caller;
use crate::backoff::Backoff;
use crate::error::{Error, Outcome};
use crate::status::{RegistrationState, Trouble};
use crate::store::{Guard, Key, Record, StoreError};

/// One call of the public API, in the order of the first polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallId(pub(super) u64);

/// A call that is queued or under way.
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) kind: CallKind,
    pub(super) deadline: Instant,
    /// `None` once it was answered; a withdrawal goes on all the same.
    pub(super) reply: Option<Reply>,
    /// Whether an attempt of this call may have changed the store.
    pub(super) uncertain: bool,
    /// Whether it waited behind other calls of this handle for longer than its limit, while the store answered them (V3).
    pub(super) waited: bool,
    /// Whether an attempt of it was begun.
    pub(super) sent: bool,
    pub(super) last_error: Option<StoreError>,
}

pub(super) enum CallKind {
    Register(Record, Arc<Caller>),
    Deregister,
    /// Over as soon as its turn comes: from then on the registration is wanted (R10).
    Announce(Record),
}

impl Call {
    pub(super) fn operation(&self) -> &'static str {
        match self.kind {
            CallKind::Register(..) => "register",
            CallKind::Deregister => "deregister",
            CallKind::Announce(_) => "announce",
        }
    }

    pub(super) fn answer(&mut self, result: Result<(), Error>) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(result);
        }
    }

    /// Ends the attempts of a call that is about to be answered with an error.
    pub(super) fn give_up(&self) {
        if let CallKind::Register(_, caller) = &self.kind {
            caller.leave();
        }
    }

    /// Gives a call that was not sent yet, and is overdue, more time while the store answers the calls before it (V3).
    pub(super) fn wait_on(&mut self, now: Instant, until: Instant) {
        if self.deadline <= now && until > now && !self.sent {
            self.deadline = until;
            self.waited = true;
        }
    }

    /// Whether the store may have been changed by a call that fails now. A withdrawal that failed always goes on.
    pub(super) fn outcome(&self) -> Outcome {
        match self.kind {
            CallKind::Deregister => Outcome::Unknown,
            CallKind::Register(..) if self.uncertain => Outcome::Unknown,
            CallKind::Register(..) | CallKind::Announce(_) => Outcome::NotApplied,
        }
    }
}

/// What the caller wants to stand.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) record: Record,
    /// Announced and not yet written: the first write takes over whatever stands there.
    pub(super) claim: bool,
}

/// A `register` whose caller has not yet taken the answer.
pub(super) struct Unseen {
    pub(super) id: CallId,
    /// Set when the answer was taken.
    pub(super) caller: Arc<Caller>,
    /// What was wanted before it.
    pub(super) before: Option<Wanted>,
}

/// What is believed to stand in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Believed {
    /// Nothing of this owner: never written, or confirmed removed.
    Nothing,
    /// What is wanted, under the present session.
    Stands,
    /// Something of ours that is not as wanted, or an unowned entry: to be written.
    Wrong,
    /// The session that it hung on is gone: to be written again.
    Lapsed,
    /// A write had an unknown outcome: to be looked at.
    Unsure,
    /// It vanished under the present session: to be looked at again after a pause (L4).
    Missing,
    /// Another owner's entry.
    Foreign,
}

/// The next store operation for an identity.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Put(Record, Guard, Option<CallId>),
    Remove(Record),
    Inspect(Record),
    /// Fence first, then remove (R8).
    Fence,
}

/// One identity.
pub(super) struct Slot {
    pub(super) key: Key,
    /// The bytes of the last register, or of the identity alone: what removals and inspections carry.
    pub(super) record: Record,
    pub(super) wanted: Option<Wanted>,
    /// The `register`s that were answered `Ok`, the last one last, as long as their futures may still be dropped with the answer in it (R4).
    pub(super) unseen: Vec<Unseen>,
    pub(super) queue: VecDeque<Call>,
    pub(super) call: Option<Call>,
    pub(super) believed: Believed,
    /// An operation for this key is in flight.
    pub(super) busy: bool,
    /// Its last attempt was cut short by a caller that left another write of the batch: the next one is made alone, so that it happens once.
    pub(super) alone: bool,
    /// It waits in one of the actor's ready queues.
    pub(super) ready: bool,
    /// It should be inspected though nothing is known to be wrong.
    pub(super) look: bool,
    /// Number of the last write with an unknown outcome that may still take effect.
    pub(super) unfenced: Option<u64>,
    /// Until when such a write is watched for, where the store cannot fence it.
    pub(super) linger_until: Option<Instant>,
    /// No step before this.
    pub(super) not_before: Option<Instant>,
    /// When its entry is to be renewed, where entries are renewed one by one.
    pub(super) beat_at: Option<Instant>,
    /// It waits among those whose renewal is due.
    pub(super) beat_due: bool,
    pub(super) backoff: Backoff,
    pub(super) last_error: Option<Trouble>,
    /// Whether the present registration has stood before.
    pub(super) stood: bool,
    /// Where the schedule has it.
    pub(super) scheduled: Option<Instant>,
}

impl Slot {
    pub(super) fn new(record: Record, backoff_cap: Duration) -> Self {
        Self {
            key: record.key().clone(),
            record,
            wanted: None,
            unseen: Vec::new(),
            queue: VecDeque::new(),
            call: None,
            believed: Believed::Nothing,
            busy: false,
            alone: false,
            ready: false,
            look: false,
            unfenced: None,
            linger_until: None,
            not_before: None,
            beat_at: None,
            beat_due: false,
            backoff: Backoff::new(backoff_cap),
            last_error: None,
            stood: false,
            scheduled: None,
        }
    }

    /// What to do next, if anything can be done now. `closing` leaves to the end of the session what it withdraws anyway.
    pub(super) fn next_step(&self, now: Instant, fencing: bool, closing_by_end: bool) -> Option<Step> {
        if self.busy || self.not_before.is_some_and(|at| at > now) {
            return None;
        }
        if let Some(Call { kind: CallKind::Register(record, _), id, .. }) = &self.call {
            return Some(Step::Put(record.clone(), Guard::Claim, Some(*id)));
        }
        let Some(wanted) = self.wanted.as_ref().filter(|_| self.call.is_none()) else {
            return self.withdrawal(fencing, closing_by_end);
        };
        let record = wanted.record.clone();
        if wanted.claim {
            return Some(Step::Put(record, Guard::Claim, None));
        }
        match self.believed {
            Believed::Stands | Believed::Foreign if !self.look => None,
            Believed::Stands | Believed::Foreign | Believed::Unsure | Believed::Missing => Some(Step::Inspect(record)),
            Believed::Nothing | Believed::Wrong | Believed::Lapsed => {
                Some(Step::Put(record, Guard::AbsentOrOurs, None))
            }
        }
    }

    fn withdrawal(&self, fencing: bool, closing_by_end: bool) -> Option<Step> {
        match self.believed {
            Believed::Nothing => None,
            Believed::Stands if closing_by_end => None,
            _ if fencing && self.unfenced.is_some() && !closing_by_end => Some(Step::Fence),
            _ => Some(Step::Remove(self.record.clone())),
        }
    }

    /// Whether its next write takes over whatever stands there.
    pub(super) fn claims(&self) -> bool {
        let registering = self.call.as_ref().is_some_and(|call| matches!(call.kind, CallKind::Register(..)));
        registering || (self.call.is_none() && self.wanted.as_ref().is_some_and(|wanted| wanted.claim))
    }

    /// Whether nothing is wanted, believed or awaited any more.
    pub(super) fn is_done(&self) -> bool {
        self.wanted.is_none()
            && self.call.is_none()
            && self.queue.is_empty()
            && !self.busy
            && self.believed == Believed::Nothing
            && self.unfenced.is_none()
    }

    /// What its status is about.
    pub(super) fn shown(&self) -> &Record {
        self.wanted.as_ref().map_or(&self.record, |wanted| &wanted.record)
    }

    /// Where the registration stands, for its status; `None` when none is wanted, nor will be when the queued announcements have had their turn.
    pub(super) fn state(&self) -> Option<RegistrationState> {
        if self.wanted.is_none() {
            let announced = self.queue.iter().any(|call| matches!(call.kind, CallKind::Announce(_)));
            return announced.then_some(RegistrationState::Pending);
        }
        Some(match self.believed {
            Believed::Stands => RegistrationState::Registered,
            Believed::Foreign => RegistrationState::Displaced,
            _ if self.stood => RegistrationState::Recovering,
            _ => RegistrationState::Pending,
        })
    }

    /// The next moment at which something is due without anything happening.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let deadlines =
            self.call.iter().chain(&self.queue).filter(|call| call.reply.is_some()).map(|call| call.deadline);
        deadlines.chain(self.not_before).chain(self.beat_at).min()
    }

    /// A call that waited behind others while the store answered them gets its full time once it is sent (V3).
    pub(super) fn grant_time(&mut self, now: Instant, last_answer: Instant, operation_timeout: Duration) {
        let Some(call) = self.call.as_mut().filter(|call| !call.sent) else { return };
        call.sent = true;
        let answered_meanwhile = last_answer + operation_timeout > call.deadline;
        if call.waited || answered_meanwhile {
            call.deadline = now + operation_timeout;
        }
    }

    /// `record` is wanted from now on; what was wanted before is kept until the caller of `id` has seen its answer.
    pub(super) fn commit(&mut self, id: CallId, record: Record, caller: Arc<Caller>) {
        let before = self.wanted.replace(Wanted { record, claim: false });
        self.unseen.retain(|unseen| !unseen.caller.has_seen());
        self.unseen.push(Unseen { id, caller, before });
    }

    /// The answer of `id` was never taken: whether that changes what is wanted.
    pub(super) fn revert(&mut self, id: CallId) -> bool {
        let Some(at) = self.unseen.iter().position(|unseen| unseen.id == id) else { return false };
        let before = self.unseen.remove(at).before;
        match self.unseen.get_mut(at) {
            // A later one replaced it, and falls back past it if it is dropped, too.
            Some(later) => later.before = before,
            None => self.wanted = before,
        }
        at == self.unseen.len()
    }

    /// The caller of the `register` under way, whose attempt it ends when it leaves. Where writes are not `conditional` it is left alone: an attempt that is
    /// cut short could arrive after the next one and undo it (R1).
    pub(super) fn caller(&self, id: CallId, conditional: bool) -> Option<(CallId, Option<Arc<Caller>>)> {
        match &self.call.as_ref()?.kind {
            CallKind::Register(_, caller) => Some((id, Some(caller.clone()).filter(|_| conditional))),
            _ => None,
        }
    }

    /// Remembers that a write may still take effect.
    pub(super) fn mark_uncertain(&mut self, number: u64, linger_until: Instant) {
        self.unfenced = Some(number);
        self.linger_until = Some(linger_until);
        self.believed = Believed::Unsure;
    }
}
