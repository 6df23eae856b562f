//! Fault hooks and back doors: how a harness breaks its store, and reaches around the adapter.

use std::fmt;

use async_trait::async_trait;
use registry_core::{Info, ServiceName};
use serde::Serialize;

use crate::harness::HandleId;

/// What a harness may offer beyond connecting. Each is independent of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Hook {
    /// [`Hooks::raw_put`]
    RawPut,
    /// [`Hooks::raw_bytes`]
    RawBytes,
    /// [`Hooks::raw_remove`]
    RawRemove,
    /// [`Hooks::raw_change`]
    RawChange,
    /// [`Hooks::expire`]
    Expire,
    /// [`Hooks::cut`] and [`Hooks::heal`]
    Cut,
    /// [`Hooks::lose_answers`]
    LoseAnswers,
    /// [`Hooks::delay_writes`]
    DelayWrites,
    /// [`Hooks::overtake`], together with [`Hook::DelayWrites`]
    Overtake,
    /// [`Hooks::freeze`] and [`Hooks::thaw`]
    Freeze,
    /// [`Hooks::kill`] and [`Hooks::restart`]
    Kill,
    /// [`Hooks::wipe`]
    Wipe,
    /// [`Hooks::compact`]
    Compact,
    /// [`Hooks::deny`] and [`Hooks::allow`]
    Deny,
    /// [`Hooks::deny_entry`] and [`Hooks::allow_entry`]
    DenyEntry,
    /// [`Credentials::Bad`](crate::Credentials::Bad)
    BadCredentials,
    /// [`Hooks::mend_credentials`], together with [`Hook::BadCredentials`]
    MendCredentials,
    /// [`Hooks::watches`]
    CountWatches,
    /// [`Hooks::sessions`]
    CountSessions,
    /// [`Hooks::requests`]
    CountRequests,
}

impl Hook {
    /// Whether it disturbs every namespace of a store that they share.
    pub fn disturbs_the_store(self) -> bool {
        matches!(self, Self::Freeze | Self::Kill | Self::Wipe)
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::RawPut => "raw_put",
            Self::RawBytes => "raw_bytes",
            Self::RawRemove => "raw_remove",
            Self::RawChange => "raw_change",
            Self::Expire => "expire",
            Self::Cut => "cut",
            Self::LoseAnswers => "lose_answers",
            Self::DelayWrites => "delay_writes",
            Self::Overtake => "overtake",
            Self::Freeze => "freeze",
            Self::Kill => "kill",
            Self::Wipe => "wipe",
            Self::Compact => "compact",
            Self::Deny => "deny",
            Self::DenyEntry => "deny_entry",
            Self::BadCredentials => "bad_credentials",
            Self::MendCredentials => "mend_credentials",
            Self::CountWatches => "count_watches",
            Self::CountSessions => "count_sessions",
            Self::CountRequests => "count_requests",
        };
        f.write_str(name)
    }
}

/// What [`Hooks::deny`] refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Listing and watching.
    Read,
    /// Writing and removing.
    Write,
}

/// A hook that did not work. The case then cannot be judged, and fails without blaming the adapter.
#[derive(Clone, Debug)]
pub struct HookError(pub String);

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HookError {}

