//! An owner with three instances, a watcher, and an observer, on three nodes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use etcd_client::{Client, GetOptions};
use integration_tests::{EtcdCluster, Fault, FaultProxy, eventually};
use registry_conformance::Timing;
use registry_core::{Info, Registry, Resolver, ServiceName, Snapshot, Watch};
use registry_etcd::{DEFAULT_PREFIX, Handle, Options, connect};
use tokio::sync::Mutex;

use crate::marker::{self, Marker};

pub(crate) type Failure = Box<dyn std::error::Error>;

/// Within what time the nodes that are left take writes. Not the adapter's to answer for.
pub(crate) const ELECTION: Duration = Duration::from_secs(30);

/// The owner and the watcher are given all nodes, each behind a proxy.
pub(crate) struct Scene {
    pub(crate) timing: Timing,
    pub(crate) marker: Marker,
    members: Vec<SocketAddr>,
    links: Vec<FaultProxy>,
    owner: Handle,
    watcher: Handle,
    watch: Watch,
    /// The same watch, as the observer reads it.
    observed: Mutex<Watch>,
    infos: Vec<Info>,
}

pub(crate) fn timing() -> Result<Timing, String> {
    // Longer than one attempt at a renewal and the next, so that a lease outlives the loss of a node.
    Timing::from_environment(Duration::from_secs(5))
}

pub(crate) fn service() -> ServiceName {
    ServiceName::new("demo").expect("invariant: a valid name")
}

/// Below which the service's entries stand.
pub(crate) fn folder() -> String {
    format!("{DEFAULT_PREFIX}/demo/")
}

fn info(number: u16) -> Info {
    let info = Info::builder("demo").address(format!("10.0.0.1:{}", 8000 + number)).weight(u32::from(number) + 20);
    info.tag("number", number.to_string()).build().expect("invariant: all fields are valid")
}

/// Options for these servers, with the suite's timings.
pub(crate) fn options(addresses: impl IntoIterator<Item = SocketAddr>, timing: &Timing) -> Options {
    Options::new(addresses.into_iter().map(|address| address.to_string())).with_handle(timing.options())
}

impl Scene {
    /// Three instances stand, and the watch knows them. The owner and the watcher are connected to this member.
    pub(crate) async fn open(cluster: &EtcdCluster, connected: usize) -> Result<Self, Failure> {
        let (timing, members) = (timing()?, cluster.addresses());
        let marker = Marker::start(members.clone(), format!("{}{}", folder(), marker::ADDRESS)).await?;
        let mut links = Vec::new();
        for (number, member) in members.iter().enumerate() {
            let link = FaultProxy::start(*member).await?;
            // They stay where they are first answered.
            link.set(if number == connected { Fault::None } else { Fault::Reset });
            links.push(link);
        }
        let addresses: Vec<_> = links.iter().map(FaultProxy::address).collect();
        let owner = connect(options(addresses.clone(), &timing)).await?;
        let watcher = connect(options(addresses, &timing)).await?;
        let infos: Vec<_> = (1..=3).map(info).collect();
        for info in &infos {
            owner.register(info).await?;
        }
        let watch = watcher.watch(&service())?;
        let observed = Mutex::new(watch.clone());
        let scene = Self { timing, marker, members, links, owner, watcher, watch, observed, infos };
        let knows = async || scene.knows_all().then_some(());
        eventually(scene.timing.prompt(), "the watch knows what is registered", knows).await;
        scene.links.iter().for_each(FaultProxy::heal);
        assert_eq!(scene.connections().iter().filter(|open| **open > 0).count(), 1, "{:?}", scene.connections());
        Ok(scene)
    }

    /// The way to a member.
    pub(crate) fn link(&self, member: usize) -> &FaultProxy {
        &self.links[member]
    }

    /// How many connections each member has from the owner and the watcher.
    pub(crate) fn connections(&self) -> Vec<u64> {
        self.links.iter().map(|link| link.counts().open).collect()
    }

    /// An independent client's write succeeds: the recovery bound counts from here.
    pub(crate) async fn is_written(&self, what: &str) {
        let before = self.marker.confirmed();
        let written = async || (self.marker.confirmed() > before).then_some(());
        eventually(ELECTION, &format!("{what}: writes succeed"), written).await;
    }

