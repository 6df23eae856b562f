//! What a connection is made from: checked options, and credentials read from their files.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use registry_core::store::StoreError;
use registry_core::{Address, InvalidField, Material, Secret, Tls, TlsTexts};

use crate::options::Options;

/// etcd's client port.
const DEFAULT_PORT: u16 = 2379;

/// The checked part of [`Options`] that connections are made from.
#[derive(Debug)]
pub(crate) struct Config {
    /// `host:port`, at least one.
    pub(crate) endpoints: Vec<String>,
    pub(crate) connect_timeout: Duration,
    user: Option<(String, Material)>,
    tls: Option<Tls>,
    /// Whether etcd has ever answered a client made from this.
    answered: AtomicBool,
}

/// Who we are and whom we trust, as it stood in options and files at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: Option<(String, Secret)>,
    pub(crate) tls: Option<TlsTexts>,
}

impl Config {
    pub(crate) fn new(options: &Options) -> Result<Self, InvalidField> {
        if options.endpoints.is_empty() {
            return Err(InvalidField::new("endpoints", "are none: give at least one `host:port`"));
        }
        let tls = options.tls.is_some();
        let endpoints = options.endpoints.iter().map(|text| endpoint(text, tls)).collect::<Result<_, _>>()?;
        Ok(Self {
            endpoints,
            // Shorter than an attempt, so that there is time left for the next endpoint.
            connect_timeout: options.handle.attempt_timeout.mul_f64(0.75),
            user: options.user.clone().zip(options.password.clone()),
            tls: options.tls.clone(),
            answered: AtomicBool::new(false),
        })
    }

    /// Credentials and certificates as they are now. Files are small and local, so they are read in place.
    pub(crate) fn credentials(&self) -> Result<Credentials, StoreError> {
        let user = match &self.user {
            Some((user, password)) => Some((user.clone(), password.read_as("password")?)),
            None => None,
        };
        let tls = self.tls.as_ref().map(Tls::read).transpose()?;
        Ok(Credentials { user, tls })
    }

    /// Whether anything could have changed since the last look.
    pub(crate) fn has_files(&self) -> bool {
        self.user.as_ref().is_some_and(|(_, password)| password.is_file())
            || self.tls.as_ref().is_some_and(Tls::has_files)
    }

    /// etcd has answered: the configuration works.
    pub(crate) fn note_answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether etcd has ever answered.
    pub(crate) fn was_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether etcd knows us by a user or a certificate, so that it may permit us less tomorrow.
    pub(crate) fn presents_identity(&self) -> bool {
        self.user.is_some() || self.tls_with_identity() == Some(true)
    }

    /// Whether there is TLS, and then whether we show a certificate.
    pub(crate) fn tls_with_identity(&self) -> Option<bool> {
        self.tls.as_ref().map(|tls| tls.certificate.is_some())
    }

    /// The endpoint of this number, as a URL.
    pub(crate) fn url(&self, number: usize) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.endpoints[number % self.endpoints.len()])
    }
}

/// `host:port` of an endpoint given with or without port, and with or without a scheme, which must then fit.
fn endpoint(text: &str, tls: bool) -> Result<String, InvalidField> {
    let refuse = |offence: &str| Err(InvalidField::new("endpoints", offence));
    let (scheme, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
    match (scheme, tls) {
        (None, _) | (Some("http"), false) | (Some("https"), true) => {}
        (Some("https"), false) => return refuse("hold an `https://` one, but no TLS is configured"),
        (Some("http"), true) => return refuse("hold an `http://` one, but TLS is configured"),
        (Some(_), _) => return refuse("hold one with a scheme other than `http` and `https`"),
    }
    let host_and_port = if Address::tcp(rest).is_ok() { rest.to_owned() } else { format!("{rest}:{DEFAULT_PORT}") };
    match Address::tcp(&host_and_port) {
        Ok(address) => Ok(address.as_str().to_owned()),
        // Not the text itself: somebody may have put a password into it.
        Err(_) => refuse("hold one that is no `host` and no `host:port`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_get_the_default_port_and_ipv6_its_brackets() {
        let ok = |text| endpoint(text, false).unwrap();
        assert_eq!(ok("etcd-1"), "etcd-1:2379");
        assert_eq!(ok("http://10.0.0.1:12379"), "10.0.0.1:12379");
        assert_eq!(ok("[::1]"), "[::1]:2379");
        assert_eq!(endpoint("https://etcd-1", true).unwrap(), "etcd-1:2379");
    }

    #[test]
    fn a_scheme_that_does_not_fit_tls_is_refused() {
        for (text, tls) in [("http://a", true), ("https://a", false), ("ftp://a", false), ("", false), ("a b", false)] {
            assert_eq!(endpoint(text, tls).unwrap_err().field(), "endpoints", "{text:?}");
        }
    }

    #[test]
    fn a_password_in_an_endpoint_is_not_shown() {
        let refused = endpoint("http://user:tiger@host:2379", false).unwrap_err();
        assert!(!refused.to_string().contains("tiger"), "{refused}");
    }
}
