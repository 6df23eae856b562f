//! An owner with three instances and a watcher, while the store is in trouble: what the contract promises them, looked at from outside.

use std::error::Error;
use std::time::{Duration, Instant};

use registry_conformance::Timing;
use registry_core::{Handle, Info, Instance, Registry as _, Resolver as _, ServiceName, Watch};

use crate::eventually;

/// Three instances of one service, kept by one handle and watched by another.
///
/// What it asserts it asserts by panicking, as a test does.
#[derive(Debug)]
pub struct Scene {
    /// What the handles were opened with, and every bound.
    pub timing: Timing,
    /// Keeps the instances.
    pub owner: Handle,
    /// Resolves and watches them.
    pub watcher: Handle,
    /// The instances.
    pub infos: Vec<Info>,
    watch: Watch,
    may_empty: bool,
}

impl Scene {
    /// Three instances stand, and the watch knows them.
    ///
    /// # Errors
    /// When the store refuses something.
    pub async fn open(timing: Timing, owner: Handle, watcher: Handle) -> Result<Self, Box<dyn Error>> {
        let infos: Vec<_> = (1..=3).map(Self::info).collect();
        for info in &infos {
            owner.register(info).await?;
        }
        let watch = watcher.watch(&Self::service())?;
        let scene = Self { timing, owner, watcher, infos, watch, may_empty: true };
        let knows = async || scene.knows_all().then_some(());
        eventually(scene.timing.prompt(), "the watch knows what is registered", knows).await;
        Ok(scene)
    }

    /// The same where the watcher is in the same trouble as the owner, so that it holds what it knows (W4): the watch must never be empty.
    #[must_use]
    pub fn in_the_same_trouble(self) -> Self {
        Self { may_empty: false, ..self }
    }

    /// The service of all scenes.
    pub fn service() -> ServiceName {
        ServiceName::new("demo").expect("invariant: a valid name")
    }

    /// An instance of it, of this number.
    pub fn info(number: u16) -> Info {
        let info = Info::builder("demo").address(format!("10.0.0.1:{}", 8000 + number)).weight(u32::from(number) + 20);
        info.tag("number", number.to_string()).build().expect("invariant: all fields are valid")
    }

    /// Everything is resolved and watched, field by field, within the recovery bound from now on; the watch a grace later at
    /// most.
    pub async fn comes_back(&self, what: &str) {
        let returning = async {
            let began = Instant::now();
            let bound = self.timing.recovery();
            let all = async || self.resolves_all().await.then_some(());
            eventually(bound, &format!("{what}: everything is resolved"), all).await;
            let left = || (bound + self.timing.grace()).saturating_sub(began.elapsed());
            let known = async || self.knows_all().then_some(());
            eventually(left(), &format!("{what}: everything is watched, and fresh"), known).await;
            // Entries of a session that lives on stand before their owner is back.
            let ready = async || self.owner.is_ready().is_ok().then_some(());
            eventually(left(), &format!("{what}: the owner says that it is ready"), ready).await;
        };
        tokio::select! {
            () = returning => {}
            never = self.never_empties() => never,
        }
    }

    /// A change is accepted and seen.
    ///
    /// # Errors
    /// When the store refuses it, or the owner does not close.
    pub async fn goes_on(&self) -> Result<(), Box<dyn Error>> {
        let changed = self.infos[0].to_builder().weight(777).build()?;
        self.owner.register(&changed).await?;
        let seen = async || {
            let latest = self.watch.latest();
            latest.get(changed.address().as_str()).filter(|one| one.weight() == 777).map(drop)
        };
        eventually(self.timing.prompt(), "a later change is seen", seen).await;
        Ok(self.owner.close().await?)
    }

    /// Does something while the watcher resolves again and again: each answer comes in time, and what it lists is true. It may be an error, or list
    /// less, while the store is in trouble.
    pub async fn while_resolving<T>(&self, doing: impl Future<Output = T>) -> T {
        tokio::select! {
            done = doing => done,
            never = self.keeps_resolving() => never,
            never = self.never_empties() => never,
        }
    }

    async fn keeps_resolving(&self) -> ! {
        let limit = self.timing.call_ends();
        loop {
            let answer = tokio::time::timeout(limit, self.watcher.resolve(&Self::service())).await;
            if let Ok(snapshot) = answer.unwrap_or_else(|_| panic!("a resolve takes longer than {limit:?}")) {
                for instance in snapshot.instances() {
                    let is_true = self.infos.iter().any(|info| **instance == *info);
                    assert!(is_true, "nobody registered {instance:?}");
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn never_empties(&self) -> ! {
        let mut watch = self.watch.clone();
        while let Some(change) = watch.next().await {
            assert!(self.may_empty || !change.snapshot.is_empty(), "the watch is empty: {:?}", change.difference);
        }
        panic!("the watch ended");
    }

    async fn resolves_all(&self) -> bool {
        match self.watcher.resolve(&Self::service()).await {
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
