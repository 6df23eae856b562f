//! What a store supplies for its rounds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use registry_core::store::{Record, Store};
use registry_core::{Handle, HandleOptions};

use crate::environment::Backend;

/// Something that did not work around the adapter: says nothing about it.
pub type Failure = Box<dyn std::error::Error>;

/// An entry of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its bytes.
    pub value: Vec<u8>,
    /// The lease or session that it ends with.
    pub session: Option<u64>,
}

/// A server with nothing on it, how handles are opened on it, and the way in around the adapter.
#[async_trait(?Send)]
pub trait Ground: Sized + 'static {
    /// Which store it is.
    const BACKEND: Backend;
    /// The smallest TTL that it grants.
    const SMALLEST_TTL: Duration;
    /// How many sessions of the store a handle has at most.
    const SESSIONS: usize;
    /// How many connections a handle has at most.
    const CONNECTIONS: u64;
    /// Whether each connection has a task, and there are as many as there is to do: a client that pools them has one more after a busy moment.
    const POOLED: bool = false;

    /// Starts the server.
    async fn start() -> Result<Self, Failure>;

    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// Opens a handle whose connections go to this address.
    async fn connect(&self, address: SocketAddr, options: HandleOptions) -> Result<Handle, Failure>;

    /// The adapter's own keys, bytes and list, past all proxies.
    fn store(&self, options: HandleOptions) -> Result<Box<dyn Store>, Failure>;

    /// SIGKILL.
    async fn kill(&self) -> Result<(), Failure>;

    /// Ends [`kill`](Self::kill).
    async fn restart(&self) -> Result<(), Failure>;

    /// Ends [`kill`](Self::kill), with empty data.
    async fn wipe(&self) -> Result<(), Failure>;

    /// Connections stay, nothing is answered.
    async fn freeze(&self) -> Result<(), Failure>;

    /// Ends [`freeze`](Self::freeze).
    async fn thaw(&self) -> Result<(), Failure>;

    /// Forgets the history of changes, where the store has one.
    async fn forget(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Ends a session at the server.
    async fn expire(&self, session: u64) -> Result<(), Failure>;

    /// Writes an entry that nothing keeps alive, over whatever stands there.
    async fn put(&self, record: &Record) -> Result<(), Failure>;

    /// Removes an entry, whoever owns it.
    async fn delete(&self, key: &str) -> Result<(), Failure>;

    /// Every entry of a service, by key.
    async fn entries(&self, service: &str) -> Result<BTreeMap<String, Entry>, Failure>;

    /// The sessions that live.
    async fn sessions(&self) -> Result<Vec<u64>, Failure>;

    /// The keys of entries, and of whatever else the adapter writes, that hang on none of these sessions.
    async fn strays(&self, sessions: &[u64]) -> Result<Vec<String>, Failure>;
}
