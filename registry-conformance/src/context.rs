//! What a case works with.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use registry_core::store::Capabilities;
use registry_core::{Change, Error, Info, InfoBuilder, ServiceName, ServiceRegistry, Snapshot, Watch};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::harness::{ConnectRequest, Credentials, HandleId, Harness};
use crate::hooks::{HookError, Hooks};
use crate::timing::Timing;
use crate::waits::{Wait, Waits};

/// What a case works with: handles, names that nobody else uses, the clock, and the hooks.
pub struct Context {
    harness: Arc<dyn Harness>,
    hooks: Option<Arc<dyn Hooks>>,
    namespace: String,
    timing: Timing,
    started: Instant,
    handles: Cell<u32>,
    services: Cell<u32>,
    addresses: Cell<u16>,
    notes: RefCell<Vec<(Duration, String)>>,
    waits: Waits,
}

/// One handle of a case: an owner.
pub struct Owner {
    id: HandleId,
    registry: Box<dyn ServiceRegistry>,
}

impl Owner {
    /// By which the hooks name it.
    pub fn id(&self) -> HandleId {
        self.id
    }

    /// Drops the handle without `close`, which is a crash (R9).
    pub fn crash(self) {
        drop(self);
    }

    /// The handle itself, to be moved to another thread or runtime.
    pub fn into_registry(self) -> Box<dyn ServiceRegistry> {
        self.registry
    }
}

impl Deref for Owner {
    type Target = dyn ServiceRegistry;

    fn deref(&self) -> &Self::Target {
        &*self.registry
    }
}

impl Context {
    pub(crate) fn new(harness: Arc<dyn Harness>, namespace: &str, timing: Timing) -> Self {
        Self {
            hooks: harness.hooks(namespace),
            harness,
            namespace: namespace.to_owned(),
            timing,
            started: Instant::now(),
            handles: Cell::new(0),
            services: Cell::new(0),
            addresses: Cell::new(0),
            notes: RefCell::default(),
            waits: Waits::default(),
        }
    }

    /// Every wait of a case derives from this.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// What the adapter declared.
    pub fn capabilities(&self) -> Capabilities {
        self.harness.capabilities()
    }

