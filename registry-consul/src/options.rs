//! How to connect.

use std::net::IpAddr;
use std::time::Duration;

use registry_core::{Error, HandleOptions, InvalidField, Material, Tls};

use crate::check::Check;
use crate::client::Client;
use crate::config::Config;

/// The TTL when none is given: a change of Consul's leader can block an agent for up to 22 s, which shorter ones do not outlive.
pub const DEFAULT_TTL: Duration = Duration::from_secs(30);

/// How long a query waits for a change when nothing else is given, and at most.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(60);

/// The shortest TTL: below it a beat and its answer do not fit between two others.
const MIN_TTL: Duration = Duration::from_secs(1);

/// The shortest time that a query waits for a change.
const MIN_WAIT: Duration = Duration::from_secs(1);

/// The soonest that an agent reaps a critical service (`DeregisterCriticalServiceAfter`, Consul's documentation of checks).
const MIN_DEREGISTER_AFTER: Duration = Duration::from_secs(60);

/// Where the Consul agent is, how it is entered, what keeps registrations alive, and the timings of the handle. `Debug` shows no secret.
///
/// ```
/// use std::time::Duration;
/// use registry_consul::{Material, Options, Tls};
///
/// let options = Options::new("https://127.0.0.1:8501")
///     .with_token(Material::File("/run/secrets/consul-token".into()))
///     .with_tls(Tls::new().with_ca(Material::File("/etc/consul/ca.pem".into())))
///     .with_ttl(Duration::from_secs(20));
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The agent: `host`, `host:port`, or a URL with the scheme `http` or `https`, and a base path where a proxy adds one. Default `127.0.0.1:8500`.
    /// Registrations belong to this agent: give that of the machine the servers run on.
    pub address: String,
    /// The ACL token; none for a Consul without ACLs. White space around it is left out. A file is read again for each new session, and once when
    /// Consul denies something.
    pub token: Option<Material>,
    /// TLS, by the library of the operating system. `None` is plaintext, unless the address says `https`; with it, nothing is ever sent in plaintext.
    /// A client key must be PKCS #8 (`BEGIN PRIVATE KEY`), and a server name must be one: not an IP address, which is dialled as it is.
    pub tls: Option<Tls>,
    /// The datacenter in which services are looked for. `None`: the agent's own. Registrations always belong to the agent's.
    pub datacenter: Option<String>,
    /// What a read may miss.
    pub consistency: Consistency,
    /// How long a query waits for a change before it is asked again: 1 s to 60 s. Default [`DEFAULT_WAIT`].
    pub wait: Duration,
    /// What keeps a registration alive. Default [`Check::Ttl`].
    pub check: Check,
    /// After how long an entry that is critical all the time is removed by the agent: at least 1 minute, which is its floor; it sweeps each 30 s.
    /// Resolvers leave an entry out as soon as it is critical. Default 1 minute.
    pub deregister_after: Duration,
    /// TTL (1 s at least; here 30 s by default), limits and the like.
    pub handle: HandleOptions,
}

/// What a read may miss (Consul's documentation of consistency modes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Consistency {
    /// Nothing that was written before: the leader makes sure that it still leads.
    #[default]
    Consistent,
    /// What was written since another leader was elected, for as long as the old one does not know (Consul's mode `default`).
    Leader,
    /// Whatever the server asked has not received yet. It answers without a leader, too; an older state may follow a newer one (clause W2).
    Stale,
}

