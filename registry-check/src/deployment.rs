//! A deployment as the suite sees it: a harness over a URL.

use std::time::Duration;

use async_trait::async_trait;
use registry_conformance::{ConnectRequest, Harness};
use registry_connect::{Connector, Handle, Url};
use registry_core::store::Capabilities;
use registry_core::{Error, HandleOptions, Secret, ServiceRegistry};

/// The keys that the check sets itself.
const OWN_KEYS: [&str; 7] =
    ["ttl", "operation_timeout", "attempt_timeout", "backoff_cap", "audit_interval", "removal_grace", "lazy"];

/// The store that a URL names. Each namespace is one more element of its path.
pub(crate) struct Deployment {
    /// Up to the path, without a slash at its end.
    base: String,
    /// The query without [`OWN_KEYS`], each key with `&` before it.
    query: String,
    ttl: Duration,
    secrets: Vec<String>,
    capabilities: Capabilities,
}

impl Deployment {
    /// The deployment of `url`, for entries of `ttl` seconds.
    pub(crate) fn new(url: &str, ttl: u64) -> Result<Self, String> {
        let parsed = Url::parse(url).map_err(|error| error.to_string())?;
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let own = |pair: &&str| OWN_KEYS.contains(&pair.split('=').next().unwrap_or_default());
        let query = query.split('&').filter(|pair| !pair.is_empty() && !own(pair));
        if parsed.scheme() == "consul" {
            return Err(
                "Consul keeps no namespaces apart by a path: a check would mix with the services in use".to_owned()
            );
        }
        if parsed.scheme() == "memory" && parsed.hosts().is_empty() {
            return Err(
                "`memory://` without a name is another store each time: give it one, as in `memory://demo`".to_owned()
            );
        }
        let password = parsed.password().map(Secret::expose).map(str::to_owned);
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            query: query.map(|pair| format!("&{pair}")).collect(),
            ttl: Duration::from_secs(ttl),
            secrets: password.into_iter().collect(),
            capabilities: Capabilities::default(),
        })
    }

    /// With what its adapter declared.
    pub(crate) fn with_capabilities(self, capabilities: Capabilities) -> Self {
        Self { capabilities, ..self }
    }

    pub(crate) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Opens a handle on one namespace.
    pub(crate) async fn open(&self, namespace: &str, options: &HandleOptions) -> Result<Handle, Error> {
        Connector::new().connect(&self.url(namespace, options)).await
    }

    fn url(&self, namespace: &str, options: &HandleOptions) -> String {
        let millis = |time: Duration| time.as_millis();
        let timings = [
            ("ttl", options.ttl),
            ("operation_timeout", options.operation_timeout),
            ("attempt_timeout", options.attempt_timeout),
            ("backoff_cap", options.backoff_cap),
            ("audit_interval", options.audit_interval),
        ];
        let timings: String = timings.map(|(key, time)| format!("&{key}={}ms", millis(time))).concat();
        let Self { base, query, .. } = self;
        format!("{base}/registry-check-{namespace}?lazy={}{timings}{query}", options.lazy)
    }
}

#[async_trait]
impl Harness for Deployment {
    fn adapter(&self) -> &str {
        self.base.split("://").next().unwrap_or_default()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn smallest_ttl(&self) -> Duration {
        self.ttl
    }

    async fn connect(&self, request: ConnectRequest) -> Result<Box<dyn ServiceRegistry>, Error> {
        Ok(Box::new(self.open(&request.namespace, &request.options).await?))
    }

    fn secrets(&self) -> Vec<String> {
        self.secrets.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_one_more_element_of_the_path_and_the_checks_own_timings_hold() {
        let deployment = Deployment::new("etcd://u:p@h1,h2:2379/a/?ttl=15s&tls=true", 5).unwrap();
        let url = deployment.url("x", &HandleOptions::with_ttl(Duration::from_secs(5)));
        assert!(url.starts_with("etcd://u:p@h1,h2:2379/a/registry-check-x?lazy=false&ttl=5000ms&"), "{url}");
        assert!(url.ends_with("&tls=true") && !url.contains("15s"), "{url}");
        assert_eq!(deployment.secrets(), ["p"]);
    }

    #[test]
    fn stores_that_cannot_be_kept_apart_are_refused() {
        for url in ["consul://127.0.0.1:8500", "memory://", "nothing"] {
            assert!(Deployment::new(url, 5).is_err(), "{url}");
        }
    }
}
