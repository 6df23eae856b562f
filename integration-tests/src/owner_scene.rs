//! An owner in a process of its own that is frozen or killed, while others look on: the same story on every store.
//!
//! Each clock starts before the fault, so that no bound is kinder than the contract's.

use std::error::Error;
use std::time::{Duration, Instant, UNIX_EPOCH};

use registry_conformance::Timing;
use registry_core::{Handle, Info, Instance, Registry as _, Resolver as _, ServiceName};

use crate::{OwnerProcess, eventually, never};

const ADDRESS: &str = "10.0.0.1:8888";

type Outcome = Result<(), Box<dyn Error>>;

/// One instance that a process keeps, a client that looks for it, and another handle that may take its address over.
///
/// What it asserts it asserts by panicking, as a test does.
#[derive(Debug)]
pub struct OwnerScene {
    timing: Timing,
    url: String,
    info: Info,
    client: Handle,
    successor: Handle,
    /// Within what time what was registered is found: no time where reads are linearizable.
    lag: Duration,
    /// How long a watch holds what may be an outage of all owners (W4).
    held: Duration,
    /// Whether an owner that was frozen learns that it had lost its session.
    is_told: bool,
}

impl OwnerScene {
    /// An instance of `service` on the store that `url` names, which has no options yet; two other handles on that store.
    pub fn new(timing: Timing, url: &str, service: &ServiceName, client: Handle, successor: Handle) -> Self {
        let (ttl, audit) = (timing.ttl().as_millis(), timing.audit().as_millis());
        let url = format!("{url}?ttl={ttl}ms&audit_interval={audit}ms");
        let (lag, held) = (Duration::ZERO, Duration::ZERO);
        Self { timing, url, info: info(service), client, successor, lag, held, is_told: true }
    }

    /// The same on a store that has no sessions and judges health, as Consul: reads follow writes promptly and not at once; what makes the only instance
    /// unhealthy may be an outage; and an owner heals its entry by its next renewal, having noticed nothing.
    #[must_use]
    pub fn judging_health(self) -> Self {
        Self { lag: self.timing.prompt(), held: self.timing.grace(), is_told: false, ..self }
    }

    /// Frozen for longer than its TTL an owner is gone, and after the thaw its entry is back, field by field.
    ///
    /// # Errors
    /// When the process does not do as it is told.
    pub async fn frozen_owner_is_gone_and_comes_back(self) -> Outcome {
        let (timing, mut owner) = (&self.timing, self.owner().await?);
        let before = eventually(self.lag, "what is registered is found", async || self.found().await).await;
        assert_eq!(before, Instance::from(&self.info));
        let began = Instant::now();
        owner.freeze().await?;
        let gone = async || self.found().await.is_none().then_some(());
        eventually(timing.crash_is_over(), "the frozen owner's entry is gone", gone).await;
        assert!(began.elapsed() > timing.crash_is_unnoticed(), "gone after {:?}", began.elapsed());
        let began = Instant::now();
        owner.thaw().await?;
        let after = eventually(timing.recovery(), "the entry is back", async || self.found().await).await;
        assert_eq!(after, before);
        if self.is_told {
            owner.line_with(" registered", timing.recovery().saturating_sub(began.elapsed())).await?;
        }
        Ok(owner.close(timing.call_ends()).await?)
    }

    /// Who takes over from a frozen owner is hit neither by its expiry nor by its thaw; when it leaves, the thawed one takes its place again.
    ///
    /// # Errors
    /// When the process does not do as it is told.
    pub async fn successor_of_a_frozen_owner_stands(self) -> Outcome {
        let (timing, mut owner) = (&self.timing, self.owner().await?);
        let theirs = self.info.to_builder().weight(38).build()?;
        owner.freeze().await?;
        self.successor.register(&theirs).await?;
        let standing = Instance::from(&theirs);
        let stands = async || (self.found().await.as_ref() == Some(&standing)).then_some(());
        eventually(self.lag, "the successor is found", stands).await;
        let hit = || async {
            let other = async || (self.found().await.as_ref() != Some(&standing)).then_some(());
            eventually(timing.ttl() * 20, "something else stands", other).await;
        };
        never(timing.crash_is_over(), "the expiry of the frozen owner hits its successor", hit()).await;
        owner.thaw().await?;
        let yields = owner.line_with("displaced", timing.recovery() + timing.noticed_by_audit());
        let told = tokio::select! {
            () = hit() => panic!("the thawed owner hit its successor"),
            line = yields => line?,
        };
        assert!(told.contains(ADDRESS), "{told}");
        never(timing.quiet(), "the displaced owner hits its successor", hit()).await;
        self.successor.deregister(&theirs).await?;
        // It lives and wants it still.
        let restored = async || self.found().await.filter(|found| found.weight() == self.info.weight());
        eventually(timing.restored_by_audit(), "the displaced owner restores its own", restored).await;
        Ok(owner.close(timing.call_ends()).await?)
    }

    /// A killed owner is neither missed too soon nor found too late, by those who ask and by those who watch.
    ///
    /// # Errors
    /// When the process does not do as it is told.
    pub async fn killed_owner_is_missed_in_time(self) -> Outcome {
        let (timing, owner) = (&self.timing, self.owner().await?);
        let watch = self.client.watch(self.info.service())?;
        eventually(timing.prompt(), "the watch has it", async || watch.latest().get(ADDRESS).cloned()).await;
        eventually(self.lag, "what is registered is found", async || self.found().await).await;
        let began = Instant::now();
        owner.kill().await?;
        let absent = async || (self.found().await.is_none() || watch.latest().is_empty()).then_some(());
        let missed = eventually(timing.ttl() * 20, "it is missed", absent);
        never(timing.crash_is_unnoticed().saturating_sub(began.elapsed()), "it is missed", missed).await;
        let gone = async || self.found().await.is_none().then_some(());
        let left = timing.crash_is_over().saturating_sub(began.elapsed());
        eventually(left, "no resolve returns it", gone).await;
        eventually(timing.prompt() + self.held, "no watch has it", async || watch.latest().is_empty().then_some(()))
            .await;
        Ok(())
    }

    /// An owner whose entry stands.
    async fn owner(&self) -> Result<OwnerProcess, Box<dyn Error>> {
        let mut owner = OwnerProcess::announcing(&self.url, &self.info).await?;
        owner.line_with("registered", self.timing.recovery()).await?;
        Ok(owner)
    }

    /// What any other client finds.
    async fn found(&self) -> Option<Instance> {
        let snapshot = self.client.resolve(self.info.service()).await.expect("the store answers");
        snapshot.get(ADDRESS).map(|instance| (**instance).clone())
    }
}

/// Nothing at its default.
fn info(service: &ServiceName) -> Info {
    let start = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let info = Info::builder(service.as_str()).address(ADDRESS).weight(37).payload_codec("thrift").start_time(start);
    let info = info.warm_up(Duration::from_millis(2_500)).tag("zone", "ä=1&2").tag("", "<empty key>");
    info.build().expect("invariant: all fields are valid")
}
