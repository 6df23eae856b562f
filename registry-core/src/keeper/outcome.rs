//! What the result of a store operation means.

use std::sync::Arc;

use tokio::time::Instant;

use super::actor::{Actor, Slots};
use super::link::{Epoch, Link, Up};
use super::operations::PutDone;
use super::slot::{Believed, CallKind};
use crate::error::ErrorKind;
use crate::metrics;
use crate::status::HandleState;
use crate::store::{Applied, Key, Record, Removed, Renewal, Session, SessionError, Signal, StoreError, WriteError};

impl Actor {
    pub(super) fn opened(&mut self, result: Result<Arc<dyn Session>, StoreError>) {
        match result {
            Err(error) => {
                let pause = self.backoff.failed();
                self.link = Link::Down { retry_at: Instant::now() + pause };
                self.fail_fast(&error);
                self.unreachable(&error, pause);
            }
            Ok(session) => {
                self.epoch = Epoch(self.epoch.0 + 1);
                self.batches = 0;
                self.beats = 0;
                self.fencing = false;
                self.fence_refused = false;
                self.lineage.add(session.id());
                self.link = Link::Up(Up::new(session, self.epoch, self.options.ttl));
                metrics::session_opened();
                self.connected();
                self.touch_all();
            }
        }
    }

    /// The store refuses this handle for good: calls that wait for a session need not wait longer.
    fn fail_fast(&mut self, error: &StoreError) {
        if !is_permanent(error.kind()) {
            return;
        }
        for key in self.keys() {
            let waits = self.slots.get(&key).is_some_and(|slot| slot.call.is_some() && !slot.busy);
            if waits {
                self.fail_call(&key, error.clone());
                self.touch(&key);
            }
        }
    }

