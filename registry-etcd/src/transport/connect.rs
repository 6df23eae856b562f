//! From credentials to a client of one endpoint.

use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, TlsOptions};

use registry_core::TlsTexts;

use crate::config::Credentials;

/// How often an HTTP/2 ping is sent while a stream is open. A server closes connections that ping more often than each 5 s
/// (`--grpc-keepalive-min-time`).
const PING_INTERVAL: Duration = Duration::from_secs(6);
/// How long its answer may take: a frozen server is noticed by that.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// A client of one endpoint: with a user it has authenticated, without it connects at its first request.
///
/// Never of two: its balancer would pick one at random for each request, whether or not it can be reached. And without a request timeout: that would
/// bound the answer's headers only; core drops whatever takes too long.
pub(super) async fn client(url: &str, credentials: &Credentials, timeout: Duration) -> Result<Client, Error> {
    let mut options = ConnectOptions::new()
        .with_keep_alive(PING_INTERVAL, PING_TIMEOUT)
        // A server counts pings while no stream is open, and closes the connection after the third.
        .with_keep_alive_while_idle(false)
        .with_connect_timeout(timeout)
        .with_require_leader(true)
        .with_auto_token_refresh(true);
    if let Some((user, password)) = &credentials.user {
        options = options.with_user(user, password.expose());
    }
    if let Some(texts) = &credentials.tls {
        options = options.with_tls(tls(texts));
    }
    Client::connect([url], Some(options)).await
}

fn tls(texts: &TlsTexts) -> TlsOptions {
    let mut tls = match &texts.ca {
        Some(ca) => TlsOptions::new().ca_certificate(Certificate::from_pem(ca.expose())),
        None => TlsOptions::new().with_native_roots(),
    };
    if let Some((certificate, key)) = &texts.identity {
        tls = tls.identity(Identity::from_pem(certificate.expose(), key.expose()));
    }
    if let Some(name) = &texts.server_name {
        tls = tls.domain_name(name);
    }
    tls
}
