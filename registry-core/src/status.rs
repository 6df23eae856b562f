//! What a handle tells about itself (clause L6).

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::address::Address;
use crate::error::ErrorKind;
use crate::name::ServiceName;

/// Whether a handle has its session with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandleState {
    /// The session stands and the last renewal was answered.
    Connected,
    /// There is no session, or the last renewal failed. The handle keeps trying, without an attempt limit.
    Unreachable,
    /// The handle was closed, or its runtime has ended.
    Closed,
}

/// The status of a handle, as a value of a watch channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleStatus {
    /// Connected, unreachable or closed.
    pub state: HandleState,
    /// Since when.
    pub since: SystemTime,
    /// Attempts that failed since the handle was last connected.
    pub attempts: u32,
    /// The last error; kept after recovery.
    pub last_error: Option<Trouble>,
    /// When the next attempt is due; `None` when connected or closed.
    pub next_try: Option<SystemTime>,
}

/// Where a registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegistrationState {
    /// The entry stands in the store.
    Registered,
    /// Announced, and not yet written.
    Pending,
    /// It was registered, and is being brought back.
    Recovering,
    /// Another owner holds the identity. This handle yields, and restores its own entry when the other one is gone (clause R7).
    Displaced,
}

/// The status of one registration, as a value of a watch channel. The channel ends when the registration was withdrawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationStatus {
    /// The service.
    pub service: ServiceName,
    /// The advertised address.
    pub address: Address,
    /// The key or id of the entry in the store.
    pub key: Arc<str>,
    /// Where it stands.
    pub state: RegistrationState,
    /// Since when.
    pub since: SystemTime,
    /// Attempts that failed since it last was as wanted.
    pub attempts: u32,
    /// The last error; kept after recovery.
    pub last_error: Option<Trouble>,
    /// When the next attempt is due, where one is.
    pub next_try: Option<SystemTime>,
}

/// Kind and text of an error that a handle keeps in its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The kind of the error.
    pub kind: ErrorKind,
    /// Its text.
    pub text: Arc<str>,
}

/// Why a handle is not ready: it is not connected, or a registration does not stand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotServing {
    /// The handle has no session, or was closed.
    Handle(Box<HandleStatus>),
    /// This registration does not stand as wanted.
    Registration(Box<RegistrationStatus>),
}

impl fmt::Display for HandleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connected => "connected",
            Self::Unreachable => "unreachable",
            Self::Closed => "closed",
        })
    }
}

impl fmt::Display for RegistrationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Registered => "registered",
            Self::Pending => "pending",
            Self::Recovering => "recovering",
            Self::Displaced => "displaced",
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.text)
    }
}

impl fmt::Display for HandleStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.state, ago(self.since))?;
        write_trouble(f, self.state == HandleState::Unreachable, self.attempts, self.last_error.as_ref(), self.next_try)
    }
}

impl fmt::Display for RegistrationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} for {}", self.key, self.state, ago(self.since))?;
        if self.state == RegistrationState::Displaced {
            return f.write_str("; another owner holds it: deregister here, or register again to take it over");
        }
        let troubled = self.state != RegistrationState::Registered;
        write_trouble(f, troubled, self.attempts, self.last_error.as_ref(), self.next_try)
    }
}

impl fmt::Display for NotServing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle(status) => write!(f, "registry {status}"),
            Self::Registration(status) => write!(f, "registration {status}"),
        }
    }
}

impl std::error::Error for NotServing {}

fn write_trouble(
    f: &mut fmt::Formatter<'_>,
    troubled: bool,
    attempts: u32,
    error: Option<&Trouble>,
    next_try: Option<SystemTime>,
) -> fmt::Result {
    if !troubled {
        return Ok(());
    }
    if attempts > 0 {
        write!(f, ", {attempts} failed attempts")?;
    }
    if let Some(error) = error {
        write!(f, ", last: {error}")?;
    }
    match next_try.and_then(|at| at.duration_since(SystemTime::now()).ok()) {
        Some(left) => write!(f, ", next try in {:.1} s", left.as_secs_f64()),
        None => Ok(()),
    }
}

fn ago(since: SystemTime) -> String {
    format!("{:.1} s", since.elapsed().unwrap_or_default().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_line_to_act_on() {
        let status = HandleStatus {
            state: HandleState::Unreachable,
            since: SystemTime::now(),
            attempts: 3,
            last_error: Some(Trouble { kind: ErrorKind::Denied, text: "permission denied".into() }),
            next_try: None,
        };
        assert_eq!(
            NotServing::Handle(Box::new(status)).to_string(),
            "registry unreachable for 0.0 s, 3 failed attempts, last: denied by the store: permission denied"
        );
    }

    #[test]
    fn a_displaced_registration_says_what_to_do() {
        let status = RegistrationStatus {
            service: ServiceName::new("demo").unwrap(),
            address: Address::tcp("h:1").unwrap(),
            key: "demo/h:1".into(),
            state: RegistrationState::Displaced,
            since: SystemTime::now(),
            attempts: 0,
            last_error: None,
            next_try: None,
        };
        assert!(status.to_string().starts_with("demo/h:1 displaced for 0.0 s; another owner holds it: deregister"));
    }
}
