//! Which of this machine's addresses is advertised for a listener on all of them.

use std::fmt;
use std::net::IpAddr;

/// An address of this machine, and why it is considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) ip: IpAddr,
    pub(super) source: String,
}

/// The address that was chosen, and those that were not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) chosen: Candidate,
    pub(super) rejected: Vec<(IpAddr, &'static str)>,
}

impl Candidate {
    pub(super) fn new(ip: IpAddr, source: impl Into<String>) -> Self {
        Self { ip: ip.to_canonical(), source: source.into() }
    }

    /// Why nobody on another machine can dial it for a listener on `unspecified`.
    fn objection(&self, unspecified: IpAddr) -> Option<&'static str> {
        let link_local = match self.ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        match self.ip {
            _ if self.ip.is_ipv6() && unspecified.is_ipv4() => Some("IPv6, and the listener is IPv4"),
            _ if self.ip.is_unspecified() => Some("unspecified"),
            _ if link_local => Some("link-local"),
            _ if self.ip.is_loopback() => Some("loopback"),
            _ => None,
        }
    }
}

impl Choice {
    /// The first candidate without objection; loopback only when there is none, and link-local never. A listener on `::` is taken to accept IPv4, too;
    /// where it does not, probing it at what was chosen fails.
    pub(super) fn among(candidates: Vec<Candidate>, unspecified: IpAddr) -> Option<Self> {
        let unspecified = unspecified.to_canonical();
        let good = candidates.iter().position(|candidate| candidate.objection(unspecified).is_none());
        let loopback = || candidates.iter().position(|candidate| candidate.objection(unspecified) == Some("loopback"));
        let chosen = candidates.get(good.or_else(loopback)?)?.clone();
        let mut rejected: Vec<(IpAddr, &'static str)> = Vec::new();
        for candidate in candidates {
            if candidate.ip != chosen.ip && rejected.iter().all(|(ip, _)| *ip != candidate.ip) {
                rejected.push((candidate.ip, candidate.objection(unspecified).unwrap_or("not the first choice")));
            }
        }
        Some(Self { chosen, rejected })
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.chosen.ip.is_loopback()
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, from {}", self.chosen.ip, self.chosen.source)?;
        for (place, (ip, objection)) in self.rejected.iter().enumerate() {
            write!(f, "{} {ip} ({objection})", if place == 0 { "; rejected" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(ips: &[&str], unspecified: &str) -> Option<String> {
        let candidates = ips.iter().map(|ip| Candidate::new(ip.parse().unwrap(), "there"));
        Choice::among(candidates.collect(), unspecified.parse().unwrap()).map(|choice| choice.chosen.ip.to_string())
    }

    #[test]
    fn the_first_address_that_others_can_dial_is_chosen() {
        let cases: [(&[&str], &str, Option<&str>); 8] = [
            (&["10.0.0.5", "172.17.0.1"], "0.0.0.0", Some("10.0.0.5")),
            (&["127.0.0.1", "169.254.3.4", "10.0.0.5"], "0.0.0.0", Some("10.0.0.5")),
            (&["fe80::1", "2001:db8::5"], "::", Some("2001:db8::5")),
            (&["2001:db8::5", "10.0.0.5"], "0.0.0.0", Some("10.0.0.5")),
            (&["10.0.0.5", "2001:db8::5"], "::", Some("10.0.0.5")),
            (&["169.254.3.4", "::1", "127.0.0.1"], "0.0.0.0", Some("127.0.0.1")),
            (&["fe80::1", "169.254.3.4"], "::", None),
            (&["::ffff:10.0.0.5"], "::ffff:0.0.0.0", Some("10.0.0.5")),
        ];
        for (ips, unspecified, chosen) in cases {
            assert_eq!(among(ips, unspecified).as_deref(), chosen, "{ips:?} for {unspecified}");
        }
    }

    #[test]
    fn the_line_names_the_choice_and_each_rejected_address_once() {
        let ips = ["127.0.0.1", "10.0.0.5", "10.0.0.5", "127.0.0.1", "172.17.0.1"];
        let candidates = ips.map(|ip| Candidate::new(ip.parse().unwrap(), "the default route")).to_vec();
        let choice = Choice::among(candidates, "0.0.0.0".parse().unwrap()).unwrap();
        let line = "10.0.0.5, from the default route; rejected 127.0.0.1 (loopback), 172.17.0.1 (not the first choice)";
        assert_eq!(choice.to_string(), line);
    }
}
