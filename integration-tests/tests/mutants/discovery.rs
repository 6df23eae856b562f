//! D: discovery.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use integration_tests::memory::MemoryHarness;
use registry_conformance::ConnectRequest;
use registry_core::store::{Found, JsonRecord, Record, Store as _, StoreError, View, ViewChange};
use registry_core::{
    Error, ErrorKind, Handle, Info, InvalidField, Resolver as _, ServiceName, Snapshot, Watch, WeakWatch,
};
use registry_memory::Client;

use crate::mutant::Mutant;
use crate::twist::{StoreTwist, Twist, Twisted, TwistedStore};

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "resolve answers from a cache",
        "clients that ask the store once",
        "d1_each_resolve_shows_the_store_of_that_moment",
        || MemoryHarness::new().with_handle(|handle, _| Box::new(Twisted(Caches(handle, Mutex::default())))),
    ),
    Mutant::new(
        "resolve answers from a watch that is there",
        "clients that think a watch as good as the store",
        "d1_each_resolve_asks_the_store",
        || MemoryHarness::new().with_handle(|handle, _| Box::new(Twisted(AsksItsWatch(handle, Mutex::default())))),
    ),
    Mutant::new(
        "an outage is an empty list",
        "Hertz",
        "d1_a_store_that_is_cut_off_is_an_error_and_no_empty_list",
        || MemoryHarness::new().with_handle(|handle, _| Box::new(Twisted(EmptyWhenAway(handle)))),
    ),
    Mutant::new(
        "only the fields of Go's record are written",
        "every Kitex adapter",
        "d2_every_field_survives_the_round_trip",
        || MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, Writes(without_additions))),
    ),
    Mutant::new(
        "tags are joined with a colon and split at the first one",
        "Kitex Consul",
        "d2_odd_tags_survive_or_are_refused",
        || MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, Writes(torn_tags))),
    ),
    Mutant::new(
        "a weight past 16 bits wraps around",
        "Consul's limit, unchecked",
        "d2_weights_up_to_65535_survive_and_larger_ones_are_not_changed",
        || MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, Writes(wrapped_weight))),
    ),
    Mutant::new(
        "an address with more than one colon is left out",
        "Kitex ZooKeeper",
        "d2_addresses_of_ipv4_ipv6_and_host_names_survive",
        || MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, Lists(without_ipv6))),
    ),
    Mutant::new(
        "one undecodable entry fails the whole list",
        "kratos etcd, Kitex and kratos ZooKeeper",
        "d3_garbage_hides_nothing_from_resolve",
        || MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, Lists(all_or_nothing))),
    ),
    Mutant::new(
        "one undecodable entry ends the watch",
        "kratos ZooKeeper",
        "d3_garbage_hides_nothing_from_a_watch",
        || MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, Lists(all_or_nothing))),
    ),
    Mutant::new(
        "each read logs each malformed entry",
        "adapters without a memory of what they logged",
        "d3_a_malformed_entry_is_logged_once",
        || MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, Lists(logged))),
    ),
    Mutant::new(
        "an entry that vanishes between listing and reading fails the list",
        "Kitex and kratos ZooKeeper",
        "d3_an_entry_that_vanishes_during_a_read_is_absent_and_no_error",
        || MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, ReadsTwice)),
    )
    .under("a removal between a list and a read"),
    Mutant::new(
        "a prefix without a trailing separator reads other services",
        "kratos etcd",
        "d4_names_that_begin_alike_are_apart_for_resolve",
        || MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, ReadsPrefix)),
    ),
    Mutant::new("names are folded to lower case", "Consul", "d4_names_that_begin_alike_are_apart_for_a_watch", || {
        MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, Renames(str::to_lowercase)))
    }),
    Mutant::new(
        "the namespace is ignored",
        "open source Consul",
        "d4_the_same_name_in_another_namespace_is_apart",
        || MemoryHarness::new().with_store(|client, request| Arc::new(in_the_first_namespace(client, request))),
    ),
];