/// Faults and back doors of one namespace. Every method is optional: implement those that [`offered`](Self::offered) lists.
///
/// A method returns when the fault is in force (or over). Bytes and keys are the store's own: the suite knows no format.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// What this store can do.
    fn offered(&self) -> Vec<Hook>;

    /// Writes the entry of `info`, complete and readable, around the adapter and *unowned*: without session, lease or token.
    async fn raw_put(&self, info: &Info) -> Result<(), HookError> {
        let _ = info;
        missing(Hook::RawPut)
    }

    /// Writes an entry of arbitrary bytes under the service, where entries of instances stand; `name` tells several apart.
    async fn raw_bytes(&self, service: &ServiceName, name: &str, bytes: &[u8]) -> Result<(), HookError> {
        let _ = (service, name, bytes);
        missing(Hook::RawBytes)
    }

    /// Removes the entry of this identity, whoever owns it.
    async fn raw_remove(&self, info: &Info) -> Result<(), HookError> {
        let _ = info;
        missing(Hook::RawRemove)
    }

    /// Changes the entry of this identity to what `info` says, while it goes on bearing its owner's lease, session or token.
    async fn raw_change(&self, info: &Info) -> Result<(), HookError> {
        let _ = info;
        missing(Hook::RawChange)
    }

    /// Expires the session (revokes the lease) of a handle at the store, at once.
    async fn expire(&self, handle: HandleId) -> Result<(), HookError> {
        let _ = handle;
        missing(Hook::Expire)
    }

    /// Cuts the link between one handle and the store: nothing passes either way, and requests in flight are lost.
    async fn cut(&self, handle: HandleId) -> Result<(), HookError> {
        let _ = handle;
        missing(Hook::Cut)
    }

    /// Mends the link that [`cut`](Self::cut), [`lose_answers`](Self::lose_answers) or [`delay_writes`](Self::delay_writes) broke. Delayed
    /// writes arrive then.
    async fn heal(&self, handle: HandleId) -> Result<(), HookError> {
        let _ = handle;
        missing(Hook::Cut)
    }

    /// From now on the store carries out what this handle asks, but no answer reaches the handle, until [`heal`](Self::heal).
    async fn lose_answers(&self, handle: HandleId) -> Result<(), HookError> {
        let _ = handle;
        missing(Hook::LoseAnswers)
    }

    /// From now on what this handle writes is neither answered nor carried out, until [`heal`](Self::heal): then it all arrives, also what the
    /// handle has given up.
    async fn delay_writes(&self, handle: HandleId) -> Result<(), HookError> {
        let _ = handle;
        missing(Hook::DelayWrites)
    }

    /// After [`delay_writes`](Self::delay_writes): what this handle asks from now on passes at once, while the delayed writes stay on their way
    /// until [`heal`](Self::heal).
    async fn overtake(&self, handle: HandleId) -> Result<(), HookError> {
        let _ = handle;
        missing(Hook::Overtake)
    }

    /// Freezes the store, as SIGSTOP or `docker pause` do: connections stay, nothing is answered, its clock for TTLs may run on.
    async fn freeze(&self) -> Result<(), HookError> {
        missing(Hook::Freeze)
    }

    /// Ends [`freeze`](Self::freeze).
    async fn thaw(&self) -> Result<(), HookError> {
        missing(Hook::Freeze)
    }

    /// Kills the store (SIGKILL): connections break, and new ones are refused.
    async fn kill(&self) -> Result<(), HookError> {
        missing(Hook::Kill)
    }

    /// Starts the killed store again with its data, and returns when it answers.
    async fn restart(&self) -> Result<(), HookError> {
        missing(Hook::Kill)
    }

    /// Restarts the store with empty data, and returns when it answers.
    async fn wipe(&self) -> Result<(), HookError> {
        missing(Hook::Wipe)
    }

    /// Forgets the history of changes: a watch that has not seen them all cannot catch up from where it was.
    async fn compact(&self) -> Result<(), HookError> {
        missing(Hook::Compact)
    }

    /// From now on the store refuses this to the handle for want of permission.
    async fn deny(&self, handle: HandleId, access: Access) -> Result<(), HookError> {
        let _ = (handle, access);
        missing(Hook::Deny)
    }

    /// Ends [`deny`](Self::deny).
    async fn allow(&self, handle: HandleId) -> Result<(), HookError> {
        let _ = handle;
        missing(Hook::Deny)
    }

    /// From now on the store refuses writes of this one identity to everybody, for want of permission.
    async fn deny_entry(&self, info: &Info) -> Result<(), HookError> {
        let _ = info;
        missing(Hook::DenyEntry)
    }

    /// Ends [`deny_entry`](Self::deny_entry).
    async fn allow_entry(&self, info: &Info) -> Result<(), HookError> {
        let _ = info;
        missing(Hook::DenyEntry)
    }

    /// From now on the store accepts the credentials of a handle that was opened with [`Credentials::Bad`](crate::Credentials::Bad): their file says
    /// something else, or the store knows them.
    async fn mend_credentials(&self, handle: HandleId) -> Result<(), HookError> {
        let _ = handle;
        missing(Hook::MendCredentials)
    }

    /// How many watches the store holds for this namespace.
    async fn watches(&self) -> Result<usize, HookError> {
        missing(Hook::CountWatches)
    }

    /// How many sessions (leases, agent connections) the store holds for this namespace.
    async fn sessions(&self) -> Result<usize, HookError> {
        missing(Hook::CountSessions)
    }

    /// How many requests this handle has sent so far, keep-alives included.
    async fn requests(&self, handle: HandleId) -> Result<u64, HookError> {
        let _ = handle;
        missing(Hook::CountRequests)
    }
}

fn missing<T>(hook: Hook) -> Result<T, HookError> {
    Err(HookError(format!("`{hook}` is listed as offered, and its method is not implemented")))
}
