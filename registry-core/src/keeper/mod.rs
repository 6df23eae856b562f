//! The keeper: holds what a handle wants registered, and makes the store say so.
//!
//! One task per handle (`actor`) owns all state and runs the store's operations as futures of its own, so that dropping it leaves nothing
//! running. What it knows and wants about one identity is a `slot`; what it knows about the session is its `link`; what it tells the outside is
//! the `board`. One idempotent pass, "compare what is wanted with what is believed to stand, do the next step", serves calls, reconnects, audits
//! and ambiguous results alike.

mod actor;
mod board;
mod caller;
mod calls;
mod close;
mod inspection;
mod link;
mod log;
mod operations;
mod outcome;
mod slot;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use self::actor::Actor;
use self::board::Board;
use self::caller::Caller;
use self::slot::CallId;
use crate::error::{Error, ErrorKind, InvalidField, Outcome};
use crate::handle::HandleOptions;
use crate::info::{Info, MAX_ENTRY};
use crate::metrics;
use crate::status::{HandleState, HandleStatus, RegistrationStatus};
use crate::store::{Key, Record, Store};

type Reply = oneshot::Sender<Result<(), Error>>;

/// What the front sends to the actor, in the order of the callers' first polls.
enum Command {
    Register {
        call: CallId,
        record: Record,
        deadline: Instant,
        reply: Reply,
        caller: Arc<Caller>,
    },
    Announce {
        call: CallId,
        record: Record,
    },
    Deregister {
        call: CallId,
        record: Record,
        deadline: Instant,
        reply: Reply,
    },
    /// The future of this `register` was dropped before its result was seen.
    Abandon {
        key: Key,
        call: CallId,
    },
    Close {
        deadline: Instant,
        reply: Reply,
    },
}

/// The front of the keeper: what callers hold. Dropping it is a crash of the owner, unless it was closed.
pub(crate) struct Keeper {
    store: Arc<dyn Store>,
    options: HandleOptions,
    commands: mpsc::UnboundedSender<Command>,
    board: Arc<Board>,
    next_call: AtomicU64,
    closed: AtomicBool,
}

