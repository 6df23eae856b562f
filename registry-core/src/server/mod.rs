#![doc = include_str!("../../docs/server.md")]

mod advertise;
mod basic_info;
mod choice;
mod cycle;
mod environment;
mod error;
mod fill;
mod listen;
mod probe;
mod readiness;
mod route;
mod signals;
mod stop;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use self::basic_info::ServerBasicInfo;
pub use self::environment::{IP_TO_REGISTRY, PORT_TO_REGISTRY};
pub use self::error::RunError;
pub use self::listen::{ListenAddr, Listening};
pub use self::readiness::{NotReadyToServe, Readiness};
pub use self::stop::{Stop, Stopper};

use self::advertise::Overrides;
use self::cycle::{Accepting, Cycle, Policy};
use self::environment::Environment;
use self::signals::Signals;
use crate::address::Address;
use crate::error::InvalidField;
use crate::info::{Info, InfoBuilder};
use crate::registry::Registry;

/// How long a server goes on serving after it was withdrawn: Go Kitex clients refresh what they know every 5 s.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(7);

/// How long requests may take to finish after the word to stop.
pub const DEFAULT_REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// The life of one server: registered when it accepts, withdrawn before it stops, whatever ends it (clauses S1 to S4).
///
/// The [module](self) says how it goes, field by field and step by step.
#[must_use = "a server does nothing before `run`"]
pub struct Server {
    registry: Option<Arc<dyn Registry>>,
    services: Vec<(ServerBasicInfo, InfoBuilder)>,
    listening: Option<io::Result<ListenAddr>>,
    ready: Option<Accepting>,
    overrides: Overrides,
    readiness: Readiness,
    stopper: Stopper,
    signals: bool,
    policy: Policy,
}

impl Server {
    /// A server of which nothing is known yet.
    pub fn new() -> Self {
        Self {
            registry: None,
            services: vec![Default::default()],
            listening: None,
            ready: None,
            overrides: Overrides::default(),
            readiness: Readiness::new(None),
            stopper: Stopper::new(),
            signals: true,
            policy: Policy {
                announce: false,
                drain: DEFAULT_DRAIN,
                request_limit: DEFAULT_REQUEST_LIMIT,
                close_registry: true,
            },
        }
    }

    /// The registry to publish in: any handle, or an `Arc` of one that others use, too. It is closed at the end, unless
    /// [`keep_registry_open`](Self::keep_registry_open).
    pub fn with_registry(mut self, registry: impl Registry + 'static) -> Self {
        let registry: Arc<dyn Registry> = Arc::new(registry);
        self.readiness = Readiness::new(Some(registry.clone()));
        self.registry = Some(registry);
        self
    }

    /// What the server is: service name, tags, payload codec.
    pub fn with_server_basic_info(mut self, basic: ServerBasicInfo) -> Self {
        self.services[0].0 = basic;
        self
    }

    /// What to register, as far as it is not to be filled: an [`InfoBuilder`] with some fields, or a whole [`Info`].
    pub fn with_registry_info(mut self, info: impl Into<InfoBuilder>) -> Self {
        self.services[0].1 = info.into();
        self
    }

    /// One more service on the same listener, filled as the first one is.
    pub fn with_another_service(mut self, basic: ServerBasicInfo, info: impl Into<InfoBuilder>) -> Self {
        self.services.push((basic, info.into()));
        self
    }

    /// Registers the address of the registry info as it is, rather than the listener's (S1). The same as
    /// [`InfoBuilder::skip_listen_addr`] on the first service's info.
    pub fn skip_listen_addr(mut self) -> Self {
        self.services[0].1.skip_listen_addr = true;
        self
    }

    /// The bound listener, or the address that it was bound to: a TCP or unix listener of tokio or std, a `SocketAddr`, or a [`ListenAddr`].
    pub fn with_listener(mut self, listener: &(impl Listening + ?Sized)) -> Self {
        self.listening = Some(listener.listen_addr());
        self
    }

    /// The host to register, whatever the listener's is: an IP address or a host name, which stays one. It goes before `KITEX_IP_TO_REGISTRY`.
    pub fn with_advertised_host(mut self, host: impl Into<String>) -> Self {
        self.overrides.host = Some(host.into());
        self
    }

    /// The port to register, whatever the listener's is. It goes before `KITEX_PORT_TO_REGISTRY`.
    pub fn with_advertised_port(mut self, port: u16) -> Self {
        self.overrides.port = Some(port);
        self
    }

