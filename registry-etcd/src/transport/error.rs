//! Every error of etcd-client and etcd, sorted by what can be done about it.

use std::error::Error as StdError;

use etcd_client::Error;
use registry_core::ErrorKind;
use registry_core::store::{Applied, SessionError, StoreError, WriteError};
use tonic::{Code, Status};

#[cfg(test)]
mod tests;

/// A request that failed: what can be done about it, and whether it can have had an effect.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: ErrorKind,
    message: String,
    effect: Effect,
    note: Note,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// Certainly none, now or later: it was refused, or not sent.
    None,
    Unknown,
}

/// What else the adapter has to know about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    Nothing,
    LeaseNotFound,
    /// The token is not valid any more, or older than the last change of permissions.
    OutdatedToken,
    /// We are who we say, and may not do this.
    NotPermitted,
    /// The connection was made, and closed by the other side.
    Closed,
}

impl Failure {
    /// The failure of a request to `place`, an endpoint's URL. No error of etcd-client contains a secret: etcd never repeats a password or token.
    pub(super) fn new(error: &Error, place: &str) -> Self {
        let judged = match error {
            Error::GRpcStatus(status) => of_status(status),
            Error::TransportError(inner) => misconfigured(format!(
                "the TLS configuration cannot work: {}: check the CA, and that the client key belongs to the client certificate",
                chain(inner)
            )),
            Error::InvalidUri(_) | Error::InvalidArgs(_) | Error::EndpointError(_) | Error::InvalidMetadataValue(_) => {
                misconfigured(chain(error))
            }
            Error::LeaseKeepAliveError(text) if text == "lease not found" => lease_not_found(),
            Error::IoError(_) | Error::LeaseKeepAliveError(_) | Error::WatchError(_) => unreachable(chain(error)),
            _ => judge(ErrorKind::Other, Effect::Unknown, chain(error)),
        };
        Self { message: format!("{place}: {}", judged.message), ..judged }
    }

    /// The same, seen by a client that was never answered: what closes connections from the start may be TLS on one side only, or a certificate that
    /// is missing. Once anything was answered, it is an outage.
    pub(super) fn of_first_contact(self, tls: Option<bool>) -> Self {
        if self.note != Note::Closed {
            return self;
        }
        let (kind, mend) = match tls {
            None => (ErrorKind::Unreachable, "if it speaks TLS, configure TLS"),
            Some(false) => (
                ErrorKind::Misconfigured,
                "check that it speaks TLS on this port; if it wants a client certificate, give one and its key",
            ),
            Some(true) => (
                ErrorKind::Misconfigured,
                "check that it speaks TLS on this port, and that its CA signed the client certificate",
            ),
        };
        Self { kind, message: format!("{}: the endpoint closed the connection: {mend}", self.message), ..self }
    }

    /// A watch that the server ended.
    pub(super) fn watch_canceled(reason: &str, compact_revision: i64) -> Self {
        if compact_revision != 0 {
            let message = "changes were compacted before they were read, read everything again";
            return judge(ErrorKind::Other, Effect::None, message.into());
        }
        // The reason is a gRPC status as Go prints it.
        if reason.contains("permission denied") || reason.contains("PermissionDenied") {
            return of_status(&Status::permission_denied(reason));
        }
        if reason.contains("invalid auth token") || reason.contains("revision of auth store") {
            return of_status(&Status::unauthenticated(reason));
        }
        unreachable(format!("etcd ended the watch: {}", if reason.is_empty() { "it gave no reason" } else { reason }))
    }

    /// The store was replaced by another one between two requests.
    pub(crate) fn store_replaced() -> Self {
        unreachable("the store was started anew meanwhile, read everything again".into())
    }

    /// The same, of a request that only prepared the one that matters: that was not sent.
    pub(crate) fn not_applied(mut self) -> Self {
        self.effect = Effect::None;
        self
    }

    /// Whether another endpoint, or a new connection, may do better.
    pub(super) fn speaks_against_endpoint(&self) -> bool {
        matches!(self.kind, ErrorKind::Unreachable | ErrorKind::Misconfigured)
    }

    pub(super) fn is_denied(&self) -> bool {
        self.kind == ErrorKind::Denied
    }

