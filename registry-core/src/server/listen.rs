//! Where a server listens.

use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Where a server listens, as its bound socket says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenAddr {
    /// A TCP socket.
    Tcp(SocketAddr),
    /// A unix socket, by its absolute path. Not every store carries it.
    Unix(String),
}

/// A bound listener, or the address that it was bound to. The port is the real one: a listener on port 0 knows which it got (clause S1).
pub trait Listening {
    /// Where it listens.
    ///
    /// # Errors
    /// When the socket does not tell, or is a unix socket without a path in UTF-8.
    fn listen_addr(&self) -> io::Result<ListenAddr>;
}

impl Listening for ListenAddr {
    fn listen_addr(&self) -> io::Result<ListenAddr> {
        Ok(self.clone())
    }
}

impl Listening for SocketAddr {
    fn listen_addr(&self) -> io::Result<ListenAddr> {
        Ok(ListenAddr::Tcp(*self))
    }
}

impl Listening for std::net::TcpListener {
    fn listen_addr(&self) -> io::Result<ListenAddr> {
        self.local_addr().map(ListenAddr::Tcp)
    }
}

impl Listening for tokio::net::TcpListener {
    fn listen_addr(&self) -> io::Result<ListenAddr> {
        self.local_addr().map(ListenAddr::Tcp)
    }
}

#[cfg(unix)]
impl Listening for std::os::unix::net::UnixListener {
    fn listen_addr(&self) -> io::Result<ListenAddr> {
        unix(self.local_addr()?.as_pathname())
    }
}

#[cfg(unix)]
impl Listening for tokio::net::UnixListener {
    fn listen_addr(&self) -> io::Result<ListenAddr> {
        unix(self.local_addr()?.as_pathname())
    }
}

#[cfg(unix)]
fn unix(path: Option<&std::path::Path>) -> io::Result<ListenAddr> {
    match path.and_then(std::path::Path::to_str) {
        Some(path) => Ok(ListenAddr::Unix(path.to_owned())),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "the unix socket has no path in UTF-8")),
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => f.write_str(path),
        }
    }
}
