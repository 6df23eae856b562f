//! Every error of the HTTP client and every status of Consul, sorted by what can be done about it.

use std::error::Error as StdError;

use registry_core::ErrorKind;
use registry_core::store::{Applied, SessionError, StoreError, WriteError};
use reqwest::StatusCode;

#[cfg(test)]
mod tests;

/// A request that failed: what can be done about it, and whether it can have had an effect.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: ErrorKind,
    message: String,
    effect: Effect,
    note: Note,
    /// Whether somebody answered, be it with a complaint.
    answered: bool,
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
    /// The agent has no such TTL check.
    UnknownCheck,
    /// The connection was made, and closed by the other side before it said anything.
    Closed,
}

impl Failure {
    /// An error of the HTTP client: no answer came, or none that could be read. None of its texts contains a header, so no token.
    pub(super) fn of_http(error: reqwest::Error) -> Self {
        // The address is said once, by `at`.
        let error = error.without_url();
        let text = chain(&error);
        if error.is_timeout() {
            // Nothing can have been sent on a connection that was never made.
            let effect = if error.is_connect() { Effect::None } else { Effect::Unknown };
            return judge(ErrorKind::TimedOut, effect, format!("no answer in time: {text}"));
        }
        if let Some(failure) = of_tls(&text) {
            return failure;
        }
        if error.is_connect() {
            let closed = is_closed(&text) && text.contains("SSL");
            let note = if closed { Note::Closed } else { Note::Nothing };
            return Self { note, ..judge(ErrorKind::Unreachable, Effect::None, text) };
        }
        if error.is_builder() {
            return judge(ErrorKind::Misconfigured, Effect::None, text);
        }
        if error.is_decode() {
            return judge(ErrorKind::Unreachable, Effect::Unknown, format!("the answer broke off: {text}"));
        }
        let note = if is_closed(&text) { Note::Closed } else { Note::Nothing };
        Self { note, ..judge(ErrorKind::Unreachable, Effect::Unknown, text) }
    }

    /// An answer that says no (Consul's `agent/http.go` and `agent/agent_endpoint.go`, 1.8 to 1.20).
    pub(super) fn of_status(status: StatusCode, body: &[u8]) -> Self {
        Self { answered: true, ..Self::of_complaint(status, body) }
    }

    fn of_complaint(status: StatusCode, body: &[u8]) -> Self {
        let text = said(body);
        let text = if text.is_empty() { format!("Consul answers {status}") } else { text };
        let has = |mark: &str| text.contains(mark);
        match status.as_u16() {
            404 | 500 if has("does not have associated TTL") || has("Unknown check") => {
                Self { note: Note::UnknownCheck, ..judge(ErrorKind::Other, Effect::None, text) }
            }
            401 | 403 => denied(&text),
            400 if has("HTTP request to an HTTPS server") => {
                misconfigured(format!("{text} Configure TLS, or give the port of plain HTTP"))
            }
            413 => {
                judge(ErrorKind::InvalidInput, Effect::None, format!("{text}: the entry is too large for this Consul"))
            }
            400 => judge(ErrorKind::InvalidInput, Effect::None, text),
            429 => judge(ErrorKind::Unreachable, Effect::None, format!("{text}: Consul limits the rate of requests")),
            500 if has("ACL not found") || has("Permission denied") => denied(&text),
            500 if has("No path to datacenter") => misconfigured(format!("{text}: check the datacenter's name")),
            500..=599 => judge(ErrorKind::Unreachable, Effect::Unknown, text),
            300..=499 => {
                misconfigured(format!("{status} is no answer of a Consul agent: check the address and its base path"))
            }
            _ => judge(ErrorKind::Other, Effect::Unknown, format!("{status}: {text}")),
        }
    }

