//! How to connect.

use std::time::Duration;

use registry_core::{Error, HandleOptions, InvalidField, Material};

use crate::client::Client;
use crate::config::Config;

/// The shortest TTL. Core asks for a sign of life each third of it and waits a third of it for the answer; a new connection may take the last third. Below
/// this, that leaves no room for a busy machine.
const MIN_TTL: Duration = Duration::from_secs(4);
/// The TTL unless another is asked for.
const DEFAULT_TTL: Duration = Duration::from_secs(10);

/// Where ZooKeeper is, how it is entered, and the timings of the handle. `Debug` shows no secret.
///
/// ```
/// use std::time::Duration;
/// use registry_zookeeper::{Material, Options};
///
/// let options = Options::new("zk-1:2181,zk-2:2181,zk-3:2181/services")
///     .with_user("registry", Material::File("/run/secrets/zookeeper-password".into()))
///     .with_ttl(Duration::from_secs(15));
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// A connect string: the servers of one ensemble as `host`, `host:port` or `[ipv6]:port` with commas between, and after them a chroot, `/path`, if what
    /// is registered is to stand below one. It is created when it is missing. Names are looked up at each attempt. Default `127.0.0.1:2181`.
    pub hosts: String,
    /// Who we are, for digest authentication; none for an open ZooKeeper. Goes with [`password`](Self::password). With it, the nodes of our instances are
    /// accessible to this user alone; the shared nodes above them stay open.
    pub user: Option<String>,
    /// The user's password. A file is read again for each new session, and once when ZooKeeper denies something.
    pub password: Option<Material>,
    /// TTL (the session timeout, 4 s at least, default 10 s), limits and the like.
    pub handle: HandleOptions,
}

impl Options {
    /// The defaults, with this connect string.
    pub fn new(hosts: impl Into<String>) -> Self {
        Self { hosts: hosts.into(), user: None, password: None, handle: HandleOptions::with_ttl(DEFAULT_TTL) }
    }

    /// The same options for this user.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>, password: Material) -> Self {
        self.user = Some(user.into());
        self.password = Some(password);
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
        self.checked().map_err(|refused| Error::from(refused).in_operation("connect"))
    }

    fn checked(&self) -> Result<Client, InvalidField> {
        if self.handle.ttl < MIN_TTL {
            let offence = format!("is {:?}", self.handle.ttl);
            return Err(InvalidField::new("ttl", offence).with_limit("at least 4s"));
        }
        match (&self.user, &self.password) {
            (Some(_), None) => return Err(InvalidField::new("password", "is missing for the user")),
            (None, Some(_)) => return Err(InvalidField::new("user", "is missing for the password")),
            (Some(user), _) if user.is_empty() || user.contains(':') => {
                return Err(InvalidField::new("user", "is empty, or contains `:`"));
            }
            _ => {}
        }
        Ok(Client::new(Config::new(self)?))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new("127.0.0.1:2181")
    }
}

#[cfg(test)]
mod tests {
    use registry_core::Secret;

    use super::*;

    fn tiger() -> Material {
        Material::Inline(Secret::new("tiger"))
    }

    #[test]
    fn each_option_that_cannot_work_is_named() {
        let with = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.client().unwrap_err().invalid_field().unwrap().field()
        };
        assert_eq!(with(|options| options.handle.ttl = Duration::from_millis(3999)), "ttl");
        assert_eq!(with(|options| options.hosts.clear()), "hosts");
        assert_eq!(with(|options| options.user = Some("me".into())), "password");
        assert_eq!(with(|options| options.password = Some(tiger())), "user");
        assert_eq!(with(|options| *options = Options::default().with_user("a:b", tiger())), "user");
    }

    #[test]
    fn no_secret_is_shown() {
        let options = Options::new("h").with_user("me", tiger());
        assert!(!format!("{options:?} {:?}", options.client()).contains("tiger"));
    }
}