    /// Opens a handle on another runtime, which the harness is called on.
    ///
    /// # Errors
    /// What `connect` returned.
    pub(crate) fn opener(
        &self,
        request: ConnectRequest,
    ) -> impl Future<Output = Result<Box<dyn ServiceRegistry>, Error>> + Send + 'static {
        let harness = self.harness.clone();
        async move { harness.connect(request).await }
    }

    /// Whether this case's waits cost no real time.
    pub fn is_virtual(&self) -> bool {
        self.harness.virtual_time()
    }

    /// What must never be shown.
    pub fn secrets(&self) -> Vec<String> {
        self.harness.secrets()
    }

    /// The namespace of this case.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The hooks. Those that the case says to need are offered.
    ///
    /// # Errors
    /// When the harness has none, which a case that names its hooks does not meet.
    pub fn hooks(&self) -> Result<&dyn Hooks, Failure> {
        self.hooks.as_deref().ok_or_else(|| HookError("the harness has no hooks".to_owned()).into())
    }

    /// Another handle on the namespace of this case.
    ///
    /// # Errors
    /// When it cannot be opened: without it the case says nothing about the adapter.
    pub async fn connect(&self) -> Result<Owner, Failure> {
        let owner = self.open(self.request()).await;
        owner.map_err(|error| Failure::bench(format!("a handle could not be opened: {error}")))
    }

    /// Another handle, opened with a changed request; the error is the case's to judge.
    ///
    /// # Errors
    /// What `connect` returned.
    pub async fn open(&self, request: ConnectRequest) -> Result<Owner, Error> {
        let id = request.handle;
        let opened = self.harness.connect(request).await;
        self.note(format_args!("handle {} {}", id.0, outcome("is open", opened.as_ref().err())));
        Ok(Owner { id, registry: opened? })
    }

    /// The request for the next handle.
    pub fn request(&self) -> ConnectRequest {
        let id = HandleId(self.handles.replace(self.handles.get() + 1));
        ConnectRequest::of(&self.namespace, id, self.timing.options())
    }

    /// The request for the next handle, on another namespace than this case's.
    pub fn request_elsewhere(&self) -> ConnectRequest {
        ConnectRequest { namespace: format!("{}-b", self.namespace), ..self.request() }
    }

    /// The request for the next handle, with credentials that the store refuses.
    pub fn request_with_bad_credentials(&self) -> ConnectRequest {
        ConnectRequest { credentials: Credentials::Bad, ..self.request() }
    }

    /// A service name that no other call returned.
    pub fn service(&self) -> ServiceName {
        let number = self.services.replace(self.services.get() + 1);
        let prefix = self.harness.name_prefix(&self.namespace);
        ServiceName::new(format!("{prefix}service-{number}"))
            .expect("invariant: letters, digits and a hyphen are a service name")
    }

    /// A plain instance of the service, at an address that no other call returned.
    pub fn info(&self, service: &ServiceName) -> Info {
        self.builder(service).build().expect("invariant: the builder is complete")
    }

    /// The builder of [`info`](Self::info), to add fields.
    pub fn builder(&self, service: &ServiceName) -> InfoBuilder {
        let number = self.addresses.replace(self.addresses.get().wrapping_add(1));
        let [high, low] = number.to_be_bytes();
        Info::builder(service.as_str()).address(format!("10.1.{high}.{low}:8888").as_str())
    }

    /// `register`, noted.
    ///
    /// # Errors
    /// As `register`.
    pub async fn register(&self, owner: &Owner, info: &Info) -> Result<(), Error> {
        self.noted(owner, "register", info, owner.register(info)).await
    }

    /// `deregister`, noted.
    ///
    /// # Errors
    /// As `deregister`.
    pub async fn deregister(&self, owner: &Owner, info: &Info) -> Result<(), Error> {
        self.noted(owner, "deregister", info, owner.deregister(info)).await
    }

    /// `close`, noted.
    ///
    /// # Errors
    /// As `close`.
    pub async fn close(&self, owner: &Owner) -> Result<(), Error> {
        self.noted(owner, "close", "", owner.close()).await
    }

    /// Remembers what happened now; a failure shows it.
    pub fn note(&self, what: impl Display) {
        self.notes.borrow_mut().push((self.elapsed(), what.to_string()));
    }

    /// Time since the case began, on its clock.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Lets time pass.
    pub async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Looks again and again until `look` is satisfied; its error is what was seen instead.
    ///
    /// # Errors
    /// A broken promise, when it is not satisfied `within` this time.
    pub async fn eventually<T>(
        &self,
        within: Duration,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<T, String>,
    ) -> Result<T, Failure> {
        let (began, deadline) = (self.elapsed(), Instant::now() + within);
        let mut seen = "no answer".to_owned();
        loop {
            match tokio::time::timeout_at(deadline, look()).await {
                Ok(Ok(value)) => {
                    self.waits.add(what, within, self.elapsed().saturating_sub(began));
                    return Ok(value);
                }
                Ok(Err(other)) => seen = other,
                Err(_) => {}
            }
            if Instant::now() >= deadline {
                let (began, now) = (began.as_secs_f64(), self.elapsed().as_secs_f64());
                return Err(Failure::broken(format!(
                    "expected within {within:?}: {what}; seen from {began:.3} s to {now:.3} s, at last: {seen}"
                )));
            }
            tokio::time::sleep(self.timing.look()).await;
        }
    }

    /// Looks again and again for this time, and is content when `look` always is.
    ///
    /// # Errors
    /// A broken promise, at the first look that is not satisfied.
    pub async fn throughout(
        &self,
        time: Duration,
        what: &str,
        look: impl AsyncFnMut() -> Result<(), String>,
    ) -> Result<(), Failure> {
        self.during(what, tokio::time::sleep(time), look).await
    }

    /// Looks again and again while `action` runs, and once after it; returns its value.
    ///
    /// # Errors
    /// A broken promise, at the first look that is not satisfied.
    pub async fn during<T>(
        &self,
        what: &str,
        action: impl Future<Output = T>,
        mut look: impl AsyncFnMut() -> Result<(), String>,
    ) -> Result<T, Failure> {
        let broken = |seen: String| {
            let now = self.elapsed().as_secs_f64();
            Failure::broken(format!("expected all the while: {what}; seen at {now:.3} s: {seen}"))
        };
        let looking = async {
            loop {
                if let Err(seen) = look().await {
                    return seen;
                }
                next_step(self.timing.look()).await;
            }
        };
        let value = tokio::select! {
            biased;
            seen = looking => return Err(broken(seen)),
            value = action => value,
        };
        look().await.map_err(broken)?;
        Ok(value)
    }

    /// The next change of a watch.
    ///
    /// # Errors
    /// A broken promise, when there is none `within` this time, or the watch ended.
    pub async fn next(&self, watch: &mut Watch, within: Duration, what: &str) -> Result<Change, Failure> {
        let began = self.elapsed();
        let seen = match tokio::time::timeout(within, watch.next()).await {
            Ok(Some(change)) => {
                self.waits.add(what, within, self.elapsed().saturating_sub(began));
                self.note(format_args!("the watch yields {}", addresses(&change.snapshot)));
                return Ok(change);
            }
            Ok(None) => "the watch ended".to_owned(),
            Err(_) => format!("nothing new; the newest snapshot is {}", addresses(&watch.latest())),
        };
        let began = began.as_secs_f64();
        Err(Failure::broken(format!("expected within {within:?} from {began:.3} s on: {what}; seen: {seen}")))
    }

    /// Lets a future end, whatever it returns.
    ///
    /// # Errors
    /// A broken promise, when it does not end within `limit`.
    pub async fn within<T>(&self, limit: Duration, what: &str, future: impl Future<Output = T>) -> Result<T, Failure> {
        let began = self.elapsed();
        let Ok(value) = tokio::time::timeout(limit, future).await else {
            return Err(Failure::broken(format!("expected within {limit:?}: {what}; seen: it still runs")));
        };
        self.waits.add(what, limit, self.elapsed().saturating_sub(began));
        Ok(value)
    }

    /// The waits so far, the worst first.
    pub(crate) fn waits(&self) -> Vec<Wait> {
        self.waits.taken()
    }

    pub(crate) fn timeline(&self) -> String {
        let line = |(at, what): &(Duration, String)| format!("  {:>9.3} s  {what}\n", at.as_secs_f64());
        self.notes.borrow().iter().map(line).collect()
    }

    async fn noted(
        &self,
        owner: &Owner,
        verb: &str,
        subject: impl Describe,
        call: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        let began = Instant::now();
        let result = call.await;
        let (subject, took) = (subject.describe(), began.elapsed());
        let result_text = outcome("ok", result.as_ref().err());
        self.note(format_args!("handle {}: {verb}{subject}: {result_text} after {took:?}", owner.id.0));
        result
    }
}