    pub(super) fn renewed(&mut self, epoch: Epoch, beaten: &[Key], result: Result<Vec<Key>, SessionError>) {
        let beat = !beaten.is_empty();
        let interval = self.link.up().map(|up| up.interval);
        if let (true, Some(interval)) = (beat && self.link.is_at(epoch), interval) {
            let failed = result.is_err();
            let pause = if failed { self.options.backoff_cap.min(interval) / 2 } else { interval };
            for key in beaten {
                if let Some(slot) = self.slots.get_mut(key).filter(|slot| slot.beat_at.is_some()) {
                    slot.beat_at = Some(Instant::now() + super::actor::jittered(pause));
                }
                self.touch(key);
            }
        }
        if !self.link.is_at(epoch) {
            return;
        }
        self.beats = self.beats.saturating_sub(usize::from(beat));
        match result {
            Ok(keys) => {
                metrics::renewed("ok");
                let recovered = self.renewal_answered(beat);
                keys.iter().for_each(|key| self.look_at(key));
                if recovered {
                    self.look_at_all();
                    self.touch_all();
                }
            }
            Err(SessionError::Lost) => {
                metrics::renewed("lost");
                // A store that stood still tells all who were asking at one moment. They return as they asked: apart from each other (L5).
                let held_up = !beat && self.link.up().is_some_and(Up::is_held_up);
                let due = held_up.then(|| Instant::now() + self.backoff.failed());
                self.lose_session_until(epoch, due);
            }
            Err(SessionError::Failed(error)) => {
                metrics::renewed(error.kind().as_str());
                let pause = self.backoff.failed();
                if let Some(up) = self.link.up_mut() {
                    up.failing = true;
                    up.silent = matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::TimedOut);
                    up.renewing = up.renewing.filter(|_| beat);
                    up.renew_at = Instant::now() + pause;
                }
                self.unreachable(&error, pause);
            }
        }
    }

    /// Notes an answered renewal; whether it was the first after an outage.
    fn renewal_answered(&mut self, beat: bool) -> bool {
        let now = Instant::now();
        let Some(up) = self.link.up_mut() else { return false };
        let recovered = up.failing;
        self.backoff.reset();
        up.failing = false;
        up.silent = false;
        up.suspected = false;
        if !beat {
            up.renewing = None;
            up.renew_at = now + up.interval;
        }
        self.connected();
        recovered
    }

    pub(super) fn signalled(&mut self, epoch: Epoch, signal: Signal) {
        if !self.link.is_at(epoch) {
            return;
        }
        match signal {
            Signal::Lost => {
                // A store tells all whose sessions expired at one moment. Who asks whether it is back goes on as it would have: apart from the others (L5).
                let due = match self.link.up() {
                    Some(up) if up.failing && up.renewing.is_some() => Some(Instant::now() + self.backoff.failed()),
                    Some(up) if up.failing => Some(up.renew_at),
                    _ => None,
                };
                self.lose_session_until(epoch, due);
            }
            Signal::Look(key) => {
                if let Some(up) = self.link.up_mut() {
                    up.listen();
                }
                self.look_at(&key);
            }
        }
    }

    /// The session is gone for good: another is opened, and everything is written again through it (L3).
    pub(super) fn lose_session(&mut self, epoch: Epoch) {
        self.lose_session_until(epoch, None);
    }

    /// The same; the next session is opened when it is `due`, or after a pause.
    fn lose_session_until(&mut self, epoch: Epoch, due: Option<Instant>) {
        if !self.link.is_at(epoch) {
            return;
        }
        metrics::session_lost();
        let now = Instant::now();
        let pause = due.map_or_else(|| self.pause_after_loss(), |due| due.saturating_duration_since(now));
        self.link = Link::Down { retry_at: now + pause };
        self.beats_due.clear();
        if let Some(closing) = &mut self.closing {
            // What was being ended is gone: whatever is left is withdrawn through another session.
            closing.ending = false;
        }
        let fenced = self.capabilities.write_fencing.is_offered();
        let mut standing = 0;
        for slot in self.slots.values_mut() {
            slot.beat_at = None;
            slot.beat_due = false;
            slot.look = false;
            // Whether it was removed with the session, or outlives it, or somebody took it: the next write or removal tells.
            if slot.believed != Believed::Nothing {
                standing += usize::from(slot.believed == Believed::Stands);
                slot.believed = Believed::Lapsed;
            }
            if fenced && !slot.busy {
                slot.unfenced = None;
            }
        }
        if standing > 0 {
            self.log.session_lost(standing);
        }
        self.unreachable(&StoreError::unreachable("the store ended the session"), pause);
        self.touch_all();
    }

    /// Sessions that are lost at once again and again must not be opened at full speed.
    fn pause_after_loss(&mut self) -> std::time::Duration {
        if self.link.up().is_some_and(|up| up.opened.elapsed() >= self.options.backoff_cap) {
            self.backoff.reset();
        }
        self.backoff.failed()
    }

    pub(super) fn put(&mut self, epoch: Epoch, results: Vec<PutDone>) {
        self.batch_done(epoch);
        self.note_answer(results.iter().any(|done| is_answer(&done.result)));
        for PutDone { record, call, result, cut } in results {
            let key = record.key().clone();
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            slot.busy = false;
            slot.alone = cut;
            // The call of this write may have ended meanwhile: its deadline passed, or its future was dropped.
            let mine = call.filter(|id| slot.call.as_ref().is_some_and(|call| call.id == *id));
            match result {
                Ok(()) if !self.link.is_at(epoch) => slot.believed = Believed::Lapsed,
                Ok(()) if mine.is_some() => self.registered(&key, record),
                Ok(()) => self.restored(&key, &record),
                // Never for a claim: an adapter that says so all the same lost a race, and must not be asked again at full speed.
                Err(WriteError::Foreign) if slot.claims() => self.pause(&key, None),
                Err(_) if cut => self.cut_short(&key, mine.is_some()),
                Err(error) => self.put_failed(&key, epoch, error),
            }
            self.touch(&key);
        }
        self.report_restored();
    }

    /// The write of a `register` succeeded.
    fn registered(&mut self, key: &Key, record: Record) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let Some(mut call) = slot.call.take() else { return };
        if let CallKind::Register(_, caller) = &call.kind {
            slot.commit(call.id, record, caller.clone());
        }
        self.stands(key);
        call.answer(Ok(()));
    }

    /// A write of the keeper's own succeeded, or that of a call which has ended: is it what is wanted?
    fn restored(&mut self, key: &Key, record: &Record) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        match &mut slot.wanted {
            Some(wanted) if wanted.record == *record => {
                wanted.claim = false;
                if slot.stood {
                    metrics::restored();
                }
                self.stands(key);
            }
            _ => slot.believed = Believed::Wrong,
        }
    }

    pub(super) fn stands(&mut self, key: &Key) {
        let interval = self.link.up().map(|up| up.interval);
        let entries = self.capabilities.renewal == Renewal::Entry;
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.believed = Believed::Stands;
        slot.stood = true;
        slot.backoff.reset();
        slot.not_before = None;
        if let (true, None, Some(interval)) = (entries, slot.beat_at, interval) {
            // A phase of its own, so that entries written together are not renewed together.
            slot.beat_at = Some(Instant::now() + interval.mul_f64(0.5 + fastrand::f64() / 2.0));
        }
        self.log.written();
    }

    /// A write was given up on the way with that of a caller who left. The store has nothing to do with it; if it was `called` for, it is tried again at once.
    fn cut_short(&mut self, key: &Key, called: bool) {
        self.fall_back(key);
        if let Some(call) = self.slots.get_mut(key).and_then(|slot| slot.call.as_mut()).filter(|_| called) {
            call.uncertain = true;
        }
    }

    fn put_failed(&mut self, key: &Key, epoch: Epoch, error: WriteError) {
        match error {
            WriteError::Foreign => self.displaced(key),
            WriteError::Contended => self.pause(key, None),
            WriteError::SessionLost => self.lose_session(epoch),
            WriteError::Failed { error, applied } => {
                if applied == Applied::Unknown {
                    self.fall_back(key);
                }
                self.suspect(&error);
                let transient = is_transient(error.kind());
                if let Some(call) = self.slots.get_mut(key).and_then(|slot| slot.call.as_mut()) {
                    call.uncertain |= applied == Applied::Unknown;
                    call.last_error = Some(error.clone());
                    if !transient {
                        self.fail_call(key, error.clone());
                    }
                }
                self.log.write_failed(key, &error);
                self.pause(key, Some(&error));
            }
        }
    }

    pub(super) fn removed(&mut self, epoch: Epoch, results: Vec<(Key, Result<Removed, WriteError>)>) {
        self.batch_done(epoch);
        self.note_answer(results.iter().any(|(_, result)| is_answer(result)));
        for (key, result) in results {
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            slot.busy = false;
            match result {
                Ok(_) => {
                    slot.believed = Believed::Nothing;
                    slot.backoff.reset();
                    slot.not_before = None;
                    self.finish_withdrawal(&key);
                }
                Err(WriteError::SessionLost) => self.lose_session(epoch),
                Err(WriteError::Foreign) => {
                    slot.believed = Believed::Nothing;
                    self.finish_withdrawal(&key);
                }
                Err(WriteError::Contended) => self.pause(&key, None),
                Err(WriteError::Failed { error, applied }) => {
                    slot.believed = Believed::Unsure;
                    // A late removal could hit what is registered next, where it cannot be conditional.
                    if applied == Applied::Unknown && !self.capabilities.atomic_withdrawal.is_offered() {
                        self.fall_back(&key);
                    }
                    self.suspect(&error);
                    let transient = is_transient(error.kind());
                    if let Some(call) = slot_call(&mut self.slots, &key) {
                        call.last_error = Some(error.clone());
                        if !transient {
                            self.fail_call(&key, error.clone());
                        }
                    }
                    self.log.write_failed(&key, &error);
                    self.pause(&key, Some(&error));
                }
            }
            self.touch(&key);
        }
    }

    /// Another owner holds the identity: this one yields (R7).
    pub(super) fn displaced(&mut self, key: &Key) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let news = slot.believed != Believed::Foreign && slot.wanted.is_some();
        slot.believed = Believed::Foreign;
        slot.beat_at = None;
        slot.backoff.reset();
        slot.not_before = None;
        if news {
            metrics::displaced();
            self.log.displaced(key);
        }
    }

    pub(super) fn fenced(&mut self, epoch: Epoch, up_to: u64, result: Result<(), SessionError>) {
        if !self.link.is_at(epoch) {
            return;
        }
        self.fencing = false;
        let error = match result {
            Ok(()) => None,
            Err(SessionError::Lost) => return self.lose_session(epoch),
            Err(SessionError::Failed(error)) => Some(error),
        };
        if let Some(error) = &error {
            self.suspect(error);
            self.fence_refused = !is_transient(error.kind());
        }
        for key in self.keys() {
            let Some(slot) = self.slots.get_mut(&key).filter(|slot| slot.unfenced.is_some()) else { continue };
            match &error {
                None if !slot.busy && slot.unfenced.is_some_and(|number| number <= up_to) => {
                    slot.unfenced = None;
                    // It may have taken effect after the last look and before the fence (R4).
                    slot.look = slot.wanted.is_some();
                }
                // A later write, or one that is in flight: it needs a fence of its own.
                None => {}
                Some(error) => {
                    if let Some(call) = &mut slot.call {
                        call.last_error = Some(error.clone());
                    }
                    self.pause(&key, Some(error));
                }
            }
            self.touch(&key);
        }
    }

    /// No step of this slot before its back-off is over.
    pub(super) fn pause(&mut self, key: &Key, error: Option<&StoreError>) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let pause = slot.backoff.failed();
        slot.not_before = Some(Instant::now() + pause);
        if let Some(error) = error {
            slot.last_error = Some(Self::trouble(error));
        }
    }

    /// An operation failed: is the session still there?
    pub(super) fn suspect(&mut self, error: &StoreError) {
        if let (ErrorKind::Unreachable | ErrorKind::TimedOut, Some(up)) = (error.kind(), self.link.up_mut()) {
            up.suspect();
        }
    }

    fn note_answer(&mut self, answered: bool) {
        if answered {
            self.last_answer = Instant::now();
        }
    }

    pub(super) fn batch_done(&mut self, epoch: Epoch) {
        if self.up_epoch() == Some(epoch) {
            self.batches = self.batches.saturating_sub(1);
        }
    }

    fn connected(&mut self) {
        self.log.reachable();
        let status = self.board.status();
        if status.borrow().state != HandleState::Connected {
            self.board.set_handle(HandleState::Connected, |status| {
                status.attempts = 0;
                status.next_try = None;
            });
        }
    }

    fn unreachable(&mut self, error: &StoreError, pause: std::time::Duration) {
        self.log.unreachable(error);
        let attempts = self.backoff.failures();
        self.board.set_handle(HandleState::Unreachable, |status| {
            status.attempts = attempts;
            status.last_error = Some(Self::trouble(error));
            status.next_try = Some(super::actor::system_time(Instant::now() + pause));
        });
    }

    /// Says once that everything that a lost session took is back.
    pub(super) fn report_restored(&mut self) {
        if self.log.is_restoring()
            && !self.slots.values().any(|slot| slot.wanted.is_some() && slot.believed == Believed::Lapsed)
        {
            self.log.restored();
        }
    }

    pub(super) fn touch_all(&mut self) {
        for key in self.keys() {
            self.touch(&key);
        }
    }

    fn keys(&self) -> Vec<Key> {
        self.slots.keys().cloned().collect()
    }
}

fn slot_call<'a>(slots: &'a mut Slots, key: &Key) -> Option<&'a mut super::slot::Call> {
    slots.get_mut(key)?.call.as_mut().filter(|call| matches!(call.kind, CallKind::Deregister))
}

/// Whether the store said anything, be it a refusal.
fn is_answer<T>(result: &Result<T, WriteError>) -> bool {
    match result {
        Err(WriteError::Failed { error, .. }) => !is_transient(error.kind()),
        _ => true,
    }
}

/// Whether the next attempt may get an answer.
fn is_transient(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unreachable | ErrorKind::TimedOut)
}

fn is_permanent(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Denied | ErrorKind::Misconfigured)
}
