//! A registry in a few lines, straight on the public traits: enough for the framework to have something to judge.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use registry_conformance::{ConnectRequest, Harness};
use registry_core::store::Capabilities;
use registry_core::{
    Error, HandleState, HandleStatus, Info, Instance, Publisher, RegistrationState, RegistrationStatus, Registry,
    Resolver, ServiceName, ServiceRegistry, Snapshot, Watch,
};
use tokio::sync::watch;
use tokio::time::Instant;

/// A harness over stores that live in this process, one a namespace.
#[derive(Default)]
pub(crate) struct Fake {
    stores: Mutex<BTreeMap<String, Arc<Store>>>,
}

/// Of each identity the entries of all its owners; the last one that lives stands.
type Store = Mutex<BTreeMap<(String, String), Vec<Entry>>>;

#[derive(Clone)]
struct Entry {
    owner: u32,
    info: Info,
    since: SystemTime,
    expires: Option<Instant>,
}

#[async_trait]
impl Harness for Fake {
    fn adapter(&self) -> &str {
        "fake"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn smallest_ttl(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn virtual_time(&self) -> bool {
        true
    }

    async fn connect(&self, request: ConnectRequest) -> Result<Box<dyn ServiceRegistry>, Error> {
        let store =
            self.stores.lock().expect("nobody panicked under this lock").entry(request.namespace).or_default().clone();
        let since = SystemTime::now();
        let status =
            HandleStatus { state: HandleState::Connected, since, attempts: 0, last_error: None, next_try: None };
        let (ttl, owner) = (request.options.ttl, request.handle.0);
        Ok(Box::new(FakeRegistry { store, owner, ttl, status: watch::Sender::new(status) }))
    }
}

struct FakeRegistry {
    store: Arc<Store>,
    owner: u32,
    ttl: Duration,
    status: watch::Sender<HandleStatus>,
}

impl FakeRegistry {
    fn open(&self, operation: &'static str) -> Result<(), Error> {
        match self.status.borrow().state {
            HandleState::Closed => Err(Error::closed(operation)),
            _ => Ok(()),
        }
    }

    fn statuses(&self) -> Vec<RegistrationStatus> {
        let store = self.store.lock().expect("nobody panicked under this lock");
        let mine = store.values().filter_map(|entries| {
            let entry = entries.iter().find(|entry| entry.owner == self.owner)?;
            let stands = standing(entries).is_some_and(|standing| standing.owner == self.owner);
            Some((entry, if stands { RegistrationState::Registered } else { RegistrationState::Displaced }))
        });
        mine.map(|(entry, state)| RegistrationStatus {
            service: entry.info.service().clone(),
            address: entry.info.address().clone(),
            key: entry.info.address().as_str().into(),
            state,
            since: entry.since,
            attempts: 0,
            last_error: None,
            next_try: None,
        })
        .collect()
    }
}

fn key(info: &Info) -> (String, String) {
    (info.service().to_string(), info.address().to_string())
}

fn standing(entries: &[Entry]) -> Option<&Entry> {
    entries.iter().rfind(|entry| entry.expires.is_none_or(|at| at > Instant::now()))
}

fn list(store: &Store, service: &ServiceName) -> Snapshot {
    let store = store.lock().expect("nobody panicked under this lock");
    let here = store.values().filter_map(|entries| standing(entries)).filter(|entry| entry.info.service() == service);
    Snapshot::new(service.clone(), here.map(|entry| Arc::new(Instance::from(&entry.info))))
}

#[async_trait]
impl Registry for FakeRegistry {
    async fn register(&self, info: &Info) -> Result<(), Error> {
        self.announce(info)
    }

    async fn deregister(&self, info: &Info) -> Result<(), Error> {
        self.open("deregister")?;
        let mut store = self.store.lock().expect("nobody panicked under this lock");
        store.entry(key(info)).or_default().retain(|entry| entry.owner != self.owner);
        Ok(())
    }

    fn announce(&self, info: &Info) -> Result<(), Error> {
        self.open("register")?;
        let tags = info.tags().values().map(String::len).sum::<usize>();
        for (field, size) in [("tags", tags), ("payload_codec", info.payload_codec().len())] {
            if size > 60_000 {
                let refused = registry_core::InvalidField::new(field, format!("has {size} bytes"));
                return Err(refused.with_limit("at most 60000 bytes").into());
            }
        }
        let entry = Entry { owner: self.owner, info: info.clone(), since: SystemTime::now(), expires: None };
        let mut store = self.store.lock().expect("nobody panicked under this lock");
        let entries = store.entry(key(info)).or_default();
        entries.retain(|entry| entry.owner != self.owner);
        entries.push(entry);
        Ok(())
    }

    async fn close(&self) -> Result<(), Error> {
        let mut store = self.store.lock().expect("nobody panicked under this lock");
        store.values_mut().for_each(|entries| entries.retain(|entry| entry.owner != self.owner));
        self.status.send_modify(|status| status.state = HandleState::Closed);
        Ok(())
    }

    fn status(&self) -> watch::Receiver<HandleStatus> {
        self.status.subscribe()
    }

    fn registration(&self, info: &Info) -> Option<watch::Receiver<RegistrationStatus>> {
        let status = self.statuses().into_iter().find(|status| status.address == *info.address())?;
        Some(watch::channel(status).1)
    }

    fn registrations(&self) -> Vec<RegistrationStatus> {
        self.statuses()
    }
}

#[async_trait]
impl Resolver for FakeRegistry {
    async fn resolve(&self, service: &ServiceName) -> Result<Snapshot, Error> {
        self.open("resolve")?;
        Ok(list(&self.store, service))
    }

    fn watch(&self, service: &ServiceName) -> Result<Watch, Error> {
        self.open("watch")?;
        let (publisher, watch) = Publisher::new(service.clone());
        let (store, service, mut status) = (self.store.clone(), service.clone(), self.status.subscribe());
        tokio::spawn(async move {
            let poll = async {
                loop {
                    publisher.publish(list(&store, &service));
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::select! {
                () = poll => {}
                () = publisher.unwatched() => {}
                // An error means that the handle was dropped: the watch ends, too.
                _ = status.wait_for(|status| status.state == HandleState::Closed) => {}
            }
        });
        Ok(watch)
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        let mut store = self.store.lock().expect("nobody panicked under this lock");
        for entry in store.values_mut().flatten().filter(|entry| entry.owner == self.owner) {
            entry.expires = Some(Instant::now() + self.ttl);
        }
    }
}
