//! Owners in processes of their own, frozen.
//!
//! Each clock starts before the fault, so that no bound is kinder than the contract's.

use std::time::{Duration, Instant, UNIX_EPOCH};

use integration_tests::{OwnerProcess, ZooKeeperServer, eventually, never};
use registry_conformance::Timing;
use registry_core::{Info, Instance, Registry, Resolver};
use registry_zookeeper::{Handle, connect};

use crate::scene::{Failure, options, service, timing};
use crate::{Outcome, tests};

tests![
    an_owner_frozen_beyond_its_ttl_is_gone_and_comes_back_field_by_field,
    a_successor_of_a_frozen_owner_stands_after_the_thaw,
];

const ADDRESS: &str = "10.0.0.1:8888";

/// Nothing at its default.
fn info() -> Result<Info, Failure> {
    let start = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let info = Info::builder("demo").address(ADDRESS).weight(37).payload_codec("thrift").start_time(start);
    Ok(info.warm_up(Duration::from_millis(2_500)).tag("zone", "ä=1&2").tag("", "<empty key>").build()?)
}

/// An owner whose entry stands.
async fn owner(server: &ZooKeeperServer, timing: &Timing) -> Result<OwnerProcess, Failure> {
    let (ttl, audit) = (timing.ttl().as_millis(), timing.audit().as_millis());
    let url = format!("zookeeper://{}?ttl={ttl}ms&audit_interval={audit}ms", server.address());
    let mut owner = OwnerProcess::announcing(&url, &info()?).await?;
    owner.line_with("registered", timing.recovery()).await?;
    Ok(owner)
}

/// What any other client finds.
async fn found(client: &Handle) -> Option<Instance> {
    let snapshot = client.resolve(&service()).await.expect("the store answers");
    snapshot.get(ADDRESS).map(|instance| (**instance).clone())
}

async fn an_owner_frozen_beyond_its_ttl_is_gone_and_comes_back_field_by_field() -> Outcome {
    let (server, timing) = (ZooKeeperServer::start().await?, timing()?);
    let client = connect(options(&[server.address()], &timing)).await?;
    let mut owner = owner(&server, &timing).await?;
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

async fn a_successor_of_a_frozen_owner_stands_after_the_thaw() -> Outcome {
    let (server, timing) = (ZooKeeperServer::start().await?, timing()?);
    let client = connect(options(&[server.address()], &timing)).await?;
    let mut owner = owner(&server, &timing).await?;
    let successor = connect(options(&[server.address()], &timing)).await?;
    let theirs = info()?.to_builder().weight(38).build()?;
    owner.freeze().await?;
    successor.register(&theirs).await?;
    let standing = Instance::from(&theirs);
    let hit = || async {
        let other = async || (found(&client).await.as_ref() != Some(&standing)).then_some(());
        eventually(timing.ttl() * 20, "something else stands", other).await;
    };
    never(timing.crash_is_over(), "the expiry of the frozen owner's session hits its successor", hit()).await;
    owner.thaw().await?;
    let told: Result<String, Failure> = tokio::select! {
        () = hit() => Err("the thawed owner hit its successor".into()),
        line = owner.line_with("displaced", timing.recovery() + timing.noticed_by_audit()) => line.map_err(Box::from),
    };
    assert!(told?.contains(ADDRESS));
    never(timing.quiet(), "the displaced owner hits its successor", hit()).await;
    Ok(owner.close(timing.call_ends()).await?)
}