impl Keeper {
    /// Starts the actor on the present runtime.
    pub(crate) fn spawn(store: Arc<dyn Store>, options: HandleOptions) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        let board = Arc::new(Board::new());
        let actor = Actor::new(store.clone(), options.clone(), inbox, board.clone());
        tokio::spawn(actor.run());
        Self { store, options, commands, board, next_call: AtomicU64::new(0), closed: AtomicBool::new(false) }
    }

    /// Waits for the first session, within the operation timeout.
    pub(crate) async fn connected(&self) -> Result<(), Error> {
        let mut status = self.board.status();
        let settled = status.wait_for(|status| {
            let permanent = |kind| matches!(kind, ErrorKind::Denied | ErrorKind::Misconfigured);
            status.state != HandleState::Unreachable
                || status.last_error.as_ref().is_some_and(|error| permanent(error.kind))
        });
        let limit = self.options.operation_timeout;
        let waited = tokio::time::timeout(limit, settled).await.map(|settled| settled.map(|status| status.clone()));
        let status = match waited {
            Ok(Ok(status)) if status.state == HandleState::Connected => return Ok(()),
            Ok(Ok(status)) => status,
            Ok(Err(_)) => return Err(Error::closed("connect")),
            Err(_) => self.board.status().borrow().clone(),
        };
        Err(match status.last_error {
            Some(error) if error.kind != ErrorKind::TimedOut => Error::new(error.kind, "connect", &*error.text),
            Some(error) => Error::new(ErrorKind::Unreachable, "connect", &*error.text),
            None => Error::new(ErrorKind::Unreachable, "connect", format!("no session within {limit:?}")),
        })
    }

    pub(crate) async fn register(&self, info: &Info) -> Result<(), Error> {
        let start = Instant::now();
        let result = self.register_once(info, start).await;
        metrics::call("register", result_label(&result), start.elapsed());
        result
    }

    async fn register_once(&self, info: &Info, start: Instant) -> Result<(), Error> {
        let record = self.encode(info, "register")?;
        let call = self.call_id();
        let key = record.key().clone();
        let (reply, answer) = oneshot::channel();
        let deadline = start + self.options.operation_timeout;
        let caller = Arc::new(Caller::default());
        self.send(Command::Register { call, record, deadline, reply, caller: caller.clone() }, "register")?;
        let mut guard = AbandonOnDrop { keeper: self, key: Some(key), call, caller };
        let result = answer
            .await
            .unwrap_or_else(|_| Err(ended("register").with_outcome(Outcome::Unknown).about(identity(info))));
        guard.key = None;
        guard.caller.see();
        result
    }

    pub(crate) fn announce(&self, info: &Info) -> Result<(), Error> {
        let record = self.encode(info, "announce")?;
        // It is pending from here on, also before the actor has had its turn.
        self.board.announced(&record);
        self.send(Command::Announce { call: self.call_id(), record }, "announce")
    }

    pub(crate) async fn deregister(&self, info: &Info) -> Result<(), Error> {
        let start = Instant::now();
        let result = self.deregister_once(info, start).await;
        metrics::call("deregister", result_label(&result), start.elapsed());
        result
    }

    async fn deregister_once(&self, info: &Info, start: Instant) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed("deregister").about(identity(info)));
        }
        // What could never be registered is not held.
        let Some(record) = self.encode_identity(info) else { return Ok(()) };
        let (reply, answer) = oneshot::channel();
        let deadline = start + self.options.operation_timeout;
        self.send(Command::Deregister { call: self.call_id(), record, deadline, reply }, "deregister")?;
        answer.await.unwrap_or_else(|_| Err(ended("deregister").with_outcome(Outcome::Unknown).about(identity(info))))
    }

    pub(crate) async fn close(&self) -> Result<(), Error> {
        let start = Instant::now();
        let first = !self.closed.swap(true, Ordering::AcqRel);
        let (reply, answer) = oneshot::channel();
        let deadline = start + self.options.operation_timeout;
        let answered = match self.commands.send(Command::Close { deadline, reply }) {
            Ok(()) => answer.await.ok(),
            Err(_) => None,
        };
        // The actor ends without an answer when another call closed it before it read ours, or with its runtime: then nothing was withdrawn.
        let lost = || first && !self.board.was_closed_by_call();
        let result = answered
            .unwrap_or_else(|| if lost() { Err(ended("close").with_outcome(Outcome::Unknown)) } else { Ok(()) });
        metrics::call("close", result_label(&result), start.elapsed());
        result
    }

    pub(crate) fn status(&self) -> watch::Receiver<HandleStatus> {
        self.board.status()
    }

    pub(crate) fn registration(&self, info: &Info) -> Option<watch::Receiver<RegistrationStatus>> {
        self.board.registration(self.encode_identity(info)?.key())
    }

    pub(crate) fn registrations(&self) -> Vec<RegistrationStatus> {
        self.board.registrations()
    }

    /// Checks everything that can be checked before anything is sent (V1).
    fn encode(&self, info: &Info, operation: &'static str) -> Result<Record, Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed(operation).about(identity(info)));
        }
        let refused = |invalid: InvalidField| Error::from(invalid).in_operation(operation).about(identity(info));
        self.store.check_service(info.service()).map_err(refused)?;
        let record = self.store.encode(info).map_err(refused)?;
        let size = record.key().as_str().len() + record.value().len();
        if size > MAX_ENTRY {
            let field = if info.payload_codec().len() > MAX_ENTRY / 2 { "payload_codec" } else { "tags" };
            let refusal = InvalidField::new(field, format!("the entry would have {size} bytes"));
            return Err(refused(refusal.with_limit(format!("at most {MAX_ENTRY} bytes an entry"))));
        }
        Ok(record)
    }

    /// The record of the identity alone, whatever the other fields say.
    fn encode_identity(&self, info: &Info) -> Option<Record> {
        let bare = Info::builder(info.service().as_str()).address(info.address()).build().ok()?;
        self.store.encode(&bare).ok()
    }

    fn send(&self, command: Command, operation: &'static str) -> Result<(), Error> {
        self.commands.send(command).map_err(|_| ended(operation))
    }

    fn call_id(&self) -> CallId {
        CallId(self.next_call.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

/// Tells the actor when the future of a `register` is dropped before its result was seen (R4).
struct AbandonOnDrop<'a> {
    keeper: &'a Keeper,
    key: Option<Key>,
    call: CallId,
    caller: Arc<Caller>,
}

impl Drop for AbandonOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.caller.leave();
            let _ = self.keeper.commands.send(Command::Abandon { key, call: self.call });
        }
    }
}

/// How errors name an identity.
fn identity(info: &Info) -> String {
    format!("{}/{}", info.service(), info.address())
}

fn ended(operation: &'static str) -> Error {
    Error::new(ErrorKind::Closed, operation, "this handle was closed, or the runtime that it ran on has ended")
}

fn result_label(result: &Result<(), Error>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(error) => error.kind().as_str(),
    }
}
