//! A store whose views do what a test tells them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::address::Address;
use crate::error::{ErrorKind, InvalidField};
use crate::handle::HandleOptions;
use crate::info::Info;
use crate::instance::Instance;
use crate::name::ServiceName;
use crate::store::{
    Capabilities, Found, Key, Malformed, OpenRequest, Record, Session, Store, StoreError, View, ViewChange,
};
use crate::watch::Watch;
use crate::watcher::Watchers;

pub(super) const GRACE: Duration = Duration::from_secs(15);

/// The store's end of the present view: what is sent into it is what the view says.
#[derive(Default)]
pub(super) struct Script {
    /// What `view` does: nothing for ever, fail, or open with this full list.
    opening: Mutex<Opening>,
    present: Mutex<Option<UnboundedSender<Step>>>,
    pub(super) opened: AtomicU32,
    pub(super) attempts: Mutex<Vec<u32>>,
    pub(super) probes: AtomicU32,
    /// How many requests for a list stay without an answer, and how many there were.
    pub(super) silent_lists: AtomicU32,
    pub(super) lists: AtomicU32,
    /// Whether a probe is answered.
    pub(super) deaf: Mutex<bool>,
    settle: Duration,
}

#[derive(Clone, Default)]
pub(super) enum Opening {
    #[default]
    Hangs,
    Fails(ErrorKind),
    Panics,
    Lists(Vec<Found>),
    /// Lists in parts, each of which takes this long.
    ListsInParts(Vec<Found>, Duration),
}

enum Step {
    Says(Result<ViewChange, StoreError>),
    /// Says that it lives, after this time.
    Reads(Duration),
    Panics,
}

impl Script {
    pub(super) fn listing(ports: &[u16]) -> Arc<Self> {
        Self::default().opens(Opening::Lists(found(ports)))
    }

    pub(super) fn settling(settle: Duration, ports: &[u16]) -> Arc<Self> {
        Self { settle, ..Self::default() }.opens(Opening::Lists(found(ports)))
    }

    pub(super) fn opens(self, opening: Opening) -> Arc<Self> {
        *self.opening.lock().unwrap() = opening;
        Arc::new(self)
    }

    pub(super) fn open_with(&self, opening: Opening) {
        *self.opening.lock().unwrap() = opening;
    }

    pub(super) fn says(&self, change: ViewChange) {
        self.send(Step::Says(Ok(change)));
    }

    pub(super) fn removes(&self, port: u16) {
        self.says(ViewChange::Remove(key(port)));
    }

    pub(super) fn puts(&self, found: Found) {
        self.says(ViewChange::Upsert(found));
    }

    pub(super) fn lists(&self, ports: &[u16]) {
        self.says(ViewChange::Full(found(ports)));
    }

    pub(super) fn breaks(&self) {
        self.send(Step::Says(Err(StoreError::unreachable("the store was killed"))));
    }

    pub(super) fn panics(&self) {
        self.send(Step::Panics);
    }

    /// The view breaks, and the next one begins with these.
    pub(super) fn reopens(&self, ports: &[u16]) {
        self.open_with(Opening::Lists(found(ports)));
        self.breaks();
    }

    /// Whether a view is open.
    pub(super) fn is_viewed(&self) -> bool {
        self.present.lock().unwrap().as_ref().is_some_and(|view| !view.is_closed())
    }

    fn send(&self, step: Step) {
        let present = self.present.lock().unwrap();
        assert!(present.as_ref().expect("a view was opened").send(step).is_ok(), "the view is open");
    }
}

struct ScriptView {
    script: Arc<Script>,
    says: UnboundedReceiver<Step>,
}

/// The store is a pointer to its script, so that tests keep the other one.
pub(super) struct Scripted(pub(super) Arc<Script>);

#[async_trait]
impl Store for Scripted {
    fn capabilities(&self) -> Capabilities {
        Capabilities { settle: self.0.settle, ..Capabilities::default() }
    }

    fn encode(&self, _info: &Info) -> Result<Record, InvalidField> {
        Err(InvalidField::new("service", "is never written here"))
    }

    async fn open(&self, _request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        Err(StoreError::unreachable("there are no sessions here"))
    }

