//! From credentials to a client of the agent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use consulrs::client::{ConsulClient, ConsulClientSettings};
use hyper::client::connect::dns::Name;
use native_tls::{Certificate, Identity, Protocol, TlsConnector};
use registry_core::TlsTexts;
use reqwest::dns::{Addrs, Resolve, Resolving};
use reqwest::redirect::Policy;

use super::error::Failure;
use crate::config::{Config, Credentials};

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(30);
/// After how long without data the system asks whether the other side is still there: a waiting query sends nothing by itself.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Makes clients, and the TLS side of them only when it changes: it reads all certificates of the system, which takes tens of milliseconds.
#[derive(Default)]
pub(super) struct Connector {
    tls: Mutex<Option<(TlsTexts, TlsConnector)>>,
}

impl Connector {
    /// A client with a connection pool of its own. Nothing is sent.
    ///
    /// HTTP/1.1 alone, TLS by the system's library alone, no proxy, no redirect: what consulrs would choose by itself has known weaknesses, listed in the
    /// workspace's `deny.toml`.
    pub(super) fn client(&self, config: &Config, credentials: &Credentials) -> Result<ConsulClient, Failure> {
        let mut builder = reqwest::Client::builder()
            .use_preconfigured_tls(self.tls(credentials.tls.as_ref())?)
            .https_only(credentials.tls.is_some())
            .http1_only()
            .no_proxy()
            .redirect(Policy::none())
            .gzip(true)
            .connect_timeout(config.connect_timeout)
            .pool_idle_timeout(IDLE)
            .tcp_keepalive(KEEP_ALIVE)
            .tcp_nodelay(true)
            .user_agent(concat!("registry-consul/", env!("CARGO_PKG_VERSION")));
        if config.requests != config.base {
            builder = builder.dns_resolver(Arc::new(Dialled(config.host.clone())));
        }
        let http = builder.build().map_err(|error| Failure::of_tls_material(&error))?;
        // Made from parts: consulrs' builder of settings would read the environment, and its `Debug` shows the token.
        let settings = ConsulClientSettings {
            address: config.requests.clone(),
            ca_certs: Vec::new(),
            client_cert: None,
            client_key: None,
            token: None,
            verify: true,
            version: 1,
        };
        Ok(ConsulClient { http: rustify::clients::reqwest::Client::new(&config.requests, http), settings })
    }

    fn tls(&self, texts: Option<&TlsTexts>) -> Result<TlsConnector, Failure> {
        let Some(texts) = texts else { return unused() };
        let mut made = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some((known, connector)) if known == texts => Ok(connector.clone()),
            _ => {
                let connector = secured(texts)?;
                *made = Some((texts.clone(), connector.clone()));
                Ok(connector)
            }
        }
    }
}

/// Dials this host, whatever name the certificate must bear. The port stays that of the URL.
struct Dialled(String);

impl Resolve for Dialled {
    fn resolve(&self, _name: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// What the HTTP client wants also where it never speaks TLS: one for all.
fn unused() -> Result<TlsConnector, Failure> {
    static UNUSED: OnceLock<TlsConnector> = OnceLock::new();
    if let Some(connector) = UNUSED.get() {
        return Ok(connector.clone());
    }
    let connector = TlsConnector::builder().disable_built_in_roots(true).build();
    let connector = connector.map_err(|error| Failure::of_tls_material(&error))?;
    Ok(UNUSED.get_or_init(|| connector).clone())
}

fn secured(texts: &TlsTexts) -> Result<TlsConnector, Failure> {
    let refused = |error: native_tls::Error| Failure::of_tls_material(&error);
    let mut builder = TlsConnector::builder();
    builder.min_protocol_version(Some(Protocol::Tlsv12));
    if let Some(ca) = &texts.ca {
        builder.disable_built_in_roots(true);
        for pem in certificates(ca.expose()) {
            builder.add_root_certificate(Certificate::from_pem(pem.as_bytes()).map_err(refused)?);
        }
    }
    if let Some((certificate, key)) = &texts.identity {
        builder
            .identity(Identity::from_pkcs8(certificate.expose().as_bytes(), key.expose().as_bytes()).map_err(refused)?);
    }
    builder.build().map_err(refused)
}

/// Each certificate of a bundle by itself: the library takes the first of a text alone.
fn certificates(text: &str) -> impl Iterator<Item = &str> {
    const BEGIN: &str = "-----BEGIN ";
    text.match_indices(BEGIN).map(|(start, _)| {
        let end = text[start + BEGIN.len()..].find(BEGIN).map_or(text.len(), |next| start + BEGIN.len() + next);
        &text[start..end]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_taken_apart() {
        let one = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let two = "-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n";
        let bundle = format!("a comment\n{one}# another\n{two}");
        let parts: Vec<&str> = certificates(&bundle).collect();
        assert_eq!(parts, [format!("{one}# another\n"), two.to_owned()]);
    }
}
