//! From where a server listens to what it registers (clauses S1, S2).

use std::net::IpAddr;

use super::choice::Choice;
use super::environment::{Environment, IP_TO_REGISTRY, PORT_TO_REGISTRY};
use super::listen::ListenAddr;
use super::route;
use crate::address::Address;
use crate::error::InvalidField;

/// What goes before the listener's own address.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrides {
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) environment: Environment,
}

/// What is registered, and where the listener is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Advertised {
    pub(super) address: Address,
    pub(super) probe: ListenAddr,
}

impl Overrides {
    /// The host that was named, by the builder or else by the environment.
    fn named_host(&self) -> Result<Option<&str>, InvalidField> {
        let (field, host) = match (&self.host, &self.environment.host) {
            (Some(host), _) => ("advertised_host", host),
            (None, Some(host)) => (IP_TO_REGISTRY, host),
            (None, None) => return Ok(None),
        };
        let named = |invalid: InvalidField| InvalidField::new(field, invalid.offence());
        Address::tcp(&joined(host, 1)).map_err(named)?;
        Ok(Some(host))
    }

    /// The port that was named, by the builder or else by the environment.
    fn named_port(&self) -> Result<Option<u16>, InvalidField> {
        match (self.port, &self.environment.port) {
            (Some(0), _) => Err(InvalidField::new("advertised_port", "is 0, which nobody can dial")),
            (Some(port), _) => Ok(Some(port)),
            (None, Some(text)) => match text.parse() {
                Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(Some(port)),
                _ => Err(InvalidField::new(PORT_TO_REGISTRY, format!("{text:?} is no port")).with_limit("1 to 65535")),
            },
            (None, None) => Ok(None),
        }
    }
}

/// What is advertised for a listener at `listening`; the store's `endpoints` tell which of several addresses faces it.
pub(super) async fn advertised(
    listening: &ListenAddr,
    overrides: &Overrides,
    endpoints: &[String],
) -> Result<Advertised, InvalidField> {
    let socket = match listening {
        ListenAddr::Unix(path) => return unix(path, overrides),
        ListenAddr::Tcp(socket) if socket.port() == 0 => {
            return Err(InvalidField::new("listener", "has port 0: bind it first, so that it knows its real port"));
        }
        ListenAddr::Tcp(socket) => *socket,
    };
    let (host, port) = (overrides.named_host()?, overrides.named_port()?);
    let mut probe = socket;
    if socket.ip().to_canonical().is_unspecified() {
        let candidates = route::candidates(endpoints).await;
        let choice = Choice::among(candidates, socket.ip());
        if let Some(choice) = &choice {
            probe.set_ip(choice.chosen.ip);
        }
        match (host, choice) {
            (Some(host), _) => tracing::info!(%host, listener = %socket, "advertising the host that was named"),
            (None, None) => {
                let offence = "is on all addresses, and this machine has none that others can dial";
                return Err(InvalidField::new("listener", offence).with_limit("name an advertised host"));
            }
            (None, Some(choice)) if choice.is_loopback() => {
                tracing::warn!("advertising {choice}: nobody on another machine can dial it; name an advertised host");
            }
            (None, Some(choice)) => tracing::info!("advertising {choice}"),
        }
    } else if host.is_none() {
        refuse_link_local(socket.ip())?;
    }
    let host = host.map_or_else(|| probe.ip().to_canonical().to_string(), str::to_owned);
    let address = Address::tcp(&joined(&host, port.unwrap_or(socket.port())))?;
    Ok(Advertised { address, probe: ListenAddr::Tcp(probe) })
}

/// A unix socket is registered by its path, unless both a host and a port stand in front of it. The environment is about TCP.
fn unix(path: &str, overrides: &Overrides) -> Result<Advertised, InvalidField> {
    let address = match (&overrides.host, overrides.port) {
        (None, None) => Address::unix(path)?,
        (Some(_), Some(_)) => {
            let (host, port) = (overrides.named_host()?, overrides.named_port()?);
            Address::tcp(&joined(host.unwrap_or_default(), port.unwrap_or_default()))?
        }
        (Some(_), None) => return Err(InvalidField::new("advertised_port", "is missing, and a unix socket has none")),
        (None, Some(_)) => return Err(InvalidField::new("advertised_host", "is missing, and a unix socket has none")),
    };
    Ok(Advertised { address, probe: ListenAddr::Unix(path.to_owned()) })
}

fn refuse_link_local(ip: IpAddr) -> Result<(), InvalidField> {
    let link_local = match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if link_local {
        let offence = format!("is on the link-local address {ip}, which means nothing on another machine");
        return Err(InvalidField::new("listener", offence).with_limit("name an advertised host"));
    }
    Ok(())
}