    async fn list(&self, _service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        let asked = self.0.lists.fetch_add(1, Ordering::Relaxed);
        if asked < self.0.silent_lists.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        match self.0.opening.lock().unwrap().clone() {
            Opening::Lists(found) => Ok(found),
            _ => Err(StoreError::unreachable("there is no list here")),
        }
    }

    async fn view(&self, _service: &ServiceName, attempt: u32) -> Result<Box<dyn View>, StoreError> {
        self.0.attempts.lock().unwrap().push(attempt);
        let opening = self.0.opening.lock().unwrap().clone();
        let (sender, says) = unbounded_channel();
        let full = match opening {
            Opening::Hangs => return std::future::pending().await,
            Opening::Fails(kind) => return Err(StoreError::new(kind, "the store says no")),
            Opening::Panics => panic!("this adapter is broken"),
            Opening::Lists(full) => full,
            Opening::ListsInParts(full, takes) => {
                (0..5).for_each(|_| assert!(sender.send(Step::Reads(takes)).is_ok()));
                full
            }
        };
        self.0.opened.fetch_add(1, Ordering::Relaxed);
        assert!(sender.send(Step::Says(Ok(ViewChange::Full(full)))).is_ok());
        *self.0.present.lock().unwrap() = Some(sender);
        Ok(Box::new(ScriptView { script: self.0.clone(), says }))
    }
}

#[async_trait]
impl View for ScriptView {
    async fn next(&mut self) -> Result<ViewChange, StoreError> {
        match self.says.recv().await {
            Some(Step::Says(said)) => said,
            Some(Step::Reads(takes)) => {
                tokio::time::sleep(takes).await;
                Ok(ViewChange::Alive)
            }
            Some(Step::Panics) => panic!("this view is broken"),
            None => Err(StoreError::unreachable("another view was opened")),
        }
    }

    async fn probe(&mut self) -> Result<(), StoreError> {
        self.script.probes.fetch_add(1, Ordering::Relaxed);
        if !*self.script.deaf.lock().unwrap() {
            self.script.says(ViewChange::Alive);
        }
        Ok(())
    }
}

pub(super) fn service() -> ServiceName {
    ServiceName::new("demo").unwrap()
}

pub(super) fn key(port: u16) -> Key {
    Key::new(format!("demo/h:{port}"))
}

pub(super) fn instance(port: u16, weight: i64) -> Instance {
    Instance::new(service(), Address::tcp(&format!("h:{port}")).unwrap()).with_weight(weight)
}

pub(super) fn entry(port: u16) -> Found {
    Found::new(key(port), instance(port, 10), 1)
}

pub(super) fn found(ports: &[u16]) -> Vec<Found> {
    ports.iter().copied().map(entry).collect()
}

pub(super) fn unhealthy(port: u16) -> Found {
    Found { healthy: false, ..entry(port) }
}

pub(super) fn malformed(port: u16) -> Found {
    Found::malformed(key(port), Malformed("is no record".to_owned()))
}

pub(super) fn options() -> HandleOptions {
    HandleOptions::with_ttl(GRACE)
}

pub(super) fn watchers(script: &Arc<Script>) -> Watchers {
    Watchers::new(Arc::new(Scripted(script.clone())), &options())
}

/// The watchers, and a watch that has delivered its first snapshot.
pub(super) async fn watching(script: &Arc<Script>) -> (Watchers, Watch) {
    let watchers = watchers(script);
    let mut watch = watchers.watch(&service()).unwrap();
    watch.next().await.expect("the watch goes on");
    (watchers, watch)
}

/// Lets this much time pass, all tasks running.
pub(super) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Long enough for what is ready to be seen, and for a first back-off.
pub(super) async fn soon() {
    pass(Duration::from_millis(100)).await;
}

/// The ports of the newest snapshot, unconfirmed ones negative.
pub(super) fn ports(watch: &Watch) -> Vec<i32> {
    let newest = watch.latest();
    let port = |instance: &Arc<Instance>| {
        let port = i32::from(instance.address().port().unwrap());
        if newest.is_unconfirmed(instance.address()) { -port } else { port }
    };
    newest.instances().iter().map(port).collect()
}
