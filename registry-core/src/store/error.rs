//! Errors of the store operations.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Outcome};

/// Whether a failed write may have taken effect, or may yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It has not, and never will.
    Never,
    /// It may have, or may later.
    Unknown,
}

/// Why a write did not succeed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// Another owner's entry stands there (never for [`Guard::Claim`](super::Guard::Claim)). Nothing was written.
    Foreign,
    /// Somebody else wrote between our read and our write. Nothing was written; try again.
    Contended,
    /// The session is gone for good. Nothing was written.
    SessionLost,
    /// Anything else.
    Failed {
        /// Why.
        error: StoreError,
        /// Whether it may have taken effect.
        applied: Applied,
    },
}

impl WriteError {
    /// The write failed with `error`, has not taken effect and never will: a promise.
    pub fn never(error: impl Into<StoreError>) -> Self {
        Self::Failed { error: error.into(), applied: Applied::Never }
    }

    /// The write failed with `error`, and may have taken effect or may yet.
    pub fn unknown(error: impl Into<StoreError>) -> Self {
        Self::Failed { error: error.into(), applied: Applied::Unknown }
    }
}

/// Why an operation of a session failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionError {
    /// The session is gone for good: core opens another.
    Lost,
    /// The store did not answer, or refused.
    Failed(StoreError),
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<io::Error> for SessionError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// An error of the store or of its client, sorted by what can be done about it. No secret appears in it (X2).
#[derive(Clone)]
pub struct StoreError {
    kind: ErrorKind,
    message: Arc<str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<Arc<str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The store cannot be reached.
    pub fn unreachable(message: impl Into<Arc<str>>) -> Self {
        Self::new(ErrorKind::Unreachable, message)
    }

    /// The store refused the credentials, or they do not permit this.
    pub fn denied(message: impl Into<Arc<str>>) -> Self {
        Self::new(ErrorKind::Denied, message)
    }

    /// No answer within `limit`.
    pub fn timed_out(limit: Duration) -> Self {
        Self::new(ErrorKind::TimedOut, format!("no answer within {limit:?}"))
    }

    /// The same error, caused by `source`.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What can be done about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was said.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The error of a public call that failed with this one.
    pub fn into_error(self, operation: &'static str, outcome: Outcome) -> Error {
        let error = Error::new(self.kind, operation, &*self.message).with_outcome(outcome);
        match self.source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }
}

/// A file or socket that may not be used is `Denied`, a time-out is `TimedOut`, and all else means that the store cannot be reached.
impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            io::ErrorKind::TimedOut => ErrorKind::TimedOut,
            _ => ErrorKind::Unreachable,
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreError").field("kind", &self.kind).field("message", &self.message).finish_non_exhaustive()
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}