/// `host:port`, an IPv6 host in brackets.
fn joined(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is advertised for a listener at `listening`, or the field that is refused. Explicit host and port, then those of the environment.
    async fn seen(listening: &str, explicit: (&str, u16), environment: (&str, &str)) -> Result<String, &'static str> {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let overrides = Overrides {
            host: some(explicit.0),
            port: Some(explicit.1).filter(|port| *port != u16::MAX),
            environment: Environment { host: some(environment.0), port: some(environment.1) },
        };
        let listening = match listening.starts_with('/') {
            true => ListenAddr::Unix(listening.to_owned()),
            false => ListenAddr::Tcp(listening.parse().unwrap()),
        };
        let advertised = advertised(&listening, &overrides, &[]).await;
        advertised.map(|advertised| advertised.address.to_string()).map_err(|invalid| invalid.field())
    }

    const NONE: (&str, u16) = ("", u16::MAX);

    #[tokio::test]
    async fn explicit_goes_before_the_environment_and_that_before_the_listener() {
        let env = ("10.9.9.9", "99");
        assert_eq!(seen("10.0.0.5:80", NONE, ("", "")).await.unwrap(), "10.0.0.5:80");
        assert_eq!(seen("10.0.0.5:80", NONE, env).await.unwrap(), "10.9.9.9:99");
        assert_eq!(seen("10.0.0.5:80", ("h.example", u16::MAX), env).await.unwrap(), "h.example:99");
        assert_eq!(seen("10.0.0.5:80", ("", 7), env).await.unwrap(), "10.9.9.9:7");
        assert_eq!(seen("10.0.0.5:80", ("", 7), ("", "")).await.unwrap(), "10.0.0.5:7");
        assert_eq!(seen("0.0.0.0:80", ("2001:db8::5", 7), env).await.unwrap(), "[2001:db8::5]:7");
        assert_eq!(seen("[::]:80", ("[2001:db8::5]", 7), env).await.unwrap(), "[2001:db8::5]:7");
        assert_eq!(seen("[2001:db8::7]:80", NONE, ("", "")).await.unwrap(), "[2001:db8::7]:80");
    }

    #[tokio::test]
    async fn an_unusable_value_is_refused_by_its_name() {
        for host in ["0.0.0.0", "a b", "10.0.0.5:80", "::", "fe80::1%eth0"] {
            assert_eq!(seen("10.0.0.5:80", NONE, (host, "")).await, Err(IP_TO_REGISTRY), "{host}");
            assert_eq!(seen("10.0.0.5:80", (host, 7), ("", "")).await, Err("advertised_host"), "{host}");
        }
        for port in ["0", "65536", "http", "-1", "+80", " 80"] {
            assert_eq!(seen("10.0.0.5:80", NONE, ("", port)).await, Err(PORT_TO_REGISTRY), "{port}");
        }
        assert_eq!(seen("10.0.0.5:80", ("", 0), ("", "")).await, Err("advertised_port"));
        assert_eq!(seen("10.0.0.5:0", NONE, ("", "")).await, Err("listener"));
        assert_eq!(seen("[fe80::1]:80", NONE, ("", "")).await, Err("listener"));
        assert_eq!(seen("169.254.1.1:80", ("10.0.0.5", u16::MAX), ("", "")).await.unwrap(), "10.0.0.5:80");
    }

    #[tokio::test]
    async fn an_unspecified_host_becomes_one_that_can_be_dialled() {
        for listening in ["0.0.0.0:80", "[::]:80"] {
            let address = Address::tcp(&seen(listening, NONE, ("", "")).await.unwrap()).unwrap();
            assert_eq!(address.port(), Some(80));
            assert!(!address.socket_addr().unwrap().ip().is_unspecified(), "{address}");
        }
    }

    #[tokio::test]
    async fn a_unix_socket_is_its_path_unless_a_host_and_port_stand_in_front_of_it() {
        assert_eq!(seen("/run/a.sock", NONE, ("10.9.9.9", "99")).await.unwrap(), "/run/a.sock");
        assert_eq!(seen("/run/a.sock", ("10.0.0.5", 80), ("", "")).await.unwrap(), "10.0.0.5:80");
        assert_eq!(seen("/run/a.sock", ("10.0.0.5", u16::MAX), ("", "")).await, Err("advertised_port"));
        assert_eq!(seen("/run/a.sock", ("", 80), ("", "")).await, Err("advertised_host"));
    }
}
