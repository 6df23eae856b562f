//! A deployment as the suite sees it: a harness over a URL.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use registry_conformance::{ConnectRequest, Harness};
use registry_connect::{Connector, Handle, OPTIONS, Url, ValueKind};
#[cfg(feature = "zookeeper")]
use registry_core::ErrorKind;
use registry_core::store::Capabilities;
use registry_core::{Error, HandleOptions, InvalidField, Registry as _, Secret, ServiceRegistry};

use crate::ledger::{Ledger, Recorded};

/// The keys that the check sets itself.
const OWN_KEYS: [&str; 7] =
    ["ttl", "operation_timeout", "attempt_timeout", "backoff_cap", "audit_interval", "removal_grace", "lazy"];

/// The store that a URL names. Each namespace is one more element of its path; on Consul, which has none, the beginning of the services' names.
pub(crate) struct Deployment {
    scheme: String,
    /// Up to the path, without a slash at its end.
    base: String,
    /// The query without [`OWN_KEYS`], each key with `&` before it.
    query: String,
    ttl: Duration,
    secrets: Vec<String>,
    capabilities: Capabilities,
    ledger: Arc<Ledger>,
}

impl Deployment {
    /// The deployment of `url`, for entries of `ttl` seconds.
    pub(crate) fn new(url: &str, ttl: u64) -> Result<Self, String> {
        let parsed = Url::parse(url).map_err(|error| error.to_string())?;
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let own = |pair: &&str| OWN_KEYS.contains(&pair.split('=').next().unwrap_or_default());
        let query = query.split('&').filter(|pair| !pair.is_empty() && !own(pair));
        if parsed.scheme() == "memory" && parsed.hosts().is_empty() {
            return Err(
                "`memory://` without a name is another store each time: give it one, as in `memory://demo`".to_owned()
            );
        }
        Ok(Self {
            scheme: parsed.scheme().to_owned(),
            base: base.trim_end_matches('/').to_owned() + &default_path(&parsed),
            query: query.map(|pair| format!("&{pair}")).collect(),
            ttl: Duration::from_secs(ttl),
            secrets: secrets(&parsed),
            capabilities: Capabilities::default(),
            ledger: Arc::default(),
        })
    }

    /// With what its adapter declared.
    pub(crate) fn with_capabilities(self, capabilities: Capabilities) -> Self {
        Self { capabilities, ..self }
    }

    pub(crate) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Opens a handle on one namespace, whose registrations are withdrawn by [`clean`](Self::clean) at the latest.
    pub(crate) async fn open(&self, request: &ConnectRequest) -> Result<Recorded, Error> {
        let namespace = request.namespace.clone();
        let inner = self.connect_to(&namespace, &request.options).await?;
        self.ledger.open(&namespace);
        Ok(Recorded { inner, ledger: self.ledger.clone(), namespace, handle: request.handle })
    }