    /// Takes the server for accepting when this future ends, instead of probing the listener: for servers that warm caches first.
    pub fn ready_when(mut self, ready: impl Future<Output = ()> + Send + 'static) -> Self {
        self.ready = Some(Accepting::Told(Box::pin(ready)));
        self
    }

    /// Serves also while the registry is away or refuses: the server is announced rather than registered, and published when the store answers (R10).
    /// Open the handle lazily for this, too. Without it a failing registration stops the server.
    pub fn serve_without_registry(mut self) -> Self {
        self.policy.announce = true;
        self
    }

    /// How long the server goes on serving after it was withdrawn, so that clients have heard of it. Default [`DEFAULT_DRAIN`]; zero for none.
    pub fn with_drain(mut self, drain: Duration) -> Self {
        self.policy.drain = drain;
        self
    }

    /// How long requests may take to finish after the word to stop. Default [`DEFAULT_REQUEST_LIMIT`].
    pub fn with_request_limit(mut self, limit: Duration) -> Self {
        self.policy.request_limit = limit;
        self
    }

    /// Leaves SIGTERM and SIGINT to the caller, who then stops the server through [`stopper`](Self::stopper).
    pub fn leave_signals_alone(mut self) -> Self {
        self.signals = false;
        self
    }

    /// Leaves the registry open at the end, for a program that uses it elsewhere.
    pub fn keep_registry_open(mut self) -> Self {
        self.policy.close_registry = false;
        self
    }

    /// The caller's own way to stop the server.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Tells whether the server is ready. Take it after [`with_registry`](Self::with_registry).
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Runs the server that `serve` makes, and returns its result when it has ended. `serve` gets a future that ends when the server is to stop
    /// accepting and to finish its requests.
    ///
    /// The server is polled in place, beside the life cycle: it may borrow and need not be `Send`.
    ///
    /// # Errors
    /// [`RunError`]. A failing withdrawal is no error: it is logged, and the server stops all the same.
    ///
    /// # Panics
    /// With the server's own panic, after it was withdrawn. When polled outside a tokio runtime with time and I/O enabled.
    ///
    /// # Cancel safety
    /// Dropping the future is a crash of the server: it stops at once, and the registrations are the registry's to keep or to let expire.
    pub async fn run<S, F, T>(mut self, serve: S) -> Result<T, RunError>
    where
        S: FnOnce(Stop) -> F,
        F: Future<Output = T>,
    {
        // Before anything else, so that a signal that comes early is not lost.
        let signals = Signals::listen(self.signals).map_err(RunError::Signals)?;
        self.overrides.environment = Environment::read()?;
        let missing = |field, offence| RunError::Invalid(InvalidField::new(field, offence));
        let registry = self.registry.take().ok_or_else(|| missing("registry", "is missing: call `with_registry`"))?;
        let listening = self.listening.take().transpose().map_err(RunError::Listener)?;
        let advertised = match &listening {
            Some(listening) if !self.skips_listener() => {
                let endpoints = registry.store_endpoints();
                Some(advertise::advertised(listening, &self.overrides, &endpoints).await?)
            }
            _ => None,
        };
        let infos = self.infos(advertised.as_ref().map(|advertised| &advertised.address))?;
        let probe = advertised.map(|advertised| advertised.probe).or(listening);
        let accepting = match (self.ready.take(), probe) {
            (Some(told), _) => told,
            (None, Some(probe)) => Accepting::Probed(probe),
            (None, None) => return Err(missing("listener", "is missing: give it, or say when the server is ready")),
        };
        let Self { readiness, stopper: asked, policy, .. } = self;
        Cycle { registry, infos, accepting, readiness, asked, signals, policy }.run(serve).await
    }

    /// Whether every service brings its own address, so that there is nothing to choose.
    fn skips_listener(&self) -> bool {
        self.services.iter().all(|(_, info)| info.skip_listen_addr)
    }

    /// What is registered for each service.
    fn infos(&self, address: Option<&Address>) -> Result<Vec<Info>, InvalidField> {
        let named = self.overrides.host.is_some() || self.overrides.port.is_some();
        if named && self.services.iter().any(|(_, info)| info.skip_listen_addr) {
            let offence = "contradicts an advertised host or port: give one of the two";
            return Err(InvalidField::new("skip_listen_addr", offence));
        }
        let now = SystemTime::now();
        self.services.iter().map(|(basic, info)| fill::filled(info, basic, address, now)).collect()
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("services", &self.services)
            .field("listening", &self.listening)
            .field("overrides", &self.overrides)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