    /// Everything is resolved and watched, field by field, within the recovery bound from now on; the watch a grace later at most.
    pub(crate) async fn comes_back(&self, what: &str) {
        let began = Instant::now();
        let bound = self.timing.recovery();
        let all = async || self.watcher.resolve(&service()).await.is_ok_and(|now| self.is_all(&now)).then_some(());
        eventually(bound, &format!("{what}: everything is resolved"), all).await;
        let known = async || self.knows_all().then_some(());
        let left = (bound + self.timing.grace()).saturating_sub(began.elapsed());
        eventually(left, &format!("{what}: everything is watched, and fresh"), known).await;
        // Entries of a session that lives on stand before their owner is back.
        let ready = async || self.owner.is_ready().is_ok().then_some(());
        let left = (bound + self.timing.grace()).saturating_sub(began.elapsed());
        eventually(left, &format!("{what}: the owner says that it is ready"), ready).await;
    }

    /// Does something while an observer looks on.
    ///
    /// What it resolves comes in time and is either an error or true: nothing that nobody registered, and the marker as it was confirmed before, or later. What
    /// it watches is never empty, and the marker never goes back.
    pub(crate) async fn observed<T>(&self, doing: impl Future<Output = T>) -> T {
        tokio::select! {
            done = doing => done,
            never = self.keeps_resolving() => never,
            never = self.keeps_watching() => never,
        }
    }

    /// A change is accepted and seen; then what is watched and resolved is what stands in the store.
    pub(crate) async fn goes_on(&self) -> Result<(), Failure> {
        let changed = self.infos[0].to_builder().weight(777).build()?;
        self.owner.register(&changed).await?;
        self.marker.stop();
        let stored = async || self.stored().await.ok();
        let same = async || (weights(&self.watch.latest()) == stored().await?).then_some(());
        eventually(self.timing.prompt(), "the watch equals the store", same).await;
        let stands = self.stored().await?;
        assert_eq!(stands.len(), self.infos.len() + 1, "{stands:?}");
        assert_eq!(weights(&self.watcher.resolve(&service()).await?), stands);
        self.owner.close().await?;
        Ok(self.watcher.close().await?)
    }

    async fn keeps_resolving(&self) -> ! {
        let limit = self.timing.call_ends();
        loop {
            let confirmed = self.marker.confirmed();
            let answer = tokio::time::timeout(limit, self.watcher.resolve(&service())).await;
            if let Ok(snapshot) = answer.unwrap_or_else(|_| panic!("a resolve takes longer than {limit:?}")) {
                self.check(&snapshot);
                let seen = marked(&snapshot);
                assert!(seen >= Some(confirmed), "{seen:?} is resolved after {confirmed} was written");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn keeps_watching(&self) -> ! {
        let mut watch = self.observed.lock().await;
        let mut last = None;
        while let Some(change) = watch.next().await {
            self.check(&change.snapshot);
            let seen = marked(&change.snapshot);
            assert!(seen.is_some() && seen >= last, "{seen:?} is delivered after {last:?}");
            last = seen;
        }
        panic!("the watch has ended");
    }

    fn check(&self, snapshot: &Snapshot) {
        for instance in snapshot.instances().iter().filter(|one| one.address().as_str() != marker::ADDRESS) {
            assert!(self.infos.iter().any(|info| **instance == *info), "nobody registered {instance:?}");
        }
    }

    fn knows_all(&self) -> bool {
        let latest = self.watch.latest();
        let fresh = latest.is_known() && latest.stale().is_none() && latest.unconfirmed().is_empty();
        fresh && self.is_all(&latest)
    }

    fn is_all(&self, snapshot: &Snapshot) -> bool {
        let stands = |info: &Info| snapshot.get(info.address().as_str()).is_some_and(|one| **one == *info);
        snapshot.len() == self.infos.len() + 1 && marked(snapshot).is_some() && self.infos.iter().all(stands)
    }

    /// What stands in the store, around the adapter: weights by address.
    async fn stored(&self) -> Result<BTreeMap<String, u32>, Failure> {
        let mut door = Client::connect([format!("http://{}", self.members[0])], None).await?;
        let read = door.get(folder(), Some(GetOptions::new().with_prefix())).await?;
        let address = |key: &[u8]| String::from_utf8_lossy(&key[folder().len()..]).into_owned();
        Ok(read.kvs().iter().map(|entry| (address(entry.key()), marker::weight(entry.value()))).collect())
    }
}

/// The marker's weight in a list.
pub(crate) fn marked(snapshot: &Snapshot) -> Option<u32> {
    snapshot.get(marker::ADDRESS).map(|instance| instance.weight())
}

fn weights(snapshot: &Snapshot) -> BTreeMap<String, u32> {
    snapshot.instances().iter().map(|one| (one.address().to_string(), one.weight())).collect()
}