    /// Removes what is left of all namespaces, within the time that the entries of dead owners live.
    ///
    /// # Errors
    /// One line: what could not be removed.
    pub(crate) async fn clean_all(&self) -> Result<(), String> {
        let deadline = Instant::now() + self.ttl * 2 + Duration::from_secs(2);
        loop {
            let mut failed = None;
            for namespace in self.ledger.namespaces() {
                failed = self.clean(&namespace).await.err().or(failed);
            }
            match failed {
                None => return Ok(()),
                Some(error) if Instant::now() > deadline => {
                    return Err(format!("entries of the check are left behind: {error}").replace('\n', " "));
                }
                Some(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }

    /// Removes what can be removed at once.
    pub(crate) async fn clean_once(&self) {
        for namespace in self.ledger.namespaces() {
            // The entries bear the check's TTL.
            let _ = self.clean(&namespace).await;
        }
    }

    /// Takes over what crashed owners left in a namespace, and withdraws it.
    async fn clean(&self, namespace: &str) -> Result<(), Error> {
        let Some(left) = self.ledger.of(namespace) else { return Ok(()) };
        if !left.is_empty() {
            let mut options = HandleOptions::with_ttl(self.ttl);
            options.lazy = false;
            let sweeper = self.connect_to(namespace, &options).await?;
            let taken = join_all(left.iter().map(|info| sweeper.register(info))).await;
            sweeper.close().await?;
            // What the store refuses as input was never there.
            let failed = taken.into_iter().filter_map(Result::err).find(|error| error.invalid_field().is_none());
            failed.map_or(Ok(()), Err)?;
        }
        self.remove_folders(namespace).await?;
        self.ledger.clean(namespace);
        Ok(())
    }

    /// Removes what stands for no instance: ZooKeeper's nodes of services, which no session takes with it.
    #[cfg(feature = "zookeeper")]
    async fn remove_folders(&self, namespace: &str) -> Result<(), Error> {
        if self.scheme != "zookeeper" {
            return Ok(());
        }
        let url = Url::parse(&self.url(namespace, &HandleOptions::with_ttl(self.ttl)))?;
        let settings = registry_connect::Settings::new(url, &[])?;
        let client = registry_connect::zookeeper_options(&settings)?.client()?;
        match tokio::time::timeout(HandleOptions::default().operation_timeout, client.prune()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Error::new(ErrorKind::Other, "prune", "an instance still stands")),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::new(ErrorKind::TimedOut, "prune", "ZooKeeper does not answer")),
        }
    }

    #[cfg(not(feature = "zookeeper"))]
    #[allow(clippy::unused_async, reason = "as with ZooKeeper")]
    async fn remove_folders(&self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn connect_to(&self, namespace: &str, options: &HandleOptions) -> Result<Handle, Error> {
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
        let timings = timings.into_iter().chain(options.removal_grace.map(|grace| ("removal_grace", grace)));
        let timings: String = timings.map(|(key, time)| format!("&{key}={}ms", millis(time))).collect();
        let Self { base, query, .. } = self;
        let folder = if self.has_namespaces() { format!("/registry-check-{namespace}") } else { String::new() };
        format!("{base}{folder}?lazy={}{timings}{query}", options.lazy)
    }

    fn has_namespaces(&self) -> bool {
        self.scheme != "consul"
    }
}

/// The path that a URL without one stands for, where that is not the top of the store.
fn default_path(url: &Url) -> String {
    match (url.scheme(), url.path()) {
        #[cfg(feature = "etcd")]
        ("etcd", "" | "/") => format!("/{}", registry_connect::etcd::DEFAULT_PREFIX),
        _ => String::new(),
    }
}

/// The secrets that a URL has, or names the files of.
fn secrets(url: &Url) -> Vec<String> {
    let mut secrets: Vec<String> = url.password().map(Secret::expose).map(str::to_owned).into_iter().collect();
    for (key, value) in url.query() {
        let is_secret = |name: &str| OPTIONS.iter().any(|o| o.key == name && o.value == ValueKind::Secret);
        if is_secret(key) {
            secrets.push(value.expose().to_owned());
        } else if key.strip_suffix("_file").is_some_and(is_secret) {
            // A file that cannot be read is what connecting complains of.
            secrets.extend(std::fs::read_to_string(value.expose()).map(|text| text.trim_end().to_owned()));
        }
    }
    secrets
}

#[async_trait]
impl Harness for Deployment {
    fn adapter(&self) -> &str {
        &self.scheme
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn smallest_ttl(&self) -> Duration {
        self.ttl
    }

    async fn connect(&self, request: ConnectRequest) -> Result<Box<dyn ServiceRegistry>, Error> {
        if !self.has_namespaces() && request.namespace.ends_with("-b") {
            let refused = InvalidField::new("namespace", "is another one, and the store has none");
            return Err(Error::from(refused).in_operation("connect"));
        }
        Ok(Box::new(self.open(&request).await?))
    }

    fn name_prefix(&self, namespace: &str) -> String {
        if self.has_namespaces() { String::new() } else { format!("registry-check-{namespace}-") }
    }

    fn secrets(&self) -> Vec<String> {
        self.secrets.clone()
    }

    async fn finish(&self, namespace: &str) {
        for namespace in [namespace.to_owned(), format!("{namespace}-b")] {
            // What fails here is tried again at the end, where it is told.
            let _ = self.clean(&namespace).await;
        }
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
    fn on_consul_a_namespace_is_the_beginning_of_the_names() {
        let deployment = Deployment::new("consul://h:8500?token=t0p", 5).unwrap();
        let url = deployment.url("x", &HandleOptions::with_ttl(Duration::from_secs(5)));
        assert!(url.starts_with("consul://h:8500?lazy=false&"), "{url}");
        assert_eq!(deployment.name_prefix("x"), "registry-check-x-");
        assert_eq!(deployment.secrets(), ["t0p"]);
    }

    #[test]
    fn what_names_no_store_is_refused() {
        for url in ["memory://", "nothing"] {
            assert!(Deployment::new(url, 5).is_err(), "{url}");
        }
    }
}
