//! Closing a handle (clause R9): withdraw everything, end the session, within the limit.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::time::Instant;

use super::Reply;
use super::actor::Actor;
use super::link::Link;
use super::operations;
use super::slot::{Believed, CallKind};
use crate::error::{Error, ErrorKind, Outcome};
use crate::store::{Key, StoreError};

/// A close under way.
pub(super) struct Closing {
    pub(super) deadline: Instant,
    replies: Vec<Reply>,
    pub(super) ending: bool,
    /// When the next attempt to end the session is due.
    pub(super) retry_at: Instant,
    last_error: Option<StoreError>,
}

impl Actor {
    pub(super) fn begin_closing(&mut self, deadline: Instant, reply: Reply) {
        let retry_at = Instant::now();
        self.closing = Some(Closing { deadline, replies: vec![reply], ending: false, retry_at, last_error: None });
        let keys: Vec<Key> = self.slots.keys().cloned().collect();
        for key in keys {
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            slot.wanted = None;
            slot.unseen.clear();
            slot.beat_at = None;
            slot.not_before = None;
            let busy = slot.busy;
            let mut calls: Vec<_> = slot.queue.drain(..).collect();
            calls.extend(slot.call.take_if(|call| matches!(call.kind, CallKind::Register(..))));
            let mut uncertain = false;
            for call in &mut calls {
                match call.kind {
                    CallKind::Register(..) => {
                        uncertain |= busy || call.uncertain;
                        let outcome = if busy { Outcome::Unknown } else { call.outcome() };
                        call.give_up();
                        call.answer(Err(Error::closed("register").with_outcome(outcome).about(&key)));
                    }
                    // Closing withdraws it; whether that worked is the answer of `close`.
                    CallKind::Announce(_) => {}
                    CallKind::Deregister => {
                        call.answer(Err(Error::closed("deregister").with_outcome(Outcome::Unknown).about(&key)));
                    }
                }
            }
            if uncertain {
                self.fall_back(&key);
            }
            self.touch(&key);
        }
    }

    pub(super) fn also_closing(&mut self, reply: Reply) {
        if let Some(closing) = &mut self.closing {
            closing.replies.push(reply);
        }
    }

    /// Whether entries under the present session are left to its end.
    pub(super) fn closing_by_end(&self) -> bool {
        self.closing.is_some() && self.capabilities.end_withdraws
    }

    /// The next step of a close, if one is due.
    pub(super) fn advance_closing(&mut self, now: Instant) {
        let by_end = self.closing_by_end();
        let Some(closing) = &mut self.closing else { return };
        if closing.deadline <= now {
            let error = match closing.last_error.take() {
                Some(error) => error.into_error("close", Outcome::Unknown),
                None => self.close_error(),
            };
            return self.finish_closing(&Err(error));
        }
        let left = |slot: &super::slot::Slot| {
            slot.busy
                || slot.call.is_some()
                || !matches!(slot.believed, Believed::Nothing | Believed::Stands)
                || (slot.believed == Believed::Stands && !by_end)
        };
        if closing.ending || closing.retry_at > now || self.slots.values().any(left) {
            return;
        }
        match &self.link {
            Link::Up(up) => {
                closing.ending = true;
                let limit = closing.deadline.saturating_duration_since(now).min(self.options.attempt_timeout);
                let operation = operations::end(up.session.clone(), limit);
                self.start(operation);
            }
            _ if self.slots.values().all(|slot| slot.believed == Believed::Nothing) => self.finish_closing(&Ok(())),
            _ => {}
        }
    }

    pub(super) fn session_ended(&mut self, result: Result<(), StoreError>) {
        match result {
            Ok(()) => self.finish_closing(&Ok(())),
            Err(error) => {
                let pause = self.backoff.failed();
                if let Some(closing) = &mut self.closing {
                    closing.ending = false;
                    closing.retry_at = Instant::now() + pause;
                    closing.last_error = Some(error);
                }
            }
        }
    }

    fn finish_closing(&mut self, result: &Result<(), Error>) {
        self.board.closes_by_call();
        self.link = Link::Down { retry_at: Instant::now() };
        // An adapter that panics has nothing more to lose, and the handle is closed all the same.
        let _ = catch_unwind(AssertUnwindSafe(|| self.store.close()));
        if let Some(closing) = self.closing.take() {
            for reply in closing.replies {
                let _ = reply.send(result.clone());
            }
        }
        self.end();
    }

    fn close_error(&self) -> Error {
        let status = self.board.status();
        let error = status.borrow().last_error.clone();
        let error = match error {
            Some(error) if error.kind != ErrorKind::TimedOut => Error::new(error.kind, "close", &*error.text),
            Some(error) => Error::new(ErrorKind::Unreachable, "close", &*error.text),
            None => Error::new(
                ErrorKind::TimedOut,
                "close",
                "the withdrawal was not confirmed within the operation timeout",
            ),
        };
        error.with_outcome(Outcome::Unknown)
    }
}
