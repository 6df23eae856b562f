//! What a store supplies for its rounds.

use std::collections::BTreeMap;
use std::net::SocketAddr;

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
    /// How many sessions of the store a handle may have open at once.
    const SESSIONS: usize;

    /// Starts the server.
    async fn start() -> Result<Self, Failure>;

    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// What handles are opened with: short limits, so that a round is short.
    fn options(&self) -> HandleOptions;

    /// Opens a handle whose connections go to this address.
    async fn connect(&self, address: SocketAddr) -> Result<Handle, Failure>;

    /// The adapter's own keys, bytes and list, past all proxies.
    fn store(&self) -> Result<Box<dyn Store>, Failure>;

    /// SIGKILL.
    async fn kill(&self) -> Result<(), Failure>;

    /// Ends [`kill`](Self::kill).
    async fn restart(&self) -> Result<(), Failure>;

    /// SIGSTOP.
    async fn freeze(&self) -> Result<(), Failure>;

    /// Ends [`freeze`](Self::freeze).
    async fn thaw(&self) -> Result<(), Failure>;

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

    /// What else the adapter has left in the store; nothing once all sessions have ended.
    async fn left_over(&self) -> Result<Vec<String>, Failure>;
}