    /// An answer that cannot be what was asked for.
    pub(super) fn unreadable(what: &str, error: &serde_json::Error) -> Self {
        let place = format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column());
        judge(
            ErrorKind::Misconfigured,
            Effect::Unknown,
            format!("{what} cannot be read ({place}): is this a Consul agent?"),
        )
    }

    pub(super) fn without_index() -> Self {
        let text = "the answer has no X-Consul-Index above 0: something between here and the agent takes it out";
        judge(ErrorKind::Misconfigured, Effect::Unknown, text.into())
    }

    pub(super) fn too_large(most: usize) -> Self {
        judge(ErrorKind::Other, Effect::Unknown, format!("the answer has more than {most} bytes"))
    }

    pub(super) fn without_leader() -> Self {
        judge(ErrorKind::Unreachable, Effect::None, "the Consul servers have no leader".into())
    }

    /// The agent took a request, and does not know any more what it was about.
    pub(crate) fn forgotten(what: &str) -> Self {
        judge(
            ErrorKind::Unreachable,
            Effect::Unknown,
            format!("the agent forgot {what} at once: it was restarted, or somebody else removed it"),
        )
    }

    /// A deregistration that was answered with 200 and had no effect.
    pub(crate) fn still_there() -> Self {
        judge(ErrorKind::Other, Effect::Unknown, "the agent confirmed the removal, and still has the service".into())
    }

    pub(super) fn of_request(error: &rustify::errors::ClientError) -> Self {
        judge(ErrorKind::Other, Effect::None, format!("the request cannot be written: {error}"))
    }

    pub(super) fn of_token() -> Self {
        misconfigured("the ACL token has characters that no token has".into())
    }

    /// Certificates and keys that the TLS library does not take: some it refuses one by one, some only together.
    pub(super) fn of_tls_material(error: &(dyn StdError + 'static)) -> Self {
        let mend = "check the CA, and that the client key belongs to the client certificate and is PKCS #8 (`BEGIN PRIVATE KEY`; \
            `openssl pkcs8 -topk8 -nodes` converts others)";
        misconfigured(format!("the TLS configuration cannot work: {}: {mend}", chain(error)))
    }

    /// The same, seen by a client that was never answered: what closes connections from the start may be TLS on one side only, or a certificate that
    /// is missing. Once anything was answered, it is an outage, or the agent's limit of connections.
    pub(super) fn of_contact(self, tls: Option<bool>, was_answered: bool) -> Self {
        if self.note != Note::Closed {
            return self;
        }
        let (kind, mend) = match (was_answered, tls) {
            (true, _) => (
                ErrorKind::Unreachable,
                "if the agent runs, its limit of connections for one client may be reached: raise `limits.http_max_conns_per_client`",
            ),
            (false, None) => (ErrorKind::Unreachable, "if it speaks TLS, configure TLS"),
            (false, Some(false)) => (
                ErrorKind::Misconfigured,
                "check that it speaks TLS on this port; if it wants a client certificate, give one and its key",
            ),
            (false, Some(true)) => (
                ErrorKind::Misconfigured,
                "check that it speaks TLS on this port, and that its CA signed the client certificate",
            ),
        };
        Self { kind, message: format!("{}: the agent closed the connection: {mend}", self.message), ..self }
    }

    /// The same, said of this agent.
    pub(super) fn at(mut self, base: &str) -> Self {
        self.message = format!("{base}: {}", self.message);
        self
    }

    /// The same, of a request that only prepared the one that matters: that was not sent.
    pub(crate) fn not_applied(mut self) -> Self {
        self.effect = Effect::None;
        self
    }

    /// The same, of a request after one that had its effect.
    pub(crate) fn applied_in_part(mut self) -> Self {
        self.effect = Effect::Unknown;
        self
    }

    /// Whether new connections may do better than those that there are.
    pub(super) fn speaks_against_connections(&self) -> bool {
        !self.answered && matches!(self.kind, ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::Misconfigured)
    }

    /// Whether nobody answered, so that asking for something else is idle.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self.kind, ErrorKind::Unreachable | ErrorKind::TimedOut)
    }

    pub(super) fn is_denied(&self) -> bool {
        self.kind == ErrorKind::Denied
    }

    pub(super) fn is_unknown_check(&self) -> bool {
        self.note == Note::UnknownCheck
    }

    pub(crate) fn into_write_error(self) -> WriteError {
        let applied = if self.effect == Effect::None { Applied::Never } else { Applied::Unknown };
        WriteError::Failed { error: self.into(), applied }
    }

    pub(crate) fn into_session_error(self) -> SessionError {
        SessionError::Failed(self.into())
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
    Failure { kind, message, effect, note: Note::Nothing, answered: false }
}

fn misconfigured(message: String) -> Failure {
    judge(ErrorKind::Misconfigured, Effect::None, message)
}

fn denied(text: &str) -> Failure {
    let mend = if text.contains("ACL not found") {
        "Consul does not know this token"
    } else {
        "give a token with a policy that may write this service (`service \"name\" { policy = \"write\" }`)"
    };
    judge(ErrorKind::Denied, Effect::None, format!("{text}: {mend}"))
}

/// What OpenSSL says when the two sides do not trust or understand each other.
fn of_tls(text: &str) -> Option<Failure> {
    let found = |marks: &[&str]| marks.iter().any(|mark| text.contains(mark));
    if found(&[
        "certificate verify failed",
        "unable to get local issuer",
        "self signed",
        "self-signed",
        "ostname mismatch",
        "not trusted",
    ]) {
        let mend = "check that the CA given signed the agent's certificate, and that it bears the host of the address, or the server name given";
        return Some(misconfigured(format!("{text}: {mend}")));
    }
    if found(&[
        "certificate required",
        "bad certificate",
        "unknown ca",
        "handshake failure",
        "access denied",
        "certificate unknown",
    ]) {
        return Some(misconfigured(format!("{text}: give a client certificate and key that the agent's CA signed")));
    }
    if found(&[
        "wrong version number",
        "unknown protocol",
        "http request",
        "packet length too long",
        "unsupported protocol",
    ]) {
        return Some(misconfigured(format!("{text}: the agent does not speak TLS on this port")));
    }
    None
}

fn is_closed(text: &str) -> bool {
    let marks = [
        "connection closed",
        "broken pipe",
        "reset by peer",
        "unexpected EOF",
        "unexpected end of file",
        "EOF while reading",
        // What hyper says of a request on a connection that ended before it could say why.
        "channel closed",
    ];
    marks.iter().any(|mark| text.to_ascii_lowercase().contains(&mark.to_ascii_lowercase()))
}

/// The first line of what Consul said, without control characters.
fn said(body: &[u8]) -> String {
    const LONGEST: usize = 300;
    let text = String::from_utf8_lossy(body);
    let line =
        text.lines().map(str::trim).find(|line| !line.is_empty() && *line != "400 Bad Request").unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

/// What an error and its sources say, each once.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let sources = std::iter::successors(error.source(), |source: &&(dyn StdError + 'static)| (*source).source());
    let mut text = error.to_string();
    for source in sources {
        let said = source.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
    }
    text
}
