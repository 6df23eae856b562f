//! What keeps a registration alive at the agent.

use std::time::Duration;

use registry_core::{Info, InvalidField};

/// The shortest and the longest interval and timeout of a check that the agent runs.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3600);

/// What tells the agent that a registered server lives.
///
/// Only [`Ttl`](Self::Ttl) says something about this process: with the others the agent asks the server itself, and an owner that dies while something
/// else listens on its address is not noticed. A check of the agent's own begins as passing, since its first run comes up to one interval later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Check {
    /// This handle reports each TTL/3; the entry is unhealthy one TTL after the last report.
    #[default]
    Ttl,
    /// The agent connects to the address (Kitex's default).
    Tcp(AgentCheck),
    /// The agent gets this path from the address, and wants an answer between 200 and 299.
    Http {
        /// The path, with its leading `/`.
        path: String,
        /// How often, and within what time.
        timing: AgentCheck,
    },
    /// The agent asks the address for gRPC's standard health (`grpc.health.v1.Health`).
    Grpc {
        /// The name of the service asked for; empty for the server as a whole.
        service: String,
        /// How often, and within what time.
        timing: AgentCheck,
    },
    /// Nothing: the entry stands until it is deregistered, also when its owner dies. Clause L2 is given up.
    None,
}

/// The timing of a check that the agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentCheck {
    /// How often. Default 5 s, Kitex's.
    pub interval: Duration,
    /// Within what time an answer must come. Default 5 s, Kitex's.
    pub timeout: Duration,
}

impl Default for AgentCheck {
    fn default() -> Self {
        Self { interval: Duration::from_secs(5), timeout: Duration::from_secs(5) }
    }
}

impl Check {
    /// Whether this handle has to report.
    pub(crate) fn is_reported(&self) -> bool {
        *self == Self::Ttl
    }

    /// The word for it in an entry's `Meta`; `None` for the default.
    pub(crate) fn word(&self) -> Option<&'static str> {
        match self {
            Self::Ttl => None,
            Self::Tcp(_) => Some("tcp"),
            Self::Http { .. } => Some("http"),
            Self::Grpc { .. } => Some("grpc"),
            Self::None => Some("none"),
        }
    }

    /// Refuses what the agent could not carry out.
    pub(crate) fn validate(&self) -> Result<(), InvalidField> {
        let timing = match self {
            Self::Ttl | Self::None => return Ok(()),
            Self::Tcp(timing) | Self::Grpc { timing, .. } => timing,
            Self::Http { path, timing } => {
                if !path.starts_with('/') || path.chars().any(|c| c.is_control() || c.is_whitespace()) {
                    return Err(InvalidField::new(
                        "check",
                        "has an HTTP path that does not begin with `/`, or has spaces",
                    ));
                }
                timing
            }
        };
        if let Self::Grpc { service, .. } = self
            && service.chars().any(|c| c.is_control() || c.is_whitespace() || c == '/')
        {
            return Err(InvalidField::new("check", "has a gRPC service name with spaces or `/`"));
        }
        for (name, value) in [("check_interval", timing.interval), ("check_timeout", timing.timeout)] {
            if value < SHORTEST || value > LONGEST {
                return Err(InvalidField::new(name, format!("is {value:?}")).with_limit("100 ms to one hour"));
            }
        }
        Ok(())
    }

    /// What the agent is told to ask, where it asks itself: the kind's own member of the check, and its text.
    pub(crate) fn target(&self, info: &Info) -> Option<Target> {
        let address = info.address();
        Some(match self {
            Self::Ttl | Self::None => return None,
            Self::Tcp(_) => Target::Tcp(address.to_string()),
            Self::Http { path, .. } => Target::Http(format!("http://{address}{path}")),
            Self::Grpc { service, .. } if service.is_empty() => Target::Grpc(address.to_string()),
            Self::Grpc { service, .. } => Target::Grpc(format!("{address}/{service}")),
        })
    }

    /// How the agent runs it.
    pub(crate) fn timing(&self) -> Option<AgentCheck> {
        match self {
            Self::Ttl | Self::None => None,
            Self::Tcp(timing) | Self::Http { timing, .. } | Self::Grpc { timing, .. } => Some(*timing),
        }
    }
}

/// What the agent asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Tcp(String),
    Http(String),
    Grpc(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(path: &str) -> Check {
        Check::Http { path: path.into(), timing: AgentCheck::default() }
    }

    #[test]
    fn what_the_agent_cannot_carry_out_is_refused() {
        let slow = AgentCheck { interval: Duration::from_secs(7200), ..AgentCheck::default() };
        let impatient = AgentCheck { timeout: Duration::ZERO, ..AgentCheck::default() };
        for (check, field) in [
            (http("health"), "check"),
            (http("/a b"), "check"),
            (Check::Grpc { service: "a/b".into(), timing: AgentCheck::default() }, "check"),
            (Check::Tcp(slow), "check_interval"),
            (Check::Tcp(impatient), "check_timeout"),
        ] {
            assert_eq!(check.validate().unwrap_err().field(), field, "{check:?}");
        }
        assert!(http("/health").validate().is_ok());
    }

    #[test]
    fn the_agent_asks_the_advertised_address() {
        let info = Info::builder("demo").address("[2001:db8::5]:80").build().unwrap();
        let grpc = |service: &str| Check::Grpc { service: service.into(), timing: AgentCheck::default() };
        assert_eq!(http("/ok").target(&info), Some(Target::Http("http://[2001:db8::5]:80/ok".into())));
        assert_eq!(grpc("").target(&info), Some(Target::Grpc("[2001:db8::5]:80".into())));
        assert_eq!(grpc("echo").target(&info), Some(Target::Grpc("[2001:db8::5]:80/echo".into())));
        assert_eq!(Check::Ttl.target(&info), None);
    }
}