impl Options {
    /// The defaults, with this agent.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            token: None,
            tls: None,
            datacenter: None,
            consistency: Consistency::default(),
            wait: DEFAULT_WAIT,
            check: Check::default(),
            deregister_after: MIN_DEREGISTER_AFTER,
            handle: HandleOptions::with_ttl(DEFAULT_TTL),
        }
    }

    /// The same options with this ACL token.
    #[must_use]
    pub fn with_token(mut self, token: Material) -> Self {
        self.token = Some(token);
        self
    }

    /// The same options with TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The same options, looking for services in this datacenter.
    #[must_use]
    pub fn with_datacenter(mut self, datacenter: impl Into<String>) -> Self {
        self.datacenter = Some(datacenter.into());
        self
    }

    /// The same options with reads of this kind.
    #[must_use]
    pub fn with_consistency(mut self, consistency: Consistency) -> Self {
        self.consistency = consistency;
        self
    }

    /// The same options, waiting so long for a change.
    #[must_use]
    pub fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// The same options with registrations that this keeps alive.
    #[must_use]
    pub fn with_check(mut self, check: Check) -> Self {
        self.check = check;
        self
    }

    /// The same options, leaving entries of dead owners to the agent for so long.
    #[must_use]
    pub fn with_deregister_after(mut self, after: Duration) -> Self {
        self.deregister_after = after;
        self
    }

    /// The same options with this TTL.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.handle.ttl = ttl;
        self
    }

    /// The same options with these timings.
    #[must_use]
    pub fn with_handle(mut self, handle: HandleOptions) -> Self {
        self.handle = handle;
        self
    }

    /// The client that a handle with these options drives: the store operations, one by one. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidInput` on the option that cannot work, by the name of its field or URL key.
    pub fn client(&self) -> Result<Client, Error> {
        self.checked().map(Client::new).map_err(|refused| Error::from(refused).in_operation("connect"))
    }

    fn checked(&self) -> Result<Config, InvalidField> {
        let at_least = |field: &'static str, value: Duration, least: Duration| {
            let refuse = || InvalidField::new(field, format!("is {value:?}")).with_limit(format!("at least {least:?}"));
            if value < least { Err(refuse()) } else { Ok(()) }
        };
        at_least("ttl", self.handle.ttl, MIN_TTL)?;
        at_least("deregister_after", self.deregister_after, MIN_DEREGISTER_AFTER)?;
        if self.wait < MIN_WAIT || self.wait > DEFAULT_WAIT {
            return Err(InvalidField::new("wait", format!("is {:?}", self.wait)).with_limit("1 s to 60 s"));
        }
        if self.datacenter.as_ref().is_some_and(|name| name.is_empty() || name.chars().any(char::is_control)) {
            return Err(InvalidField::new("dc", "is empty, or has control characters"));
        }
        self.check.validate()?;
        if let Some(tls) = &self.tls {
            tls.check()?;
            check_server_name(tls)?;
        }
        Config::new(self)
    }
}

/// The host of the base URL that certificates are checked against, in place of the one that is dialled: what the HTTP client would dial as it is cannot be.
fn check_server_name(tls: &Tls) -> Result<(), InvalidField> {
    let Some(name) = &tls.server_name else { return Ok(()) };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !name.chars().all(plain) || name.parse::<IpAddr>().is_ok() {
        return Err(InvalidField::new("server_name", "is no DNS name").with_limit("letters, digits, `-`, `_` and `.`"));
    }
    Ok(())
}

impl Default for Options {
    fn default() -> Self {
        Self::new("127.0.0.1:8500")
    }
}

#[cfg(test)]
mod tests {
    use registry_core::Secret;

    use super::*;
    use crate::check::AgentCheck;

    fn tiger() -> Material {
        Material::Inline(Secret::new("tiger"))
    }

    fn refused(options: &Options) -> &'static str {
        options.client().unwrap_err().invalid_field().unwrap().field()
    }

    #[test]
    fn each_option_that_cannot_work_is_named() {
        let with = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            refused(&options)
        };
        assert_eq!(with(|options| options.handle.ttl = Duration::from_millis(999)), "ttl");
        assert_eq!(with(|options| options.address.clear()), "address");
        assert_eq!(with(|options| options.wait = Duration::from_secs(61)), "wait");
        assert_eq!(with(|options| options.wait = Duration::ZERO), "wait");
        assert_eq!(with(|options| options.deregister_after = Duration::from_secs(59)), "deregister_after");
        assert_eq!(with(|options| options.datacenter = Some(String::new())), "dc");
        let never = AgentCheck { interval: Duration::ZERO, ..AgentCheck::default() };
        assert_eq!(refused(&Options::default().with_check(Check::Tcp(never))), "check_interval");
        assert_eq!(with(|options| options.tls = Some(Tls::new().with_server_name(""))), "server_name");
        for name in ["10.0.0.5", "::1", "a b", "a:1", "u@h", "a/b"] {
            assert_eq!(
                refused(&Options::default().with_tls(Tls::new().with_server_name(name))),
                "server_name",
                "{name}"
            );
        }
    }

    #[test]
    fn the_default_ttl_outlives_a_change_of_leader() {
        assert_eq!(Options::default().handle.ttl, Duration::from_secs(30));
    }

    #[test]
    fn no_secret_is_shown() {
        let tls = Tls::new().with_ca(tiger()).with_identity(tiger(), tiger());
        let options = Options::new("h").with_token(tiger()).with_tls(tls);
        assert!(!format!("{options:?} {:?}", options.client()).contains("tiger"));
    }
}
