//! The store operations: what an adapter supplies, and all that it supplies.
//!
//! **As stable as the rest of this crate**: it changes under the same rules of versions. Six adapters fit it: memory, etcd, ZooKeeper, Consul, and two on files. What is
//! added to a trait comes with a default.
//!
//! An adapter says what one store *can do* and how its bytes look. It holds no retry loop, no timer, no cache and no memory of what is
//! registered: core's keeper and watcher call these operations, one try each, and decide what a result means. With them a
//! [`Handle`](crate::Handle) keeps the whole [contract](crate::contract).
//!
//! | trait | one value per | carries |
//! |---|---|---|
//! | [`Store`] | handle | encoding, opening a session, listing, opening a view |
//! | [`Session`] | lease, session, or agent connection | writing, inspecting, renewing and removing entries of one owner |
//! | [`View`] | watched service | the changes of one service since its full list |
//!
//! # To ensure correctness
//! - **Any future may be dropped**, at its deadline above all. What it was doing then has an unknown outcome; the session or view stays
//!   usable.
//! - **An error says whether the write can still happen.** [`Applied::Never`] is a promise: the write has not taken effect and never will.
//!   When in doubt it is [`Applied::Unknown`].
//! - **No write is blind where the store can do better.** A put under [`Guard::AbsentOrOurs`] and every remove are conditional on the owner that stands
//!   there; where that takes two requests, [`Capabilities::atomic_withdrawal`] is not offered.
//! - Bytes from the store are hostile: a broken entry becomes [`Found::instance`]` = Err`, and nothing else.

mod capabilities;
mod error;
mod go_json;
mod millis;
mod poll;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::capabilities::{Capabilities, Renewal, Support};
pub use self::error::{Applied, SessionError, StoreError, WriteError};
pub use self::go_json::{JsonRecord, MAX_RECORD, to_go_json};
pub use self::millis::{from_unix_millis, unix_millis};
pub use self::poll::PollView;
use crate::error::{ErrorKind, InvalidField};
use crate::info::{Info, MAX_ENTRY};
use crate::instance::Instance;
use crate::name::ServiceName;

/// One kind of store, connected with one set of options. One value serves one handle.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What this store can keep of the contract, and how it wants to be driven. Constant.
    fn capabilities(&self) -> Capabilities;

    /// Where the store is dialled, each `host:port` with IPv6 in brackets; empty where it is in this process or unknown. Nothing is dialled by it: the
    /// server life cycle asks the routing table which of this machine's addresses faces the store (clause S2).
    fn endpoints(&self) -> Vec<String> {
        Vec::new()
    }

    /// Refuses a service name that this store cannot carry or keep apart (V1, X3). Pure.
    ///
    /// # Errors
    /// The field `service`.
    fn check_service(&self, service: &ServiceName) -> Result<(), InvalidField> {
        let _ = service;
        Ok(())
    }

    /// The key and bytes of an entry. Pure: no I/O.
    ///
    /// # Errors
    /// The field that this store cannot carry (V1, X3), and its limit.
    fn encode(&self, info: &Info) -> Result<Record, InvalidField>;

    /// Opens a session that nothing was registered through yet.
    ///
    /// # Errors
    /// Nothing is left running when it fails or is dropped.
    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError>;

    /// All entries of a service, by the strongest read that there is.
    ///
    /// # Errors
    /// An unreachable store is an error, an unknown service is an empty list.
    async fn list(&self, service: &ServiceName) -> Result<Vec<Found>, StoreError>;

    /// Opens a view of a service. `attempt` counts the openings since the last one that worked, so that hosts can be rotated.
    ///
    /// # Errors
    /// Nothing is left running when it fails or is dropped.
    async fn view(&self, service: &ServiceName, attempt: u32) -> Result<Box<dyn View>, StoreError>;

    /// The handle was closed, and its session is ended or given up: nothing is asked of this store any more. Connections that it keeps go now, also one
    /// that is just being made, as the handle itself may live on (R9). A store that keeps none need not do anything. Wrappers hand it on.
    fn close(&self) {}
}

/// One lease, session or agent connection: all entries of one owner hang on it.
///
/// Methods are called concurrently, but never two of `put`, `remove` and `inspect` for one key at a time, nor two renewals of one key. A renewal may overlap
/// any of the others, also for the same key: its answer may be long in coming, and none of them waits for it. So a renewal must never create what it does
/// not find, nor keep alive what it has not lately seen to be this owner's. Core never sends more than [`Capabilities::max_batch`] entries in a batch, nor an
/// empty one, but for the renewal of the session itself. `ours` always contains this session's own id. A session that the store has given up answers [`WriteError::SessionLost`] or
/// [`SessionError::Lost`], whichever operation it is told by.
///
/// Dropping the value without [`end`](Self::end) is a crash: nothing of
/// it may go on running, and its entries expire.
#[async_trait]
pub trait Session: Send + Sync {
    /// The store's id of this session, never used twice.
    fn id(&self) -> SessionId;

