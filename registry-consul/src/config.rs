//! What a connection is made from: checked options, and credentials read from their files.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use registry_core::store::StoreError;
use registry_core::{Address, ErrorKind, InvalidField, Material, Secret, Tls, TlsTexts};

use crate::check::Check;
use crate::options::{Consistency, Options};

/// The port of Consul's HTTP interface.
const DEFAULT_PORT: u16 = 8500;
/// The port that its documentation gives to HTTPS.
const DEFAULT_TLS_PORT: u16 = 8501;

/// The checked part of [`Options`].
#[derive(Debug)]
pub(crate) struct Config {
    /// The agent's URL, without a slash at its end.
    pub(crate) base: String,
    /// The URL that all paths are appended to: the same, with the name that the certificate must bear where the caller gave one.
    pub(crate) requests: String,
    /// The host that is dialled, without brackets.
    pub(crate) host: String,
    /// Where the agent is dialled.
    pub(crate) host_and_port: String,
    pub(crate) datacenter: Option<String>,
    pub(crate) consistency: Consistency,
    pub(crate) wait: Duration,
    pub(crate) check: Check,
    pub(crate) deregister_after: Duration,
    pub(crate) connect_timeout: Duration,
    /// The longest that any request but a waiting one takes; core ends most of them sooner.
    pub(crate) request_timeout: Duration,
    token: Option<Material>,
    tls: Option<Tls>,
    /// Whether Consul has ever answered a client made from this.
    answered: AtomicBool,
}

/// Who we are and whom we trust, as it stood in options and files at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) token: Option<Secret>,
    pub(crate) tls: Option<TlsTexts>,
}

impl Config {
    pub(crate) fn new(options: &Options) -> Result<Self, InvalidField> {
        let (base, host_and_port, tls) = base(&options.address, options.tls.as_ref())?;
        let (host, port) = host_and_port.rsplit_once(':').unwrap_or((&host_and_port, ""));
        let requests = match tls.as_ref().and_then(|tls| tls.server_name.as_ref()) {
            Some(name) => base.replacen(&host_and_port, &format!("{name}:{port}"), 1),
            None => base.clone(),
        };
        Ok(Self {
            base,
            requests,
            host: host.trim_matches(['[', ']']).to_owned(),
            host_and_port,
            datacenter: options.datacenter.clone(),
            consistency: options.consistency,
            wait: options.wait,
            check: options.check.clone(),
            deregister_after: options.deregister_after,
            connect_timeout: options.handle.attempt_timeout,
            request_timeout: options.handle.operation_timeout.max(options.handle.ttl / 3),
            token: options.token.clone(),
            tls,
            answered: AtomicBool::new(false),
        })
    }

    /// Token and certificates as they are now. Files are small and local, so they are read in place.
    pub(crate) fn credentials(&self) -> Result<Credentials, StoreError> {
        let token = self.token.as_ref().map(token).transpose()?;
        let tls = self.tls.as_ref().map(Tls::read).transpose()?;
        Ok(Credentials { token, tls })
    }

    /// Whether anything could have changed since the last look.
    pub(crate) fn has_files(&self) -> bool {
        self.token.as_ref().is_some_and(Material::is_file) || self.tls.as_ref().is_some_and(Tls::has_files)
    }

    /// Whether Consul knows us by a token.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Consul has answered: the configuration works.
    pub(crate) fn note_answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether Consul has ever answered.
    pub(crate) fn was_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether there is TLS, and then whether we show a certificate.
    pub(crate) fn tls_with_identity(&self) -> Option<bool> {
        self.tls.as_ref().map(|tls| tls.certificate.is_some())
    }
}

