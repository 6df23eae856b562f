//! Advertised addresses.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::error::InvalidField;

/// The longest host name that is accepted, in bytes (RFC 1035 allows 253 visible characters).
const MAX_HOST: usize = 253;
/// The longest unix socket path that is accepted, in bytes (`sun_path` is 108 bytes with its end on Linux, 104 elsewhere).
const MAX_PATH: usize = 103;
/// The longest network name that is accepted, in bytes.
const MAX_NETWORK: usize = 32;

/// Where an instance is reached: a network and an address on it, as in Kitex (`tcp`, `10.0.0.5:8888`).
///
/// The address is normalised: an IP address is written in its canonical form, IPv6 always in brackets, an IPv4-mapped one as the IPv4
/// address that it is (as Go writes it), and a host name stays as it is (no name is looked up). Two addresses of the same text are the same *identity*, whatever their network;
/// `Eq` compares both. The port is never 0 and the host never unspecified (`0.0.0.0`, `::`): nobody can dial those.
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    text: Arc<str>,
    network: Network,
}

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Network {
    Tcp,
    Unix,
    Other(Arc<str>),
}

impl Address {
    /// A `host:port` on the network `tcp`. IPv6 may come with or without brackets (Go Kitex writes it without).
    ///
    /// # Errors
    /// [`InvalidField`] on the field `address`: no port, port 0, no host, an unspecified host, a scope id, or a character that
    /// no host name has.
    pub fn tcp(text: &str) -> Result<Self, InvalidField> {
        Ok(Self { text: host_and_port(text)?, network: Network::Tcp })
    }

    /// The path of a unix socket. Not every store carries it.
    ///
    /// # Errors
    /// [`InvalidField`] on the field `address`: not absolute, over-long, or with a control character.
    pub fn unix(path: &str) -> Result<Self, InvalidField> {
        let refuse = |offence: &str| Err(InvalidField::new("address", offence));
        if !path.starts_with('/') || path.len() == 1 {
            return refuse("is no absolute socket path");
        }
        if path.len() > MAX_PATH {
            return Err(InvalidField::new("address", format!("has {} bytes", path.len()))
                .with_limit(format!("at most {MAX_PATH} bytes")));
        }
        if path.chars().any(char::is_control) {
            return refuse("contains a control character");
        }
        if path.split('/').any(|part| part == "." || part == "..") {
            return refuse("contains `.` or `..` as a path element");
        }
        Ok(Self { text: path.into(), network: Network::Unix })
    }

    /// An address on a network given by name: `unix` takes a path, every other network a `host:port`.
    ///
    /// # Errors
    /// [`InvalidField`] on the field `network` or `address`.
    pub fn new(network: &str, text: &str) -> Result<Self, InvalidField> {
        match network {
            "tcp" => Self::tcp(text),
            "unix" => Self::unix(text),
            other
                if other.is_empty()
                    || other.len() > MAX_NETWORK
                    || !other.bytes().all(|b| b.is_ascii_alphanumeric()) =>
            {
                Err(InvalidField::new("network", "is no network name")
                    .with_limit(format!("1 to {MAX_NETWORK} ASCII letters and digits")))
            }
            other => Ok(Self { text: host_and_port(text)?, network: Network::Other(other.into()) }),
        }
    }

    /// The network's name: `tcp`, `unix`, or what Go's `net.Addr.Network()` said.
    pub fn network(&self) -> &str {
        match &self.network {
            Network::Tcp => "tcp",
            Network::Unix => "unix",
            Network::Other(name) => name,
        }
    }

    /// The normalised address: `10.0.0.5:8888`, `[2001:db8::5]:8888`, `host.example:80`, or a path.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host without brackets; `None` for a unix socket.
    pub fn host(&self) -> Option<&str> {
        let (host, _) = self.split()?;
        Some(host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host))
    }

    /// The port; `None` for a unix socket.
    pub fn port(&self) -> Option<u16> {
        self.split()?.1.parse().ok()
    }

    /// The address to dial when the host is an IP address.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.split()?;
        self.text.parse().ok()
    }

    fn split(&self) -> Option<(&str, &str)> {
        match self.network {
            Network::Unix => None,
            _ => self.text.rsplit_once(':'),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}!{}", self.network(), self.text)
    }
}

impl TryFrom<SocketAddr> for Address {
    type Error = InvalidField;

    fn try_from(address: SocketAddr) -> Result<Self, InvalidField> {
        Self::tcp(&address.to_string())
    }
}

impl TryFrom<&str> for Address {
    type Error = InvalidField;

    fn try_from(text: &str) -> Result<Self, InvalidField> {
        Self::tcp(text)
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidField;

    fn try_from(text: String) -> Result<Self, InvalidField> {
        Self::tcp(&text)
    }
}

impl TryFrom<&Address> for Address {
    type Error = InvalidField;

