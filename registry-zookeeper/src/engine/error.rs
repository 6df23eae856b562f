//! Every error of ZooKeeper and of its client, sorted by what can be done about it.

use std::fmt;

use registry_core::ErrorKind;
use registry_core::store::{Applied, SessionError, StoreError, WriteError};
use zookeeper_async::ZkError;

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    NoNode,
    NodeExists,
    BadVersion,
    /// A node with children cannot be deleted.
    NotEmpty,
    /// The parent is ephemeral, so it can have no children.
    ParentIsEphemeral,
    /// Our user may not do this.
    NoAuth,
    /// The session is gone, or the connection that it hung on: the request was never sent.
    Gone(String),
    /// The connection broke after the request was handed over.
    Broken(String),
    /// No connection came to stand.
    Unreachable(String),
    /// The configuration cannot work, such as a password file that cannot be read: nothing was sent.
    Misconfigured(String),
    /// Refused for another reason.
    Refused(String),
    /// Anything else.
    Other(String),
}

impl Failure {
    /// What can be done about it.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoAuth => ErrorKind::Denied,
            Self::Gone(_) | Self::Broken(_) | Self::Unreachable(_) => ErrorKind::Unreachable,
            Self::Misconfigured(_) => ErrorKind::Misconfigured,
            Self::NoNode
            | Self::NodeExists
            | Self::BadVersion
            | Self::NotEmpty
            | Self::ParentIsEphemeral
            | Self::Refused(_)
            | Self::Other(_) => ErrorKind::Other,
        }
    }

    /// Whether the request certainly has no effect, now or later.
    fn is_not_applied(&self) -> bool {
        !matches!(self, Self::Broken(_) | Self::Other(_))
    }

    /// The error of a write. With `changed`, an earlier part of the same write took effect.
    pub(crate) fn into_write_error(self, changed: bool) -> WriteError {
        if matches!(self, Self::Gone(_)) && !changed {
            return WriteError::SessionLost;
        }
        let applied = if self.is_not_applied() && !changed { Applied::Never } else { Applied::Unknown };
        WriteError::Failed { error: self.into(), applied }
    }

    pub(crate) fn into_session_error(self) -> SessionError {
        match self {
            Self::Gone(_) | Self::Broken(_) => SessionError::Lost,
            other => SessionError::Failed(other.into()),
        }
    }
}

impl From<ZkError> for Failure {
    fn from(error: ZkError) -> Self {
        match error {
            ZkError::NoNode => Self::NoNode,
            ZkError::NodeExists => Self::NodeExists,
            ZkError::BadVersion => Self::BadVersion,
            ZkError::NotEmpty => Self::NotEmpty,
            ZkError::NoChildrenForEphemerals => Self::ParentIsEphemeral,
            ZkError::NoAuth => Self::NoAuth,
            // The server answers so before it looks at the request.
            ZkError::SessionExpired | ZkError::SessionMoved => {
                Self::Gone("ZooKeeper does not know the session any more".into())
            }
            ZkError::ConnectionLoss => Self::Broken("the connection broke".into()),
            ZkError::OperationTimeout => Self::Broken("ZooKeeper gave up on the request".into()),
            ZkError::AuthFailed => Self::Refused("ZooKeeper does not take digest authentication".into()),
            ZkError::InvalidACL => {
                Self::Refused("ZooKeeper does not take the access list: digest authentication may be off".into())
            }
            ZkError::BadArguments => Self::Refused("ZooKeeper does not take the path or the data".into()),
            ZkError::NotReadOnly => Self::Refused("this ZooKeeper server only reads: it has no quorum".into()),
            ZkError::EphemeralOnLocalSession => {
                Self::Refused("ZooKeeper gives out local sessions, which carry no registrations".into())
            }
            // Also what the client calls each code that it does not know, such as that of a throttled request (-127).
            ZkError::Unimplemented => Self::Other(
                "ZooKeeper does not know this request, as one before 3.5, or answered with a code that its client does not know".into(),
            ),
            ZkError::APIError
            | ZkError::DataInconsistency
            | ZkError::InvalidCallback
            | ZkError::MarshallingError
            | ZkError::NoWatcher
            | ZkError::RuntimeInconsistency
            | ZkError::SystemError => Self::Other(format!("ZooKeeper or its client failed: {error}")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoNode => "the node, or its parent, is not there",
            Self::NodeExists => "the node is there already",
            Self::BadVersion => "somebody else wrote the node meanwhile",
            Self::NotEmpty => "a node with children stands there",
            Self::ParentIsEphemeral => "an ephemeral node stands where the service's node should be: remove it",
            Self::NoAuth => "ZooKeeper does not permit it: check user and password, and the access list of the node",
            Self::Gone(why)
            | Self::Broken(why)
            | Self::Unreachable(why)
            | Self::Misconfigured(why)
            | Self::Refused(why)
            | Self::Other(why) => why,
        })
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind(), failure.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every error of the client, its kind, and whether a write that failed with it certainly has no effect.
    const TABLE: [(ZkError, ErrorKind, bool); 22] = [
        (ZkError::APIError, ErrorKind::Other, false),
        (ZkError::AuthFailed, ErrorKind::Other, true),
        (ZkError::BadArguments, ErrorKind::Other, true),
        (ZkError::BadVersion, ErrorKind::Other, true),
        (ZkError::ConnectionLoss, ErrorKind::Unreachable, false),
        (ZkError::DataInconsistency, ErrorKind::Other, false),
        (ZkError::EphemeralOnLocalSession, ErrorKind::Other, true),
        (ZkError::InvalidACL, ErrorKind::Other, true),
        (ZkError::InvalidCallback, ErrorKind::Other, false),
        (ZkError::MarshallingError, ErrorKind::Other, false),
        (ZkError::NoAuth, ErrorKind::Denied, true),
        (ZkError::NoChildrenForEphemerals, ErrorKind::Other, true),
        (ZkError::NodeExists, ErrorKind::Other, true),
        (ZkError::NoNode, ErrorKind::Other, true),
        (ZkError::NotEmpty, ErrorKind::Other, true),
        (ZkError::NotReadOnly, ErrorKind::Other, true),
        (ZkError::NoWatcher, ErrorKind::Other, false),
        (ZkError::OperationTimeout, ErrorKind::Unreachable, false),
        (ZkError::RuntimeInconsistency, ErrorKind::Other, false),
        (ZkError::SessionExpired, ErrorKind::Unreachable, true),
        (ZkError::SessionMoved, ErrorKind::Unreachable, true),
        (ZkError::Unimplemented, ErrorKind::Other, false),
    ];

    #[test]
    fn every_error_of_the_client_has_its_kind_and_its_effect() {
        for (error, kind, never) in TABLE {
            let failure = Failure::from(error);
            assert_eq!((failure.kind(), failure.is_not_applied()), (kind, never), "{error:?}");
        }
        assert_eq!(Failure::from(ZkError::SystemError).kind(), ErrorKind::Other);
    }

    #[test]
    fn a_write_that_was_not_sent_lost_its_session_and_one_that_was_is_unknown() {
        assert!(matches!(Failure::Gone("x".into()).into_write_error(false), WriteError::SessionLost));
        let broken = Failure::Broken("x".into()).into_write_error(false);
        assert!(matches!(broken, WriteError::Failed { applied: Applied::Unknown, .. }));
        let half = Failure::NoAuth.into_write_error(true);
        assert!(matches!(half, WriteError::Failed { applied: Applied::Unknown, .. }));
    }
}
