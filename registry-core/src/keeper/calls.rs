//! The callers' side of the keeper: queues, deadlines, dropped futures.

use tokio::time::Instant;

use super::actor::Actor;
use super::link::Link;
use super::slot::{Believed, Call, CallId, CallKind, Slot, Wanted};
use super::{Command, Reply};
use crate::error::{Error, ErrorKind, Outcome};
use crate::store::{Key, StoreError};

impl Actor {
    pub(super) fn obey(&mut self, command: Command) {
        if self.closing.is_some() {
            return self.refuse(command);
        }
        match command {
            Command::Register { call, record, deadline, reply, caller } => {
                let key = record.key().clone();
                self.enqueue(&key, call, CallKind::Register(record, caller), deadline, Some(reply));
            }
            Command::Deregister { call, record, deadline, reply } => {
                if !self.slots.contains_key(record.key()) {
                    let _ = reply.send(Ok(()));
                    return;
                }
                self.enqueue(record.key(), call, CallKind::Deregister, deadline, Some(reply));
            }
            Command::Announce { call, record } => {
                let key = record.key().clone();
                self.enqueue(&key, call, CallKind::Announce(record), Instant::now(), None);
            }
            Command::Abandon { key, call } => self.abandon(&key, call),
            Command::Close { deadline, reply } => self.begin_closing(deadline, reply),
        }
    }

    fn refuse(&mut self, command: Command) {
        match command {
            Command::Register { reply, .. } => drop(reply.send(Err(Error::closed("register")))),
            Command::Deregister { reply, .. } => drop(reply.send(Err(Error::closed("deregister")))),
            Command::Announce { .. } | Command::Abandon { .. } => {}
            Command::Close { reply, .. } => self.also_closing(reply),
        }
    }

    fn enqueue(&mut self, key: &Key, id: CallId, kind: CallKind, deadline: Instant, reply: Option<Reply>) {
        let call = Call { id, kind, deadline, reply, uncertain: false, waited: false, sent: false, last_error: None };
        let cap = self.options.backoff_cap;
        let slot = match (&call.kind, self.slots.get_mut(key)) {
            (_, Some(slot)) => slot,
            (CallKind::Register(record, _) | CallKind::Announce(record), None) => {
                self.slots.entry(key.clone()).or_insert_with(|| Slot::new(record.clone(), cap))
            }
            (CallKind::Deregister, None) => return,
        };
        slot.queue.push_back(call);
        self.touch(key);
    }