struct Caches(Handle, Mutex<HashMap<ServiceName, Snapshot>>);

#[async_trait]
impl Twist for Caches {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn resolve(&self, service: &ServiceName) -> Result<Snapshot, Error> {
        let cached = self.1.lock().unwrap_or_else(PoisonError::into_inner).get(service).cloned();
        if let Some(cached) = cached {
            return Ok(cached);
        }
        let answer = self.0.resolve(service).await?;
        self.1.lock().unwrap_or_else(PoisonError::into_inner).insert(service.clone(), answer.clone());
        Ok(answer)
    }
}

struct AsksItsWatch(Handle, Mutex<HashMap<ServiceName, WeakWatch>>);

#[async_trait]
impl Twist for AsksItsWatch {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn resolve(&self, service: &ServiceName) -> Result<Snapshot, Error> {
        let watch = self.1.lock().unwrap_or_else(PoisonError::into_inner).get(service).and_then(WeakWatch::upgrade);
        match watch.map(|watch| watch.latest().to_arc()).filter(|newest| newest.is_known()) {
            Some(newest) => Ok((*newest).clone()),
            None => self.0.resolve(service).await,
        }
    }
    fn watch(&self, service: &ServiceName) -> Result<Watch, Error> {
        let watch = self.0.watch(service)?;
        self.1.lock().unwrap_or_else(PoisonError::into_inner).insert(service.clone(), watch.downgrade());
        Ok(watch)
    }
}

struct EmptyWhenAway(Handle);

#[async_trait]
impl Twist for EmptyWhenAway {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn resolve(&self, service: &ServiceName) -> Result<Snapshot, Error> {
        match self.0.resolve(service).await {
            Err(error) if error.kind() != ErrorKind::Closed => Ok(Snapshot::new(service.clone(), [])),
            answer => answer,
        }
    }
}

/// Writes another info than the one that was given.
struct Writes(fn(&Info) -> Result<Info, InvalidField>);

impl StoreTwist for Writes {
    fn encode(&self, inner: &Client, info: &Info) -> Result<Record, InvalidField> {
        let record = inner.encode(info)?;
        Ok(Record::new(record.key().clone(), JsonRecord::encode(&(self.0)(info)?), info))
    }
}

fn without_additions(info: &Info) -> Result<Info, InvalidField> {
    let Info { .. } = info;
    let tags = info.tags().clone();
    Info::builder(info.service().as_str()).address(info.address()).weight(info.weight()).tags(tags).build()
}

fn torn_tags(info: &Info) -> Result<Info, InvalidField> {
    let joined: Vec<String> = info.tags().iter().map(|(key, value)| format!("{key}:{value}")).collect();
    let torn = joined.iter().filter_map(|tag| tag.split_once(':'));
    info.to_builder().tags(torn).build()
}

fn wrapped_weight(info: &Info) -> Result<Info, InvalidField> {
    info.to_builder().weight((info.weight() & 0xffff).max(1)).build()
}

/// Does something to every list and change that is read.
pub(crate) struct Lists(pub(crate) fn(Vec<Found>) -> Result<Vec<Found>, StoreError>);

#[async_trait]
impl StoreTwist for Lists {
    async fn list(&self, inner: &Client, service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        (self.0)(inner.list(service).await?)
    }
    async fn view(&self, inner: &Client, service: &ServiceName, attempt: u32) -> Result<Box<dyn View>, StoreError> {
        Ok(Box::new(ListsView { view: inner.view(service, attempt).await?, change: self.0 }))
    }
}

struct ListsView {
    view: Box<dyn View>,
    change: fn(Vec<Found>) -> Result<Vec<Found>, StoreError>,
}

