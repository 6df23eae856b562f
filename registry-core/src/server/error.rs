//! Why a server was not run to its end.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::error::{Error, InvalidField};

/// Why [`Server::run`](super::Server::run) has no result of the server.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// Something that the builder or the environment was given cannot be: mend it. The server was not started.
    Invalid(InvalidField),
    /// The listener does not tell its address. The server was not started.
    Listener(io::Error),
    /// The signals cannot be listened to. The server was not started.
    Signals(io::Error),
    /// The store refused or did not take the registration. The server was stopped, as on a signal.
    Register(Error),
    /// Requests were still under way when the limit had passed. The server was dropped.
    Overdue(Duration),
    /// A second signal came. What was still to be done was left undone; what is still registered expires.
    Interrupted,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::Listener(error) => write!(f, "the listener does not tell its address: {error}"),
            Self::Signals(error) => write!(f, "signals cannot be listened to: {error}"),
            Self::Register(error) => write!(f, "the server was stopped because it could not be registered: {error}"),
            Self::Overdue(limit) => write!(f, "requests were still under way {limit:?} after the word to stop"),
            Self::Interrupted => f.write_str("a second signal ended the shutdown"),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Invalid(invalid) => Some(invalid),
            Self::Listener(error) | Self::Signals(error) => Some(error),
            Self::Register(error) => Some(error),
            Self::Overdue(_) | Self::Interrupted => None,
        }
    }
}

impl From<InvalidField> for RunError {
    fn from(invalid: InvalidField) -> Self {
        Self::Invalid(invalid)
    }
}
