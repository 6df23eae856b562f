//! One connected registry value: the keeper and the watchers of one owner over one store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, ErrorKind, InvalidField, Outcome};
use crate::info::Info;
use crate::keeper::Keeper;
use crate::name::ServiceName;
use crate::registry::Registry;
use crate::resolver::Resolver;
use crate::snapshot::Snapshot;
use crate::status::{HandleStatus, RegistrationStatus};
use crate::store::{Capabilities, Store};
use crate::watch::Watch;
use crate::watcher::{self, Watchers};

/// One connected registry value, over any [`Store`]: [`Registry`] and [`Resolver`] in one, cheap to clone.
///
/// All clones are one owner. Dropping the last clone without [`close`](Registry::close) is a crash (clause R9): nothing keeps running, and
/// the entries expire after their TTL. Watches that are still held then end.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    options: HandleOptions,
    keeper: Keeper,
    watchers: Watchers,
}

/// The timings of a handle. An adapter's own options contain one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandleOptions {
    /// How long an entry outlives an owner that died. Stores round it up, and may grant another one. Default 15 s.
    pub ttl: Duration,
    /// Within what time every call ends. Default 5 s.
    pub operation_timeout: Duration,
    /// Within what time one attempt ends; at most the operation timeout. A `resolve` or a write that was not answered in it is tried again as long as
    /// its call lasts. Default 2 s.
    pub attempt_timeout: Duration,
    /// The longest pause between two attempts. The pauses grow from a fiftieth of it, with full jitter. Default 2 s.
    pub backoff_cap: Duration,
    /// How often all entries are compared with what is wanted, give or take a tenth. Default 30 s.
    pub audit_interval: Duration,
    /// How long removals are held after an outage. `None` (default) is one TTL, and no less than the store needs to find instances alive again: a minute on
    /// Consul.
    pub removal_grace: Option<Duration>,
    /// Whether the handle opens while the store is away. Default `false`.
    pub lazy: bool,
}

/// The least and the most that a timing can be.
pub(crate) const SHORTEST: Duration = Duration::from_millis(10);
pub(crate) const LONGEST: Duration = Duration::from_secs(86_400);

impl HandleOptions {
    /// The defaults, with this TTL.
    pub fn with_ttl(ttl: Duration) -> Self {
        Self { ttl, ..Self::default() }
    }

    /// How long removals are held after an outage of such a store.
    pub(crate) fn grace(&self, capabilities: &Capabilities) -> Duration {
        self.removal_grace.unwrap_or(self.ttl.max(capabilities.least_grace))
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// The option, by the name of its URL key.
    pub fn validate(&self) -> Result<(), InvalidField> {
        let positive = [
            ("ttl", self.ttl),
            ("operation_timeout", self.operation_timeout),
            ("attempt_timeout", self.attempt_timeout),
            ("backoff_cap", self.backoff_cap),
            ("audit_interval", self.audit_interval),
        ];
        for (name, value) in positive {
            if value < SHORTEST || value > LONGEST {
                return Err(InvalidField::new(name, format!("is {value:?}")).with_limit("10 ms to one day"));
            }
        }
        Ok(())
    }
}

impl Default for HandleOptions {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(15),
            operation_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(2),
            backoff_cap: Duration::from_secs(2),
            audit_interval: Duration::from_secs(30),
            removal_grace: None,
            lazy: false,
        }
    }
}

impl Handle {
    /// Opens a handle on `store`, on the runtime that this is called on. With [`HandleOptions::lazy`] it returns at once; otherwise when the first
    /// session stands.
    ///
    /// # Errors
    /// `InvalidInput` for an option out of range; otherwise what kept the first session from standing, within the operation timeout. Nothing is left
    /// running then.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub async fn open(store: Arc<dyn Store>, mut options: HandleOptions) -> Result<Self, Error> {
        options.validate().map_err(|invalid| Error::from(invalid).in_operation("connect"))?;
        // One attempt that hangs must leave a call the time to be answered.
        options.attempt_timeout = options.attempt_timeout.min(options.operation_timeout);
        let keeper = Keeper::spawn(store.clone(), options.clone());
        let watchers = Watchers::new(store.clone(), &options);
        if !options.lazy {
            keeper.connected().await?;
        }
        Ok(Self { inner: Arc::new(Inner { store, options, keeper, watchers }) })
    }

    /// What the store can keep of the contract.
    pub fn capabilities(&self) -> Capabilities {
        self.inner.store.capabilities()
    }

    /// The options that the handle was opened with.
    pub fn options(&self) -> &HandleOptions {
        &self.inner.options
    }
}

#[async_trait]
impl Registry for Handle {
    async fn register(&self, info: &Info) -> Result<(), Error> {
        self.inner.keeper.register(info).await
    }

    async fn deregister(&self, info: &Info) -> Result<(), Error> {
        self.inner.keeper.deregister(info).await
    }

    fn announce(&self, info: &Info) -> Result<(), Error> {
        self.inner.keeper.announce(info)
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.watchers.close();
        self.inner.keeper.close().await
    }

    fn status(&self) -> watch::Receiver<HandleStatus> {
        self.inner.keeper.status()
    }

    fn registration(&self, info: &Info) -> Option<watch::Receiver<RegistrationStatus>> {
        self.inner.keeper.registration(info)
    }

    fn registrations(&self) -> Vec<RegistrationStatus> {
        self.inner.keeper.registrations()
    }

    fn store_endpoints(&self) -> Vec<String> {
        self.inner.store.endpoints()
    }
}

#[async_trait]
impl Resolver for Handle {
    async fn resolve(&self, service: &ServiceName) -> Result<Snapshot, Error> {
        let refused = |invalid| Error::from(invalid).in_operation("resolve");
        self.inner.store.check_service(service).map_err(refused)?;
        if self.inner.watchers.is_closed() {
            return Err(Error::closed("resolve").about(service));
        }
        let HandleOptions { operation_timeout, attempt_timeout, .. } = self.inner.options;
        let deadline = Instant::now() + operation_timeout;
        loop {
            let until = deadline.min(Instant::now() + attempt_timeout);
            let list = watcher::guarded(async { self.inner.store.list(service).await });
            return match timeout_at(until, list).await {
                Ok(Ok(found)) => Ok(watcher::snapshot_of(service, found)),
                // Its connection went with the handle.
                Ok(Err(_)) if self.inner.watchers.is_closed() => Err(Error::closed("resolve").about(service)),
                Ok(Err(error)) => Err(error.into_error("resolve", Outcome::NotApplied).about(service)),
                // Who does not answer, be it one member of several, may be left for another. Asking twice does no harm.
                Err(_) if until < deadline => continue,
                Err(_) => {
                    let silence = format!("no answer within {operation_timeout:?}");
                    Err(Error::new(ErrorKind::TimedOut, "resolve", silence).about(service))
                }
            };
        }
    }

    fn watch(&self, service: &ServiceName) -> Result<Watch, Error> {
        let refused = |invalid| Error::from(invalid).in_operation("watch");
        self.inner.store.check_service(service).map_err(refused)?;
        self.inner.watchers.watch(service)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("options", &self.inner.options).finish_non_exhaustive()
    }
}