#[async_trait]
impl View for ListsView {
    async fn next(&mut self) -> Result<ViewChange, StoreError> {
        loop {
            match self.view.next().await? {
                ViewChange::Full(found) => return (self.change)(found).map(ViewChange::Full),
                ViewChange::Upsert(found) => match (self.change)(vec![found])?.pop() {
                    Some(found) => return Ok(ViewChange::Upsert(found)),
                    None => continue,
                },
                other => return Ok(other),
            }
        }
    }
    async fn probe(&mut self) -> Result<(), StoreError> {
        self.view.probe().await
    }
}

#[expect(clippy::unnecessary_wraps, reason = "others of its kind fail")]
fn without_ipv6(found: Vec<Found>) -> Result<Vec<Found>, StoreError> {
    let one_colon = |found: &Found| found.key.as_str().matches(':').count() == 1;
    Ok(found.into_iter().filter(one_colon).collect())
}

pub(crate) fn all_or_nothing(found: Vec<Found>) -> Result<Vec<Found>, StoreError> {
    match found.iter().find_map(|found| found.instance.as_ref().err()) {
        Some(why) => Err(StoreError::new(ErrorKind::Other, why.to_string())),
        None => Ok(found),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "others of its kind fail")]
fn logged(found: Vec<Found>) -> Result<Vec<Found>, StoreError> {
    for (key, why) in found.iter().filter_map(|found| Some((&found.key, found.instance.as_ref().err()?))) {
        tracing::warn!(%key, %why, "malformed");
    }
    Ok(found)
}

/// Lists the names first, and then reads each.
struct ReadsTwice;

#[async_trait]
impl StoreTwist for ReadsTwice {
    async fn list(&self, inner: &Client, service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        let names = inner.list(service).await?;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let entries = inner.list(service).await?;
        match names.iter().find(|name| entries.iter().all(|entry| entry.key != name.key)) {
            Some(gone) => Err(StoreError::new(ErrorKind::Other, format!("{}: no node", gone.key))),
            None => Ok(entries),
        }
    }
}

/// Reads every service whose name begins like the one that is asked for.
struct ReadsPrefix;

static NAMES: Mutex<BTreeSet<ServiceName>> = Mutex::new(BTreeSet::new());

#[async_trait]
impl StoreTwist for ReadsPrefix {
    fn encode(&self, inner: &Client, info: &Info) -> Result<Record, InvalidField> {
        NAMES.lock().unwrap_or_else(PoisonError::into_inner).insert(info.service().clone());
        inner.encode(info)
    }
    async fn list(&self, inner: &Client, service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        let names = NAMES.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut found = Vec::new();
        for name in names.iter().filter(|name| name.as_str().starts_with(service.as_str())) {
            found.extend(inner.list(name).await?);
        }
        Ok(found)
    }
}

/// Keeps a service under another name than it has.
pub(crate) struct Renames(pub(crate) fn(&str) -> String);

impl Renames {
    /// The service where this mutant keeps it; its own where that is no name.
    fn place(&self, service: &ServiceName) -> ServiceName {
        ServiceName::new((self.0)(service.as_str())).unwrap_or_else(|_| service.clone())
    }
}

#[async_trait]
impl StoreTwist for Renames {
    fn encode(&self, inner: &Client, info: &Info) -> Result<Record, InvalidField> {
        let record = inner.encode(&info.to_builder().service(self.place(info.service()).as_str()).build()?)?;
        Ok(Record::new(record.key().clone(), record.value(), info))
    }
    async fn list(&self, inner: &Client, service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        inner.list(&self.place(service)).await
    }
    async fn view(&self, inner: &Client, service: &ServiceName, attempt: u32) -> Result<Box<dyn View>, StoreError> {
        inner.view(&self.place(service), attempt).await
    }
}

/// The client that connected first to the store that both namespaces of a case are on.
fn in_the_first_namespace(client: Client, request: &ConnectRequest) -> Client {
    static FIRST: Mutex<Option<HashMap<String, Client>>> = Mutex::new(None);
    let home = request.namespace.strip_suffix("-b").unwrap_or(&request.namespace).to_owned();
    let mut first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
    first.get_or_insert_default().entry(home).or_insert(client).clone()
}