    /// The TTL that the store granted; `None` when it is the one asked for.
    fn ttl(&self) -> Option<Duration> {
        None
    }

    /// Writes entries of different keys. One result a put, in their order, each independent of the others (R3): an entry that the store refuses
    /// fails alone, also where the whole batch is one request.
    async fn put(&self, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>>;

    /// Removes entries of this owner, whichever of its sessions wrote them, and nobody else's. One result a record, in their order.
    async fn remove(&self, batch: &[Record], ours: &Lineage) -> Vec<Result<Removed, WriteError>>;

    /// What stands under these keys, by the strongest read that there is. One answer a record, in their order, each independent of the others (R3): one that
    /// the store refuses to show is an error of its own.
    ///
    /// # Errors
    /// When the store did not answer, or the session is lost.
    async fn inspect(
        &self,
        records: &[Record],
        ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError>;

    /// Keeps the session alive; with [`Renewal::Entry`] the entries that are due, each every TTL/3 at a phase of its own, while an empty list only asks
    /// whether the session stands (when there are no entries, and after a failure). Returns the keys that somebody should look at, because the store does
    /// not know them any more or holds another owner's entry; an adapter that tells the same through
    /// [`signal`](Self::signal) need not.
    ///
    /// # Errors
    /// [`SessionError::Lost`] when the store says that the session is gone for good.
    async fn renew(&self, due: &[Record]) -> Result<Vec<Key>, SessionError>;

    /// Waits until the store tells something about this session. Pending for ever where it tells nothing. Cancel safe.
    async fn signal(&self) -> Signal {
        std::future::pending().await
    }

    /// After `Ok` no write or removal of this session that was first polled before this call was takes effect any more. Called only where
    /// [`Capabilities::write_fencing`] is offered; the session stays usable for later writes. A fence that failed or was dropped may have barred them
    /// already; a write that is barred while it is awaited is [`WriteError::Contended`].
    ///
    /// # Errors
    /// When that is not certain.
    async fn fence(&self) -> Result<(), SessionError> {
        Err(SessionError::Failed(StoreError::new(ErrorKind::Other, "write fencing is not offered")))
    }

    /// Whether [`fence`](Self::fence) has to end the session, with every entry on it. Core then fences only what it has to withdraw, and looks again and
    /// again at the entries that are wanted. The default is `false`.
    fn fencing_ends_session(&self) -> bool {
        false
    }

    /// Ends the session and, with [`Capabilities::end_withdraws`], with it every entry that still hangs on it; confirmed when it returns. Never
    /// touches another owner's entry.
    ///
    /// # Errors
    /// When it was not confirmed. A session that the store does not know any more is `Ok`.
    async fn end(&self) -> Result<(), StoreError>;
}

/// The changes of one service, from its full list on.
#[async_trait]
pub trait View: Send {
    /// The next change. The first one is [`ViewChange::Full`], from a watch that was armed before or with its read, so that nothing is lost
    /// between the two. A list that takes longer than one attempt is read in parts: [`ViewChange::Alive`] before it says that a part was read, and
    /// the next part gets an attempt of its own. Cancel safe.
    ///
    /// # Errors
    /// The view is over: core drops it and opens another. A doubt about completeness is an error, too.
    async fn next(&mut self) -> Result<ViewChange, StoreError>;

    /// Asks the store for a sign of life after silence. A healthy store then makes [`next`](Self::next) yield at least [`ViewChange::Alive`] soon. Never
    /// called before the first [`ViewChange::Full`].
    ///
    /// # Errors
    /// The view is over.
    async fn probe(&mut self) -> Result<(), StoreError>;

    /// How long a healthy view may be silent before core probes it.
    fn silence(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// One change of a service. An entry is identified by its [`Key`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ViewChange {
    /// The full list: entries that are not in it are gone.
    Full(Vec<Found>),
    /// An entry is new or changed.
    Upsert(Found),
    /// An entry is gone.
    Remove(Key),
    /// Nothing changed; the store answers.
    Alive,
}

/// An entry found in the store.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it stands.
    pub key: Key,
    /// The instance, or why the entry cannot be one (clause D3).
    pub instance: Result<Arc<Instance>, Malformed>,
    /// Whether the store judges it healthy. `true` where the store does not judge.
    pub healthy: bool,
    /// Orders entries of one identity: of several healthy ones the highest wins (R7).
    pub version: u64,
}

impl Found {
    /// A healthy entry that was decoded.
    pub fn new(key: Key, instance: Instance, version: u64) -> Self {
        Self { key, instance: Ok(Arc::new(instance)), healthy: true, version }
    }

    /// An entry that could not be decoded.
    pub fn malformed(key: Key, why: Malformed) -> Self {
        Self { key, instance: Err(why), healthy: true, version: 0 }
    }
}

/// Why an entry is no instance: one short sentence without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key, path or id of an entry in its store. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// The key `text`.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn to_arc(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// An encoded entry. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    key: Key,
    value: Arc<[u8]>,
    info: Arc<Info>,
}

impl Record {
    /// The entry of `info`: `value` under `key`.
    pub fn new(key: Key, value: impl Into<Arc<[u8]>>, info: &Info) -> Self {
        Self { key, value: value.into(), info: Arc::new(info.clone()) }
    }

