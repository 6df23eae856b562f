//! Whether a listener accepts, seen from outside.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;

use super::listen::ListenAddr;
use super::readiness::{Phase, Readiness};

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(1);
/// The pauses between attempts double from the first to the last of these.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));
/// After so many attempts that failed (about 20 s) one line is logged.
const ATTEMPTS_BEFORE_A_WORD: u32 = 45;

/// Waits until a connection is accepted. Says why not through `readiness` meanwhile.
pub(super) async fn accepts(target: &ListenAddr, readiness: &Readiness) {
    let mut pause = PAUSES.0;
    for attempt in 1u32.. {
        let error = match tokio::time::timeout(ATTEMPT, connect(target)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {ATTEMPT:?}")),
        };
        readiness.set(Phase::Starting(format!("{target}: {error}")));
        if attempt == ATTEMPTS_BEFORE_A_WORD {
            tracing::warn!(%target, %error, "the server does not accept connections yet, and is not registered before it does");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

async fn connect(target: &ListenAddr) -> io::Result<()> {
    match target {
        ListenAddr::Tcp(address) => TcpStream::connect(dialled(*address)).await.map(drop),
        #[cfg(unix)]
        ListenAddr::Unix(path) => tokio::net::UnixStream::connect(path).await.map(drop),
        #[cfg(not(unix))]
        ListenAddr::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// The unspecified address can be listened on; what is dialled is the loopback then.
fn dialled(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