/// The addresses of a snapshot, for messages.
pub(crate) fn addresses(snapshot: &Snapshot) -> String {
    if !snapshot.is_known() {
        return "unknown".to_owned();
    }
    let addresses: Vec<&str> = snapshot.instances().iter().map(|instance| instance.address().as_str()).collect();
    format!("[{}]", addresses.join(", "))
}

/// Completes when the task is woken for whatever reason, and after this time at the latest: in virtual time much happens without time passing.
async fn next_step(time: Duration) {
    let mut sleep = pin!(tokio::time::sleep(time));
    let mut polled = false;
    let step = |cx: &mut std::task::Context<'_>| match std::mem::replace(&mut polled, true) {
        true => Poll::Ready(()),
        false => sleep.as_mut().poll(cx),
    };
    std::future::poll_fn(step).await;
}

trait Describe {
    fn describe(&self) -> String;
}

impl Describe for &Info {
    fn describe(&self) -> String {
        format!(" {}/{} (weight {})", self.service(), self.address(), self.weight())
    }
}

impl Describe for &str {
    fn describe(&self) -> String {
        (*self).to_owned()
    }
}

fn outcome(good: &str, error: Option<&Error>) -> String {
    error.map_or_else(|| good.to_owned(), ToString::to_string)
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner").field("id", &self.id).finish_non_exhaustive()
    }
}