    /// The same, refused when key and value together are past [`MAX_ENTRY`] bytes (clause V1).
    ///
    /// # Errors
    /// The field that is to blame: `payload_codec` when that alone is most of it, else `tags`.
    pub fn fitting(key: Key, value: impl Into<Arc<[u8]>>, info: &Info) -> Result<Self, InvalidField> {
        let record = Self::new(key, value, info);
        let size = record.key.as_str().len() + record.value.len();
        if size <= MAX_ENTRY {
            return Ok(record);
        }
        let field = if info.payload_codec().len() > MAX_ENTRY / 2 { "payload_codec" } else { "tags" };
        let limit = format!("at most {MAX_ENTRY} bytes an entry, key included");
        Err(InvalidField::new(field, format!("the entry would have {size} bytes")).with_limit(limit))
    }

    /// Where it stands. One identity has one key, and one key one identity.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Its bytes.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// What it says.
    pub fn info(&self) -> &Info {
        &self.info
    }
}

/// What [`Store::open`] is given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenRequest {
    /// The TTL wanted.
    pub ttl: Duration,
    /// Attempts that failed since the last session, so that hosts can be rotated.
    pub attempt: u32,
    /// The owner, for stores that keep a token in the entry.
    pub owner: OwnerToken,
}

impl OpenRequest {
    /// What core asks for, so that an adapter's own tests can ask for it, too.
    pub fn new(ttl: Duration, attempt: u32, owner: OwnerToken) -> Self {
        Self { ttl, attempt, owner }
    }
}

/// A random name of one handle: 32 hexadecimal digits. No secret, but unguessable enough never to be met twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnerToken(Arc<str>);

impl OwnerToken {
    /// A new token.
    pub fn random() -> Self {
        Self(format!("{:032x}", fastrand::u128(..)).into())
    }

    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The store's id of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// All that a handle recognises as its own: its token, its present session and its earlier ones.
#[derive(Clone, Debug)]
pub struct Lineage {
    owner: OwnerToken,
    sessions: Vec<SessionId>,
}

impl Lineage {
    /// How many sessions are remembered: after so many losses the oldest entries have expired.
    const SESSIONS: usize = 256;

    /// A lineage without sessions.
    pub fn new(owner: OwnerToken) -> Self {
        Self { owner, sessions: Vec::new() }
    }

    /// The handle's token.
    pub fn owner(&self) -> &OwnerToken {
        &self.owner
    }

    /// Whether `session` is or was one of this handle's.
    pub fn contains(&self, session: SessionId) -> bool {
        self.sessions.contains(&session)
    }

    /// The sessions, the present one last.
    pub fn sessions(&self) -> &[SessionId] {
        &self.sessions
    }

    /// Remembers a session.
    pub fn add(&mut self, session: SessionId) {
        if self.sessions.len() == Self::SESSIONS {
            self.sessions.remove(0);
        }
        self.sessions.push(session);
    }
}

/// An entry to write.
#[derive(Clone, Debug)]
pub struct Put {
    /// The entry.
    pub record: Record,
    /// What may be overwritten.
    pub guard: Guard,
}

/// What a put may overwrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Whatever stands there: the caller asked to register (R7). Where the store can, the write is still conditional on what was read just before, so
    /// that it cannot take effect late over a successor: a write that lost that race is [`WriteError::Contended`].
    Claim,
    /// Nothing, an entry of this handle's lineage, or an unowned one: the handle restores what it had (L3, L4).
    AbsentOrOurs,
}

/// What became of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// Our entry stood there and is gone.
    Gone,
    /// Nothing stood there.
    NotThere,
    /// Another owner's entry, or an unowned one, stands there: untouched.
    Foreign,
}

/// What stands under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Absent,
    /// An entry of this handle's lineage.
    Ours {
        /// Whether it hangs on the present session.
        current: bool,
        /// Whether it says what the record says.
        same: bool,
    },
    /// Another owner's entry.
    Foreign,
    /// An entry that nothing keeps alive.
    Unowned,
}

/// What the store tells about a session without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// The session is gone for good.
    Lost,
    /// Something happened to this entry.
    Look(Key),
}
