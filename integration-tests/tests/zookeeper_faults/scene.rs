//! An owner with three instances, and a watcher, on one or several servers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use integration_tests::{ZooKeeperDoor, eventually};
use registry_conformance::Timing;
use registry_core::{Info, Instance, Registry, Resolver, ServiceName, Watch};
use registry_zookeeper::{Handle, Options, connect};

pub(crate) type Failure = Box<dyn std::error::Error>;

pub(crate) struct Scene {
    pub(crate) timing: Timing,
    pub(crate) owner: Handle,
    pub(crate) watcher: Handle,
    pub(crate) watch: Watch,
    pub(crate) infos: Vec<Info>,
}

pub(crate) fn timing() -> Result<Timing, String> {
    Timing::from_environment(Duration::from_secs(4))
}

pub(crate) fn service() -> ServiceName {
    ServiceName::new("demo").expect("invariant: a valid name")
}

pub(crate) fn info(number: u16) -> Info {
    let info = Info::builder("demo").address(format!("10.0.0.1:{}", 8000 + number)).weight(u32::from(number) + 20);
    info.tag("number", number.to_string()).build().expect("invariant: all fields are valid")
}

/// Where the entry stands.
pub(crate) fn path(info: &Info) -> String {
    format!("/{}/{}", info.service(), info.address())
}

/// Options for the servers at these addresses, with the suite's timings.
pub(crate) fn options(addresses: &[SocketAddr], timing: &Timing) -> Options {
    let hosts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    Options::new(hosts.join(",")).with_handle(timing.options())
}

/// The session that an entry hangs on.
pub(crate) async fn holder(server: SocketAddr, info: &Info) -> Result<Option<u64>, Failure> {
    let mut door = ZooKeeperDoor::open(server).await?;
    let owner = door.get(&path(info)).await?.and_then(|node| node.owner);
    door.close().await?;
    Ok(owner)
}

impl Scene {
    /// Three instances stand, and the watch knows them.
    pub(crate) async fn open(owner: &[SocketAddr], watcher: &[SocketAddr]) -> Result<Self, Failure> {
        let timing = timing()?;
        let (owner, watcher) = (connect(options(owner, &timing)).await?, connect(options(watcher, &timing)).await?);
        let infos: Vec<_> = (1..=3).map(info).collect();
        for info in &infos {
            owner.register(info).await?;
        }
        let watch = watcher.watch(&service())?;
        let scene = Self { timing, owner, watcher, watch, infos };
        let knows = async || scene.knows_all().then_some(());
        eventually(scene.timing.prompt(), "the watch knows what is registered", knows).await;
        Ok(scene)
    }

    /// Everything is resolved and watched, field by field, within the recovery bound from now on; the watch a grace later at most.
    pub(crate) async fn comes_back(&self, what: &str) {
        let began = Instant::now();
        let bound = self.timing.recovery();
        let all = async || self.resolves_all().await.then_some(());
        eventually(bound, &format!("{what}: everything is resolved"), all).await;
        let bound = (bound + self.timing.grace()).saturating_sub(began.elapsed());
        let known = async || self.knows_all().then_some(());
        eventually(bound, &format!("{what}: everything is watched, and fresh"), known).await;
        assert!(self.owner.is_ready().is_ok(), "{what}: {:?}", self.owner.is_ready());
    }

    /// A change is accepted and seen.
    pub(crate) async fn goes_on(&self) -> Result<(), Failure> {
        let changed = self.infos[0].to_builder().weight(777).build()?;
        self.owner.register(&changed).await?;
        let seen = async || {
            let latest = self.watch.latest();
            latest.get(changed.address().as_str()).filter(|one| one.weight() == 777).map(drop)
        };
        eventually(self.timing.prompt(), "a later change is seen", seen).await;
        Ok(self.owner.close().await?)
    }

    /// Resolves as long as it is polled: each answer comes in time, and what it lists is true. It may be an error, or list less, while the store
    /// is in trouble.
    pub(crate) async fn keeps_resolving(&self) -> ! {
        let limit = self.timing.call_ends();
        loop {
            let answer = tokio::time::timeout(limit, self.watcher.resolve(&service())).await;
            if let Ok(snapshot) = answer.unwrap_or_else(|_| panic!("a resolve takes longer than {limit:?}")) {
                for instance in snapshot.instances() {
                    let is_true = self.infos.iter().any(|info| **instance == *info);
                    assert!(is_true, "nobody registered {instance:?}");
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Does something while [`keeps_resolving`](Self::keeps_resolving) is looked at.
    pub(crate) async fn while_resolving<T>(&self, doing: impl Future<Output = T>) -> T {
        tokio::select! {
            done = doing => done,
            never = self.keeps_resolving() => never,
        }
    }

    async fn resolves_all(&self) -> bool {
        match self.watcher.resolve(&service()).await {
            Ok(snapshot) => self.is_all(snapshot.instances().iter().map(|one| &**one)),
            Err(_) => false,
        }
    }

    fn knows_all(&self) -> bool {
        let latest = self.watch.latest();
        let fresh = latest.is_known() && latest.stale().is_none() && latest.unconfirmed().is_empty();
        fresh && self.is_all(latest.instances().iter().map(|one| &**one))
    }

    fn is_all<'a>(&self, instances: impl ExactSizeIterator<Item = &'a Instance>) -> bool {
        let wanted: Vec<_> = self.infos.iter().map(Instance::from).collect();
        instances.len() == wanted.len() && instances.into_iter().all(|one| wanted.contains(one))
    }
}
