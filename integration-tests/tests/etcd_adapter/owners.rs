//! Owners in processes of their own, frozen and killed.
//!
//! Each clock starts before the fault, so that no bound is kinder than the contract's.

use std::time::{Duration, Instant, UNIX_EPOCH};

use integration_tests::{OwnerProcess, eventually, never};
use registry_conformance::Timing;
use registry_core::{Info, Instance, Registry, Resolver, ServiceName};
use registry_etcd::{Handle, connect};

use crate::bench::{Bench, Outcome, tests};

tests![
    an_owner_frozen_beyond_its_ttl_is_gone_and_comes_back_field_by_field,
    a_successor_of_a_frozen_owner_stands_after_the_thaw,
    a_killed_owner_is_neither_missed_too_soon_nor_found_too_late,
];

const ADDRESS: &str = "10.0.0.1:8888";

/// Nothing at its default.
fn info() -> Result<Info, Box<dyn std::error::Error>> {
    let start = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let info = Info::builder("demo").address(ADDRESS).weight(37).payload_codec("thrift").start_time(start);
    Ok(info.warm_up(Duration::from_millis(2_500)).tag("zone", "ä=1&2").tag("", "<empty key>").build()?)
}

fn service() -> ServiceName {
    ServiceName::new("demo").expect("invariant: a valid name")
}

fn timing() -> Result<Timing, String> {
    Timing::from_environment(Duration::from_secs(2))
}

/// An owner whose entry stands.
async fn owner(bench: &Bench, timing: &Timing) -> Result<OwnerProcess, Box<dyn std::error::Error>> {
    let (host, ttl) = (bench.url.trim_start_matches("http://"), timing.ttl().as_millis());
    let url = format!("etcd://{host}/{}?ttl={ttl}ms&audit_interval={}ms", bench.prefix, timing.audit().as_millis());
    let mut owner = OwnerProcess::announcing(&url, &info()?).await?;
    owner.line_with("registered", timing.recovery()).await?;
    Ok(owner)
}

/// What any other client finds.
async fn found(client: &Handle) -> Option<Instance> {
    let snapshot = client.resolve(&service()).await.expect("the store answers");
    snapshot.get(ADDRESS).map(|instance| (**instance).clone())
}

async fn an_owner_frozen_beyond_its_ttl_is_gone_and_comes_back_field_by_field(bench: Bench) -> Outcome {
    let (timing, client) = (timing()?, connect(bench.options()).await?);
    let mut owner = owner(&bench, &timing).await?;
    let before = found(&client).await.ok_or("it is registered and not found")?;
    assert_eq!(before, Instance::from(&info()?));
    let began = Instant::now();
    owner.freeze().await?;
    let gone = async || found(&client).await.is_none().then_some(());
    eventually(timing.crash_is_over(), "the frozen owner's entry is gone", gone).await;
    assert!(began.elapsed() > timing.ttl() / 2, "gone after {:?}", began.elapsed());
    let began = Instant::now();
    owner.thaw().await?;
    let after = eventually(timing.recovery(), "the entry is back", async || found(&client).await).await;
    assert_eq!(after, before);
    owner.line_with(" registered", timing.recovery().saturating_sub(began.elapsed())).await?;
    Ok(owner.close(timing.call_ends()).await?)
}

async fn a_successor_of_a_frozen_owner_stands_after_the_thaw(bench: Bench) -> Outcome {
    let (timing, client) = (timing()?, connect(bench.options()).await?);
    let mut owner = owner(&bench, &timing).await?;
    let successor = connect(bench.options()).await?;
    let theirs = info()?.to_builder().weight(38).build()?;
    owner.freeze().await?;
    successor.register(&theirs).await?;
    let standing = Instance::from(&theirs);
    let hit = || async {
        let other = async || (found(&client).await.as_ref() != Some(&standing)).then_some(());
        eventually(timing.ttl() * 20, "something else stands", other).await;
    };
    never(timing.crash_is_over(), "the expiry of the frozen owner's lease hits its successor", hit()).await;
    owner.thaw().await?;
    let yields = async {
        tokio::select! {
            () = hit() => Err("the thawed owner hit its successor".into()),
            line = owner.line_with("displaced", timing.recovery() + timing.noticed_by_audit()) => line.map_err(Box::from),
        }
    };
    let told: Result<String, Box<dyn std::error::Error>> = yields.await;
    assert!(told?.contains(ADDRESS));
    never(timing.quiet(), "the displaced owner hits its successor", hit()).await;
    successor.deregister(&theirs).await?;
    // It lives and wants it still.
    let restored = async || found(&client).await.filter(|found| found.weight() == 37);
    eventually(timing.restored_by_audit(), "the displaced owner restores its own", restored).await;
    Ok(owner.close(timing.call_ends()).await?)
}

async fn a_killed_owner_is_neither_missed_too_soon_nor_found_too_late(bench: Bench) -> Outcome {
    let (timing, client) = (timing()?, connect(bench.options()).await?);
    let owner = owner(&bench, &timing).await?;
    let watch = client.watch(&service())?;
    eventually(timing.prompt(), "the watch has it", async || watch.latest().get(ADDRESS).cloned()).await;
    let began = Instant::now();
    owner.kill().await?;
    let absent = async || (found(&client).await.is_none() || watch.latest().is_empty()).then_some(());
    let missed = eventually(timing.ttl() * 20, "it is missed", absent);
    never(timing.crash_is_unnoticed().saturating_sub(began.elapsed()), "it is missed", missed).await;
    let gone = async || found(&client).await.is_none().then_some(());
    let left = timing.crash_is_over().saturating_sub(began.elapsed());
    eventually(left, "no resolve returns it", gone).await;
    eventually(timing.prompt(), "no watch has it", async || watch.latest().is_empty().then_some(())).await;
    Ok(())
}