    /// Starts the next queued call of a slot, when none is under way.
    pub(super) fn begin_call(&mut self, key: &Key) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        if slot.call.is_some() || slot.busy {
            return;
        }
        let Some(call) = slot.queue.pop_front() else { return };
        slot.not_before = None;
        match &call.kind {
            CallKind::Register(record, _) => slot.record = record.clone(),
            CallKind::Announce(record) => {
                slot.record = record.clone();
                slot.wanted = Some(Wanted { record: record.clone(), claim: true });
                slot.unseen.clear();
                slot.stood = false;
                if matches!(slot.believed, Believed::Stands | Believed::Foreign) {
                    slot.believed = Believed::Wrong;
                }
                return self.begin_call(key);
            }
            // From here on it is never published again (R8).
            CallKind::Deregister => {
                slot.wanted = None;
                slot.unseen.clear();
                slot.stood = false;
                slot.beat_at = None;
                // An earlier write may have taken effect since the store was last asked.
                if slot.believed == Believed::Nothing && slot.unfenced.is_some() {
                    slot.believed = Believed::Unsure;
                }
            }
        }
        slot.call = Some(call);
        self.finish_withdrawal(key);
    }

    /// Answers a withdrawal when nothing of ours stands any more.
    pub(super) fn finish_withdrawal(&mut self, key: &Key) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let withdrawing = slot.call.as_ref().is_some_and(|call| matches!(call.kind, CallKind::Deregister));
        if withdrawing && !slot.busy && slot.believed == Believed::Nothing {
            if let Some(mut call) = slot.call.take() {
                call.answer(Ok(()));
            }
            self.begin_call(key);
        }
    }

    /// Ends the calls of a slot whose time is over.
    pub(super) fn expire_calls(&mut self, key: &Key, now: Instant) {
        let link_error = self.link_error();
        let answering = self.link.up().is_some_and(|up| !up.failing);
        let wait_until = if answering { self.last_answer + self.options.operation_timeout } else { now };
        let Some(slot) = self.slots.get_mut(key) else { return };
        let waiting = slot.call.iter_mut().filter(|_| !slot.busy).chain(&mut slot.queue);
        waiting.for_each(|call| call.wait_on(now, wait_until));
        for call in slot.queue.iter_mut().filter(|call| call.deadline <= now) {
            let error = overdue(call, key, &link_error, false);
            call.answer(Err(error));
        }
        // A withdrawal is carried out all the same; a registration that was never begun is forgotten.
        slot.queue.retain(|call| call.reply.is_some() || !matches!(call.kind, CallKind::Register(..)));
        let busy = slot.busy;
        if let Some(mut call) = slot.call.take_if(|call| call.deadline <= now && call.reply.is_some()) {
            let error = overdue(&call, key, &link_error, busy);
            let uncertain = call.uncertain || busy;
            call.give_up();
            call.answer(Err(error));
            if matches!(call.kind, CallKind::Register(..)) && uncertain {
                self.fall_back(key);
            }
        }
    }

    /// A write had an unknown outcome: what stands is to be looked at, and what is wanted decides (R4).
    pub(super) fn fall_back(&mut self, key: &Key) {
        let number = self.next_uncertain();
        let until = self.linger_until();
        if let Some(slot) = self.slots.get_mut(key) {
            slot.mark_uncertain(number, until);
        }
    }

    /// Ends the call under way with an error of the store.
    pub(super) fn fail_call(&mut self, key: &Key, error: StoreError) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let Some(mut call) = slot.call.take() else { return };
        let (operation, outcome) = (call.operation(), call.outcome());
        call.answer(Err(error.into_error(operation, outcome).about(key)));
    }

    /// The future of a `register` was dropped: a failure with unknown outcome (R3, R4).
    fn abandon(&mut self, key: &Key, id: CallId) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.queue.retain(|call| call.id != id);
        let busy = slot.busy;
        if let Some(call) = slot.call.take_if(|call| call.id == id) {
            if call.uncertain || busy {
                self.fall_back(key);
            }
        } else if slot.revert(id) {
            if slot.wanted.is_none() {
                slot.beat_at = None;
            }
            if slot.believed == Believed::Stands {
                slot.believed = Believed::Wrong;
            }
        }
        self.touch(key);
    }

    pub(super) fn next_uncertain(&mut self) -> u64 {
        self.uncertain_writes += 1;
        self.uncertain_writes
    }

    /// Until when a write with an unknown outcome is watched for, where the store cannot fence it: three TTLs, and at least a minute.
    pub(super) fn linger_until(&self) -> Instant {
        Instant::now() + (self.options.ttl * 3).max(std::time::Duration::from_secs(60))
    }

    /// Why there is no session, when there is none.
    fn link_error(&self) -> Option<(ErrorKind, String)> {
        if matches!(&self.link, Link::Up(up) if !up.failing) {
            return None;
        }
        let status = self.board.status();
        let status = status.borrow();
        let error = status.last_error.as_ref()?;
        Some((error.kind, error.text.to_string()))
    }
}

/// The error of a call whose deadline passed.
fn overdue(call: &Call, key: &Key, link_error: &Option<(ErrorKind, String)>, busy: bool) -> Error {
    let error = match (&call.last_error, link_error) {
        _ if busy => Error::new(ErrorKind::TimedOut, call.operation(), "no answer within the operation timeout"),
        (Some(error), _) => error.clone().into_error(call.operation(), Outcome::NotApplied),
        (None, Some((kind, text))) if *kind == ErrorKind::TimedOut => {
            Error::new(ErrorKind::Unreachable, call.operation(), text.as_str())
        }
        (None, Some((kind, text))) => Error::new(*kind, call.operation(), text.as_str()),
        (None, None) => Error::new(ErrorKind::Unreachable, call.operation(), "no turn within the operation timeout"),
    };
    let outcome = if busy { Outcome::Unknown } else { call.outcome() };
    error.with_outcome(outcome).about(key)
}
