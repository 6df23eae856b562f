//! The client of ZooKeeper as the adapter sees it: one connection, one session, one request at a time.
//!
//! Behind this trait stands `zookeeper-async`, used as something to be thrown away: the transport makes a new one for each session, and kills it at the
//! first doubt. A second client can be added here without a change to anything else.

mod disposable;
mod error;
mod told;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;

pub(crate) use self::disposable::Disposable;
pub(crate) use self::error::Failure;
pub(crate) use self::told::Told;

/// Makes connections. Each is made, used and dropped inside the runtime of one thread.
#[async_trait]
pub(crate) trait Engine: Send + Sync + 'static {
    /// Begins to connect to one server, asking for this session timeout. The session stands once a first request was answered.
    ///
    /// The connection never goes to another server and never outlives a break: what happens to it is told through `events` (rule 8: callbacks only send).
    async fn connect(
        &self,
        server: SocketAddr,
        timeout: Duration,
        events: UnboundedSender<Event>,
    ) -> Result<Arc<dyn Connection>, Failure>;
}

/// One session on one connection. Paths are absolute. A request that was sent cannot be taken back.
#[async_trait]
pub(crate) trait Connection: Send + Sync + 'static {
    /// Adds `user:password` to what the session is known by. A wrong password is not noticed by it.
    async fn authenticate(&self, digest: Vec<u8>) -> Result<(), Failure>;
    /// Creates a node. Returns its path and state.
    async fn create(&self, path: &str, data: &[u8], kind: Kind, access: Access) -> Result<(String, Stat), Failure>;
    async fn delete(&self, path: &str, version: i32) -> Result<(), Failure>;
    async fn set(&self, path: &str, data: &[u8], version: i32) -> Result<Stat, Failure>;
    /// With `Watch::Armed` the next change of the node, or its creation, is told once.
    async fn exists(&self, path: &str, watch: Watch) -> Result<Option<Stat>, Failure>;
    async fn get(&self, path: &str, watch: Watch) -> Result<(Vec<u8>, Stat), Failure>;
    async fn children(&self, path: &str, watch: Watch) -> Result<Vec<String>, Failure>;
    /// Sends that the session is over. Not confirmed by the server when it returns.
    async fn close(&self) -> Result<(), Failure>;
}

/// What a connection tells without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Something that was watched happened at this path. The watch is used up.
    Changed(String),
    /// The server granted a session.
    Granted {
        /// Its timeout.
        timeout: Duration,
        /// Its id.
        session: i64,
    },
    /// The connection broke, or the session expired. Nothing on it works any more.
    Down(&'static str),
}

/// What kind of node is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Persistent,
    Ephemeral,
    EphemeralSequential,
}

/// Who may do what with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody everything: `world:anyone`.
    Open,
    /// Everything, and only for who the session is known by: the server writes `digest:{user}:{base64(sha1(user:password))}`.
    Creator,
}

/// Whether a read arms a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    None,
    Armed,
}

/// The state of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The session that it hangs on; 0 for none.
    pub(crate) owner: i64,
    /// How often its data was set since it was created.
    pub(crate) version: i32,
    /// The transaction that wrote it last.
    pub(crate) modified: i64,
}