    pub(super) fn is_outdated_token(&self) -> bool {
        self.note == Note::OutdatedToken
    }

    pub(super) fn is_not_applied(&self) -> bool {
        self.effect == Effect::None
    }

    pub(crate) fn is_lease_not_found(&self) -> bool {
        self.note == Note::LeaseNotFound
    }

    /// Whether the server looked at the request and refused it as a whole: parts of it may be accepted.
    pub(crate) fn is_refusal(&self) -> bool {
        self.effect == Effect::None
            && self.note != Note::LeaseNotFound
            && matches!(self.kind, ErrorKind::Denied | ErrorKind::InvalidInput | ErrorKind::Other)
    }

    /// Whether the role of our user, and nothing else, stands against it.
    pub(crate) fn is_not_permitted(&self) -> bool {
        self.note == Note::NotPermitted
    }

    pub(crate) fn into_write_error(self) -> WriteError {
        if self.is_lease_not_found() {
            return WriteError::SessionLost;
        }
        let applied = if self.effect == Effect::None { Applied::Never } else { Applied::Unknown };
        WriteError::Failed { error: self.into(), applied }
    }

    pub(crate) fn into_session_error(self) -> SessionError {
        if self.is_lease_not_found() { SessionError::Lost } else { SessionError::Failed(self.into()) }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind, failure.message)
    }
}

impl From<StoreError> for Failure {
    /// Of credentials that could not be read: nothing was sent.
    fn from(error: StoreError) -> Self {
        judge(error.kind(), Effect::None, error.message().to_owned())
    }
}

fn judge(kind: ErrorKind, effect: Effect, message: String) -> Failure {
    Failure { kind, message, effect, note: Note::Nothing }
}

fn unreachable(message: String) -> Failure {
    judge(ErrorKind::Unreachable, Effect::Unknown, message)
}

fn misconfigured(message: String) -> Failure {
    judge(ErrorKind::Misconfigured, Effect::None, message)
}

fn refused(kind: ErrorKind, status: &Status, mend: &str) -> Failure {
    judge(kind, Effect::None, format!("{}: {mend}", status.message()))
}

fn lease_not_found() -> Failure {
    let message = "etcd does not know the lease: it expired or was revoked".to_owned();
    Failure { kind: ErrorKind::Other, message, effect: Effect::None, note: Note::LeaseNotFound }
}

/// gRPC codes as etcd uses them (`api/v3rpc/rpctypes/error.go` of 3.5), and as tonic makes them from transport errors.
fn of_status(status: &Status) -> Failure {
    let text = status.message();
    if let Some(failure) = of_connection(status) {
        return failure;
    }
    match status.code() {
        Code::Unavailable | Code::Cancelled | Code::Aborted => broken(status),
        Code::DeadlineExceeded => judge(ErrorKind::TimedOut, Effect::Unknown, text.to_owned()),
        Code::Unauthenticated => {
            let failure = refused(ErrorKind::Denied, status, "check user and password");
            Failure { note: Note::OutdatedToken, ..failure }
        }
        Code::PermissionDenied => {
            let mend = "grant the user a role that may read and write the key prefix";
            Failure { note: Note::NotPermitted, ..refused(ErrorKind::Denied, status, mend) }
        }
        Code::InvalidArgument => of_invalid_argument(status),
        Code::NotFound if text.contains("lease not found") => lease_not_found(),
        Code::FailedPrecondition if text.contains("authentication is not enabled") => {
            refused(ErrorKind::Misconfigured, status, "leave user and password out, or enable it on etcd")
        }
        Code::ResourceExhausted if text.contains("database space exceeded") => {
            // etcd looks at its quota once more when it has applied a request, and says this of one that it has applied.
            let mend = "compact and defragment etcd, or raise its quota, then disarm the alarm";
            Failure { effect: Effect::Unknown, ..refused(ErrorKind::Other, status, mend) }
        }
        // Of h2, when a server closes a connection that pinged too often.
        Code::ResourceExhausted if is_transport(status) => broken(status),
        Code::ResourceExhausted if text.contains("too many requests") => unreachable(text.to_owned()).not_applied(),
        Code::ResourceExhausted => refused(ErrorKind::InvalidInput, status, "the entry is too large for this etcd"),
        Code::Unimplemented => refused(ErrorKind::Misconfigured, status, "this endpoint is no etcd v3 server"),
        Code::NotFound | Code::AlreadyExists | Code::FailedPrecondition | Code::OutOfRange => {
            judge(ErrorKind::Other, Effect::None, chain(status))
        }
        // Streams end with `Unknown` or `Internal` and "h2 protocol error" when a server dies; the transport's own errors are `Unknown`, too.
        Code::Unknown | Code::Internal if is_transport(status) => broken(status),
        _ => judge(ErrorKind::Other, Effect::Unknown, chain(status)),
    }
}