    fn try_from(address: &Address) -> Result<Self, InvalidField> {
        Ok(address.clone())
    }
}

/// Checks and normalises a `host:port`.
fn host_and_port(text: &str) -> Result<Arc<str>, InvalidField> {
    let refuse = |offence: String| Err(InvalidField::new("address", offence));
    if text.len() > MAX_HOST + 8 {
        return Err(InvalidField::new("address", format!("has {} bytes", text.len()))
            .with_limit(format!("a host of at most {MAX_HOST} bytes and a port")));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return refuse(format!("{text:?} has no port"));
    };
    let port = match port.parse::<u16>() {
        Ok(0) => return refuse("has port 0, which nobody can dial".into()),
        Ok(number) if port.bytes().all(|b| b.is_ascii_digit()) => number,
        _ => return refuse(format!("{port:?} is no port")),
    };
    if host.is_empty() {
        return refuse("has no host".into());
    }
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if bracketed.is_some() || host.contains(':') {
        let inner = bracketed.unwrap_or(host);
        return match inner.parse::<Ipv6Addr>() {
            Ok(ip) => ip_and_port(ip.to_canonical(), port, text),
            Err(_) if inner.contains('%') => {
                refuse(format!("{inner:?} has a scope id, which means nothing on another machine"))
            }
            Err(_) => refuse(format!("{inner:?} is no IPv6 address")),
        };
    }
    match host.parse::<IpAddr>() {
        Ok(ip) => ip_and_port(ip, port, text),
        Err(_) if host.len() > MAX_HOST => refuse(format!("has a host of {} bytes", host.len())),
        Err(_) if host.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            refuse(format!("{host:?} is no IPv4 address"))
        }
        Err(_) if host == ".." || host.starts_with('.') || host.contains("..") => {
            refuse(format!("{host:?} is no host name"))
        }
        Err(_) if host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) => {
            Ok(format!("{host}:{port}").into())
        }
        Err(_) => refuse(format!("{host:?} is no host name: letters, digits, `.`, `-` and `_` only")),
    }
}

fn ip_and_port(ip: IpAddr, port: u16, text: &str) -> Result<Arc<str>, InvalidField> {
    if ip.is_unspecified() {
        return Err(InvalidField::new("address", format!("{text:?} is unspecified, which nobody can dial")));
    }
    Ok(SocketAddr::new(ip, port).to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_normalised() {
        for (given, normal, host, port) in [
            ("10.0.0.5:8888", "10.0.0.5:8888", "10.0.0.5", 8888),
            ("[2001:DB8:0::5]:80", "[2001:db8::5]:80", "2001:db8::5", 80),
            ("2001:db8::5:8888", "[2001:db8::5]:8888", "2001:db8::5", 8888),
            ("pod-1.svc.example:1", "pod-1.svc.example:1", "pod-1.svc.example", 1),
            ("[::ffff:10.0.0.5]:80", "10.0.0.5:80", "10.0.0.5", 80),
            ("::ffff:a00:5:80", "10.0.0.5:80", "10.0.0.5", 80),
            ("localhost:00080", "localhost:80", "localhost", 80),
        ] {
            let address = Address::tcp(given).unwrap();
            assert_eq!((address.as_str(), address.host(), address.port()), (normal, Some(host), Some(port)));
            assert_eq!(Address::tcp(address.as_str()).unwrap(), address, "normalising is idempotent");
        }
    }

    #[test]
    fn what_nobody_can_dial_is_refused() {
        for text in [
            "",
            ":",
            "10.0.0.5",
            "10.0.0.5:",
            "10.0.0.5:0",
            "10.0.0.5:65536",
            "10.0.0.5:+80",
            "0.0.0.0:80",
            "[::]:80",
            "[::ffff:0.0.0.0]:80",
            ":80",
            "[]:80",
            "[fe80::1%eth0]:80",
            "a b:80",
            "a/b:80",
            "..:80",
            "../etc:80",
            "a%2fb:80",
            "user@host:80",
            "1.2.3:80",
            "a\0b:80",
            "::1",
        ] {
            assert_eq!(Address::tcp(text).unwrap_err().field(), "address", "{text:?}");
        }
        assert_eq!(Address::new("t/p", "h:1").unwrap_err().field(), "network");
    }

    #[test]
    fn a_unix_socket_has_a_path_and_neither_host_nor_port() {
        let address = Address::unix("/run/demo.sock").unwrap();
        assert_eq!((address.network(), address.host(), address.port()), ("unix", None, None));
        for path in ["run/x", "/", "/a/../b", "/a\n", &format!("/{}", "x".repeat(200))] {
            assert_eq!(Address::unix(path).unwrap_err().field(), "address", "{path:?}");
        }
    }
}
