//! From credentials to a client of the agent.

use std::time::Duration;

use consulrs::client::{ConsulClient, ConsulClientSettings};
use reqwest::redirect::Policy;
use reqwest::{Certificate, ClientBuilder, Identity, tls};

use super::error::Failure;
use crate::config::{Config, Credentials, TlsTexts};

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(30);
/// After how long without data the system asks whether the other side is still there: a waiting query sends nothing by itself.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A client with a connection pool of its own. Nothing is sent.
///
/// HTTP/1.1 alone, TLS by the system's library alone, no proxy, no redirect: what consulrs would choose by itself has known weaknesses, listed in the
/// workspace's `deny.toml`.
pub(super) fn client(config: &Config, credentials: &Credentials) -> Result<ConsulClient, Failure> {
    let builder = reqwest::Client::builder()
        .use_native_tls()
        .http1_only()
        .no_proxy()
        .redirect(Policy::none())
        .gzip(true)
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(IDLE)
        .tcp_keepalive(KEEP_ALIVE)
        .tcp_nodelay(true)
        .user_agent(concat!("registry-consul/", env!("CARGO_PKG_VERSION")));
    let builder = match &credentials.tls {
        Some(texts) => secured(builder, texts)?,
        None => builder.tls_built_in_root_certs(false),
    };
    let http = builder.build().map_err(|error| Failure::of_tls_material(&error))?;
    // Made from parts: consulrs' builder of settings would read the environment, and its `Debug` shows the token.
    let settings = ConsulClientSettings {
        address: config.base.clone(),
        ca_certs: Vec::new(),
        client_cert: None,
        client_key: None,
        token: None,
        verify: true,
        version: 1,
    };
    Ok(ConsulClient { http: rustify::clients::reqwest::Client::new(&config.base, http), settings })
}

fn secured(builder: ClientBuilder, texts: &TlsTexts) -> Result<ClientBuilder, Failure> {
    let mut builder = builder.https_only(true).min_tls_version(tls::Version::TLS_1_2);
    if let Some(ca) = &texts.ca {
        builder = builder.tls_built_in_root_certs(false);
        for pem in certificates(ca.expose()) {
            let certificate =
                Certificate::from_pem(pem.as_bytes()).map_err(|error| Failure::of_tls_material(&error))?;
            builder = builder.add_root_certificate(certificate);
        }
    }
    if let Some((certificate, key)) = &texts.identity {
        let identity = Identity::from_pkcs8_pem(certificate.expose().as_bytes(), key.expose().as_bytes());
        builder = builder.identity(identity.map_err(|error| Failure::of_tls_material(&error))?);
    }
    Ok(builder)
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
