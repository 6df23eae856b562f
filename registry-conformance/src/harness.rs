//! What the author of an adapter supplies.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_core::store::Capabilities;
use registry_core::{Error, HandleOptions, ServiceRegistry};

use crate::hooks::{HookError, Hooks};

/// Connects the suite with an adapter. Four methods are needed; the others have answers that fit most stores.
#[async_trait]
pub trait Harness: Send + Sync + 'static {
    /// The adapter's name, as the report shows it.
    fn adapter(&self) -> &str;

    /// What the adapter declares; the suite checks what is declared as offered and shows the reason of what is not.
    fn capabilities(&self) -> Capabilities;

    /// The smallest TTL that the store grants. Handles are opened with it, and most waits follow from it.
    fn smallest_ttl(&self) -> Duration;

    /// Opens a new handle: one more owner on `request.namespace`. Called on the case's own current-thread runtime.
    ///
    /// # Errors
    /// What the adapter's own `connect` returns.
    async fn connect(&self, request: ConnectRequest) -> Result<Box<dyn ServiceRegistry>, Error>;

    /// Whether store and adapter live on tokio's clock, so that most cases can run in virtual time. The default is `false`.
    fn virtual_time(&self) -> bool {
        false
    }

    /// Fault hooks and back doors for one namespace; none by default. Cases that need what is not offered show as ignored.
    fn hooks(&self, namespace: &str) -> Option<Arc<dyn Hooks>> {
        let _ = namespace;
        None
    }

    /// Whether each namespace has a store of its own, so that killing, freezing or wiping it disturbs no other case. When `false`, cases
    /// with such faults run alone.
    fn isolated_stores(&self) -> bool {
        self.virtual_time()
    }

    /// What the names of services begin with in this namespace, on a store where a namespace is no part of its own: letters, digits and `-`. Nothing by
    /// default.
    fn name_prefix(&self, namespace: &str) -> String {
        let _ = namespace;
        String::new()
    }

    /// The store's version, as the report shows it. Asked for once, after the last case. `None` by default.
    fn server_version(&self) -> Option<String> {
        None
    }

    /// Texts that must never be shown (X2): the passwords and tokens that [`connect`](Self::connect) uses.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// Makes ready what a namespace needs before its case begins, such as a server of its own: what is done here does not count as the case's
    /// time. Called on the case's runtime, before [`connect`](Self::connect) and the hooks; the default does nothing.
    ///
    /// # Errors
    /// When it cannot be had; the case fails with this reason.
    async fn prepare(&self, namespace: &str) -> Result<(), HookError> {
        let _ = namespace;
        Ok(())
    }

    /// Ends what the harness holds for a namespace, after the last handle was dropped. Tasks that are alive a second later fail the case.
    async fn finish(&self, namespace: &str) {
        let _ = namespace;
    }
}

/// What a handle is opened with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectRequest {
    /// The part of the store that belongs to this case alone: lower-case letters, digits and `-`, at most 48 bytes.
    pub namespace: String,
    /// Which handle of the namespace this will be: the hooks name it by this.
    pub handle: HandleId,
    /// TTL, limits, and whether the handle opens while the store is away.
    pub options: HandleOptions,
    /// Which credentials to use.
    pub credentials: Credentials,
}

/// A handle of one case, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandleId(pub u32);

/// Which credentials a handle presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// Those that the store accepts.
    Good,
    /// A user or token that the store refuses. Asked for only with [`Hook::BadCredentials`](crate::Hook::BadCredentials).
    Bad,
}

impl ConnectRequest {
    /// The first handle of a namespace, with good credentials: for a harness that opens handles of its own.
    pub fn new(namespace: &str, options: HandleOptions) -> Self {
        Self::of(namespace, HandleId(0), options)
    }

    pub(crate) fn of(namespace: &str, handle: HandleId, options: HandleOptions) -> Self {
        Self { namespace: namespace.to_owned(), handle, options, credentials: Credentials::Good }
    }
}
