//! How to connect.

use std::time::Duration;

use registry_core::{Error, HandleOptions, InvalidField, Material, Tls};

use crate::client::Client;
use crate::config::Config;
use crate::prefix::{DEFAULT_PREFIX, Prefix};

/// The shortest TTL that etcd grants with its default election timeout.
const MIN_TTL: Duration = Duration::from_secs(2);

/// Where etcd is, how it is entered, and the timings of the handle. `Debug` shows no secret.
///
/// ```
/// use std::time::Duration;
/// use registry_etcd::{Material, Options, Tls};
///
/// let options = Options::new(["etcd-1:2379", "etcd-2:2379"])
///     .with_user("registry", Material::File("/run/secrets/etcd-password".into()))
///     .with_tls(Tls::new().with_ca(Material::File("/etc/etcd/ca.pem".into())))
///     .with_ttl(Duration::from_secs(10));
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The members of one cluster, as `host`, `host:port` or `[ipv6]:port`. One of them is used, the next when it fails. Default
    /// `127.0.0.1:2379`.
    pub endpoints: Vec<String>,
    /// The first part of every key: path elements joined by `/`, no slash at its start or end. Default [`DEFAULT_PREFIX`], Kitex's.
    pub prefix: String,
    /// Who we are; none for an etcd without authentication. Goes with [`password`](Self::password).
    pub user: Option<String>,
    /// The user's password. A file is read again for each new session, and once when etcd denies something.
    pub password: Option<Material>,
    /// TLS. `None` is plaintext; with it, nothing is ever sent in plaintext.
    pub tls: Option<Tls>,
    /// TTL (2 s at least, rounded up to whole seconds), limits and the like.
    pub handle: HandleOptions,
}

impl Options {
    /// The defaults, with these endpoints.
    pub fn new<E: Into<String>>(endpoints: impl IntoIterator<Item = E>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            prefix: DEFAULT_PREFIX.to_owned(),
            user: None,
            password: None,
            tls: None,
            handle: HandleOptions::default(),
        }
    }

    /// The same options with this key prefix.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The same options for this user.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>, password: Material) -> Self {
        self.user = Some(user.into());
        self.password = Some(password);
        self
    }

    /// The same options with TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
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
            return Err(InvalidField::new("ttl", offence).with_limit("at least 2s, etcd grants no less"));
        }
        if self.user.as_deref() == Some("") {
            return Err(InvalidField::new("user", "is empty"));
        }
        match (&self.user, &self.password) {
            (Some(_), None) => return Err(InvalidField::new("password", "is missing for the user")),
            (None, Some(_)) => return Err(InvalidField::new("user", "is missing for the password")),
            _ => {}
        }
        if let Some(tls) = &self.tls {
            tls.check()?;
        }
        let config = Config::new(self)?;
        Ok(Client::new(config, Prefix::new(&self.prefix)?))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new(["127.0.0.1:2379"])
    }
}

#[cfg(test)]
mod tests {
    use registry_core::Secret;

    use super::*;

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
        assert_eq!(with(|options| options.handle.ttl = Duration::from_millis(1999)), "ttl");
        assert_eq!(with(|options| options.endpoints.clear()), "endpoints");
        assert_eq!(with(|options| options.prefix = "/kitex".into()), "prefix");
        assert_eq!(with(|options| options.user = Some("me".into())), "password");
        assert_eq!(with(|options| options.password = Some(tiger())), "user");
        assert_eq!(with(|options| options.tls = Some(Tls::new().with_server_name(""))), "server_name");
    }

    #[test]
    fn no_secret_is_shown() {
        let tls = Tls::new().with_ca(tiger()).with_identity(tiger(), tiger());
        let options = Options::new(["h"]).with_user("me", tiger()).with_tls(tls);
        assert!(!format!("{options:?} {:?}", options.client()).contains("tiger"));
    }
}
