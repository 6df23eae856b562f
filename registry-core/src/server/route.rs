//! Which addresses this machine has, and which of them faces a given host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::choice::Candidate;

/// How long the names of the store's hosts may take to be looked up. The default route is used when they take longer.
const LOOKUP: Duration = Duration::from_secs(1);

/// All addresses of this machine, the most fitting first: the sources of the routes to the store, those of the default routes, and then whatever the
/// interfaces have.
pub(super) async fn candidates(endpoints: &[String]) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for (endpoint, target) in targets(endpoints).await {
        found.extend(source(target).map(|ip| Candidate::new(ip, format!("the route to the store at {endpoint}"))));
    }
    for target in outside() {
        found.extend(source(target).map(|ip| Candidate::new(ip, "the default route")));
    }
    // A machine that does not tell its interfaces still has its routes.
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut interfaces: Vec<_> = interfaces.into_iter().map(|interface| (interface.ip(), interface.name)).collect();
    interfaces.sort_by_key(|(ip, _)| ip.is_ipv6());
    found.extend(interfaces.into_iter().map(|(ip, name)| Candidate::new(ip, format!("the interface {name}"))));
    found
}

async fn targets(endpoints: &[String]) -> Vec<(&String, SocketAddr)> {
    let lookup = async {
        let mut targets = Vec::new();
        for endpoint in endpoints {
            if let Ok(found) = tokio::net::lookup_host(endpoint.as_str()).await {
                targets.extend(found.map(|target| (endpoint, target)));
            }
        }
        targets
    };
    tokio::time::timeout(LOOKUP, lookup).await.unwrap_or_default()
}

/// Addresses that only the default routes lead to: those reserved for documentation (RFC 5737, RFC 3849).
fn outside() -> [SocketAddr; 2] {
    let (v4, v6) = (Ipv4Addr::new(192, 0, 2, 1), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    [SocketAddr::new(v4.into(), 9), SocketAddr::new(v6.into(), 9)]
}

/// The address that packets to `target` leave from. Connecting a UDP socket asks the routing table and sends nothing.
fn source(target: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(target).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_to_this_machine_leave_from_the_loopback() {
        let target = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 2379);
        assert_eq!(source(target), Some(Ipv4Addr::LOCALHOST.into()));
    }

    #[tokio::test]
    async fn the_routes_to_the_store_come_first() {
        let found = candidates(&["127.0.0.1:2379".to_owned()]).await;
        assert_eq!(found[0], Candidate::new(Ipv4Addr::LOCALHOST.into(), "the route to the store at 127.0.0.1:2379"));
        assert!(found.len() > 1, "{found:?}");
    }
}