/// The base URL of an address given with or without scheme, port and path, where that is dialled, and the TLS that goes with it.
fn base(text: &str, tls: Option<&Tls>) -> Result<(String, String, Option<Tls>), InvalidField> {
    let refuse = |offence: &str| Err(InvalidField::new("address", offence));
    let (scheme, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
    let tls = match (scheme, tls) {
        (None, tls) | (Some("https"), tls @ Some(_)) => tls.cloned(),
        (Some("http"), None) => None,
        (Some("https"), None) => Some(Tls::new()),
        (Some("http"), Some(_)) => return refuse("has the scheme `http`, but TLS is configured"),
        (Some(_), _) => return refuse("has a scheme other than `http` and `https`"),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let port = if tls.is_some() { DEFAULT_TLS_PORT } else { DEFAULT_PORT };
    let host_and_port = if Address::tcp(host).is_ok() { host.to_owned() } else { format!("{host}:{port}") };
    // Not the text itself: somebody may have put a token into it.
    let Ok(host_and_port) = Address::tcp(&host_and_port) else {
        return refuse("is no `host`, no `host:port` and no URL of one");
    };
    let path = path.trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '/');
    let dots = |part: &str| matches!(part, "" | "." | "..");
    if !path.chars().all(plain) || (!path.is_empty() && path.split('/').any(dots)) {
        return Err(InvalidField::new("address", "has a base path that is none")
            .with_limit("letters, digits, `-`, `.`, `_` and `~` between single slashes"));
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    let slash = if path.is_empty() { "" } else { "/" };
    Ok((format!("{scheme}://{host_and_port}{slash}{path}"), host_and_port.to_string(), tls))
}

fn token(material: &Material) -> Result<Secret, StoreError> {
    let text = material.read_as("ACL token")?;
    let trimmed = text.expose().trim();
    let refuse = |why: &str| Err(StoreError::new(ErrorKind::Misconfigured, format!("the ACL token {why}")));
    if trimmed.is_empty() {
        return refuse("is empty: leave it out for a Consul without ACLs");
    }
    if !trimmed.bytes().all(|b| b.is_ascii_graphic()) {
        return refuse("has spaces, or characters that no token has");
    }
    Ok(Secret::new(trimmed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_what_it_leaves_out() {
        let plain = |text| base(text, None).unwrap().0;
        let secured = |text| base(text, Some(&Tls::new())).unwrap().0;
        assert_eq!(plain("consul-1"), "http://consul-1:8500");
        assert_eq!(plain("http://10.0.0.1:18500/"), "http://10.0.0.1:18500");
        assert_eq!(plain("[::1]"), "http://[::1]:8500");
        assert_eq!(plain("h:1/a/b/"), "http://h:1/a/b");
        assert_eq!(secured("h"), "https://h:8501");
        assert_eq!(secured("https://h:1/a"), "https://h:1/a");
    }

    #[test]
    fn https_is_tls_also_without_options_for_it() {
        let (base, endpoint, tls) = base("https://h", None).unwrap();
        assert_eq!((base.as_str(), endpoint.as_str(), tls), ("https://h:8501", "h:8501", Some(Tls::new())));
    }

    #[test]
    fn a_name_for_the_certificate_stands_in_requests_and_is_not_dialled() {
        let options = Options::new("[::1]:18501/base").with_tls(Tls::new().with_server_name("consul.test"));
        let config = Config::new(&options).unwrap();
        assert_eq!((config.base.as_str(), config.host.as_str()), ("https://[::1]:18501/base", "::1"));
        assert_eq!(config.requests, "https://consul.test:18501/base");
    }

    #[test]
    fn an_address_that_cannot_work_is_refused() {
        for text in ["", "ftp://a", "a b", "h/a b", "h/../v1", "h//x", "h/%2e", "h?dc=1", "http://u:tiger@h:1"] {
            let refused = base(text, None).unwrap_err();
            assert_eq!(refused.field(), "address", "{text:?}");
            assert!(!refused.to_string().contains("tiger"), "{refused}");
        }
        assert_eq!(base("http://h", Some(&Tls::new())).unwrap_err().field(), "address");
    }

    #[test]
    fn a_token_is_trimmed_and_a_broken_one_is_not_shown() {
        let read = |text: &str| token(&Material::Inline(Secret::new(text)));
        assert_eq!(read(" tiger\r\n").unwrap().expose(), "tiger");
        for text in ["", " \n", "ti\nger", "ti ger", "tigér"] {
            let error = read(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{text:?}");
            assert!(!error.message().contains("ti"), "{error}");
        }
    }
}
