//! What the tests are told about the stores, through environment variables that `scripts/backends.sh env` prints.
//!
//! | variable | |
//! |---|---|
//! | `REGISTRY_TEST_ETCD` | URL of an etcd without users that tests share; they do it no harm |
//! | `REGISTRY_TEST_ZOOKEEPER` | host and port of a ZooKeeper, likewise |
//! | `REGISTRY_TEST_CONSUL` | URL of a Consul agent without tokens, likewise |
//! | `REGISTRY_TEST_ETCD_IMAGE`, `…_ZOOKEEPER_IMAGE`, `…_CONSUL_IMAGE` | the images to start more servers of, which tests kill, freeze and wipe |
//! | `REGISTRY_TEST_ETCD_TLS`, `REGISTRY_TEST_ETCD_AUTH` | URLs of an etcd with users and TLS, and of one with mutual TLS |
//! | `REGISTRY_TEST_CONSUL_TLS`, `REGISTRY_TEST_CONSUL_AUTH` | URLs of a Consul agent with tokens and TLS, and of one with mutual TLS |
//! | `REGISTRY_TEST_SECURED` | the folder with their certificates, passwords and tokens, see `scripts/certificates.sh` |
//! | `REGISTRY_TEST_SECURITY_OPT` | what those servers are started with as `--security-opt`, if anything |
//! | `REGISTRY_TEST_REQUIRE` | stores that must be there, as `etcd,consul`: without them tests fail instead of showing as ignored |

use std::env;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// A store that tests need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// etcd without users.
    Etcd,
    /// ZooKeeper.
    Zookeeper,
    /// Consul without tokens.
    Consul,
}

/// Whether tests that need a store can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// They can.
    Ready,
    /// They cannot, and nobody asked that they should.
    Ignored(String),
    /// They cannot, and must: they fail with this reason.
    Failed(String),
}

impl Backend {
    /// Its name in `REGISTRY_TEST_REQUIRE`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Zookeeper => "zookeeper",
            Self::Consul => "consul",
        }
    }

    /// Where the shared server is.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn url(self) -> Result<String, String> {
        variable(match self {
            Self::Etcd => "REGISTRY_TEST_ETCD",
            Self::Zookeeper => "REGISTRY_TEST_ZOOKEEPER",
            Self::Consul => "REGISTRY_TEST_CONSUL",
        })
    }

    /// The image to start servers of.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn image(self) -> Result<String, String> {
        variable(match self {
            Self::Etcd => "REGISTRY_TEST_ETCD_IMAGE",
            Self::Zookeeper => "REGISTRY_TEST_ZOOKEEPER_IMAGE",
            Self::Consul => "REGISTRY_TEST_CONSUL_IMAGE",
        })
    }

    /// Whether its shared server is there and accepts connections.
    pub fn availability(self) -> Availability {
        let reached = self.url().and_then(|url| reach(&url));
        let required = env::var("REGISTRY_TEST_REQUIRE").unwrap_or_default();
        judge(self.name(), reached, &required)
    }
}

/// The secured etcd servers: with TLS, and with mutual TLS, both with users.
///
/// # Errors
/// A sentence that says what is missing.
pub fn secured_etcd() -> Result<(String, String), String> {
    Ok((variable("REGISTRY_TEST_ETCD_TLS")?, variable("REGISTRY_TEST_ETCD_AUTH")?))
}

/// The secured Consul agents: with TLS, and with mutual TLS, both with tokens.
///
/// # Errors
/// A sentence that says what is missing.
pub fn secured_consul() -> Result<(String, String), String> {
    Ok((variable("REGISTRY_TEST_CONSUL_TLS")?, variable("REGISTRY_TEST_CONSUL_AUTH")?))
}

/// A file of the secured servers, such as `certificates/ca.pem`, `passwords/registry` or `tokens/registry`.
///
/// # Errors
/// A sentence that says what is missing.
pub fn secured_file(name: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(variable("REGISTRY_TEST_SECURED")?).join(name);
    if path.is_file() { Ok(path) } else { Err(format!("{} is missing: run scripts/certificates.sh", path.display())) }
}

/// What `docker run` is given as `--security-opt`, if anything: a filter of system calls under which a store does not wait for the disk
/// (`scripts/lib/no-sync.sh`). Servers work without it, but answer late where the disk is busy.
pub(crate) fn security_opt() -> Option<String> {
    variable("REGISTRY_TEST_SECURITY_OPT").ok()
}

fn variable(name: &str) -> Result<String, String> {
    let value = env::var(name).ok().filter(|value| !value.is_empty());
    value.ok_or_else(|| format!("{name} is not set; scripts/test-all.sh brings the stores up and sets it"))
}

fn reach(url: &str) -> Result<(), String> {
    let address = url.split_once("://").map_or(url, |(_, rest)| rest);
    let address: SocketAddr = address.parse().map_err(|_| format!("{url} does not end in an address and port"))?;
    let reached = TcpStream::connect_timeout(&address, Duration::from_secs(5));
    reached.map(drop).map_err(|error| format!("{url}: {error}; scripts/backends.sh up starts it"))
}

fn judge(name: &str, reached: Result<(), String>, required: &str) -> Availability {
    match reached {
        Ok(()) => Availability::Ready,
        Err(reason) if required.split(',').any(|word| word.trim() == name) => {
            Availability::Failed(format!("REGISTRY_TEST_REQUIRE asks for {name}, but {reason}"))
        }
        Err(reason) => Availability::Ignored(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_there_is_ready() {
        assert_eq!(judge("etcd", Ok(()), "etcd"), Availability::Ready);
    }

    #[test]
    fn a_missing_store_is_a_reason_to_ignore() {
        let reason = "nobody there".to_owned();
        assert_eq!(judge("etcd", Err(reason.clone()), "consul"), Availability::Ignored(reason));
    }

    #[test]
    fn a_missing_store_that_is_required_is_a_failure() {
        let judged = judge("etcd", Err("nobody there".to_owned()), "consul, etcd");
        let expected = "REGISTRY_TEST_REQUIRE asks for etcd, but nobody there".to_owned();
        assert_eq!(judged, Availability::Failed(expected));
    }

    #[test]
    fn a_url_without_a_port_is_not_reached() {
        assert!(reach("http://127.0.0.1").unwrap_err().contains("address and port"));
    }
}