fn of_invalid_argument(status: &Status) -> Failure {
    let text = status.message();
    if text.contains("authentication failed") {
        return refused(ErrorKind::Denied, status, "check user and password");
    }
    if text.contains("user name is empty") {
        return refused(ErrorKind::Denied, status, "this etcd wants a user and a password");
    }
    if text.contains("revision of auth store is old") {
        let failure = refused(ErrorKind::Denied, status, "permissions changed meanwhile, try again");
        return Failure { note: Note::OutdatedToken, ..failure };
    }
    if text.contains("request is too large") {
        return refused(ErrorKind::InvalidInput, status, "make the entry smaller, or raise etcd's --max-request-bytes");
    }
    if text.contains("too many operations") {
        return refused(ErrorKind::Other, status, "raise etcd's --max-txn-ops to 128, its default");
    }
    judge(ErrorKind::Other, Effect::None, text.to_owned())
}

/// Errors of making the connection: nothing was sent.
fn of_connection(status: &Status) -> Option<Failure> {
    let text = chain(status);
    let found = |marks: &[&str]| marks.iter().any(|mark| text.contains(mark));
    if found(&["invalid peer certificate", "not valid for name", "UnknownIssuer"]) {
        let mend = "check that the CA given signed the server's certificate, and that it bears the endpoint's host or `server_name`";
        return Some(misconfigured(format!("{text}: {mend}")));
    }
    if found(&[
        "CertificateRequired",
        "BadCertificate",
        "UnknownCA",
        "bad certificate",
        "AccessDenied",
        "HandshakeFailure",
    ]) {
        return Some(misconfigured(format!("{text}: give a client certificate and key that the server's CA signed")));
    }
    if found(&["InvalidContentType", "corrupt message", "HttpsUriWithoutTlsSupport", "HTTP/2 was not negotiated"]) {
        return Some(misconfigured(format!("{text}: the endpoint does not speak TLS on this port, or not HTTP/2")));
    }
    if found(&["tls handshake eof"]) {
        return Some(Failure { note: Note::Closed, ..unreachable(text).not_applied() });
    }
    if found(&["tcp connect error", "dns error", "deadline has elapsed", "Connect,"]) || is_connect_error(status) {
        return Some(unreachable(text).not_applied());
    }
    None
}

/// A connection that was made and then failed.
fn broken(status: &Status) -> Failure {
    let text = chain(status);
    let closed = ["connection closed", "broken pipe", "reset by peer", "unexpected end of file"];
    let note = if closed.iter().any(|mark| text.contains(mark)) { Note::Closed } else { Note::Nothing };
    Failure { note, ..unreachable(text) }
}

fn is_connect_error(status: &Status) -> bool {
    sources(status).any(<dyn StdError>::is::<tonic::ConnectError>)
}

fn is_transport(status: &Status) -> bool {
    status.source().is_some()
        || ["h2 protocol error", "transport error", "Service was not ready", "connection"]
            .iter()
            .any(|mark| status.message().contains(mark))
}

/// What an error and its sources say, each once.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = match error.downcast_ref::<Status>() {
        Some(status) => status.message().to_owned(),
        None => error.to_string(),
    };
    for source in sources(error) {
        let said = source.to_string();
        // Which says nothing, and stands in every chain.
        if said != "transport error" && !text.contains(&said) {
            text = format!("{text}: {said}");
        }
    }
    text
}

fn sources<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |source: &&'a (dyn StdError + 'static)| (*source).source())
}
