//! Handles that are opened while etcd is away.

use std::time::{Duration, Instant};

use etcd_client::Client as Door;
use integration_tests::{Direction, EtcdServer, Fault, FaultProxy, eventually, never};
use registry_conformance::Timing;
use registry_core::{ErrorKind, HandleOptions, Registry, Resolver, Watch};
use registry_etcd::{Handle, Options, connect};

use crate::bench::{Bench, Outcome, info, tests};

tests![
    "REGISTRY_TEST_ETCD", "REGISTRY_TEST_ETCD_IMAGE" =>
    a_watch_opened_before_etcd_is_up_is_unknown_and_then_has_what_stands,
    a_watch_opened_before_an_empty_etcd_is_up_is_unknown_and_then_empty,
    a_resolve_leaves_a_silent_endpoint_for_one_that_answers,
];

fn timing() -> Result<Timing, String> {
    Timing::from_environment(Duration::from_secs(2))
}

fn lazy(server: &EtcdServer, timing: &Timing) -> Options {
    let mut timings: HandleOptions = timing.options();
    timings.lazy = true;
    Options::new([server.address().to_string()]).with_handle(timings)
}

/// A watch on a server that is down, from its first moment on.
async fn early(server: &EtcdServer, timing: &Timing) -> Result<(Handle, Watch), Box<dyn std::error::Error>> {
    let handle = connect(lazy(server, timing)).await?;
    let mut watch = handle.watch(&"demo".try_into()?)?;
    assert!(!watch.latest().is_known());
    let refused = async || {
        let latest = watch.latest();
        latest.stale().map(|stale| (stale.kind, stale.text.clone())).inspect(|_| assert!(!latest.is_known()))
    };
    let (kind, text) = eventually(timing.prompt(), "the watch says why it knows nothing", refused).await;
    assert_eq!(kind, ErrorKind::Unreachable, "{text}");
    assert!(text.contains(&server.address().to_string()), "{text}");
    never(timing.quiet(), "a list without an answer", watch.next()).await;
    Ok((handle, watch))
}

async fn a_watch_opened_before_etcd_is_up_is_unknown_and_then_has_what_stands(_: Bench) -> Outcome {
    let (timing, server) = (timing()?, EtcdServer::start().await?);
    let stood = br#"{"network":"tcp","address":"10.0.0.7:8888","weight":10,"tags":null}"#;
    let mut door = Door::connect([server.url()], None).await?;
    door.put("kitex/registry-etcd/demo/10.0.0.7:8888", stood, None).await?;
    server.kill().await?;
    let (handle, mut watch) = early(&server, &timing).await?;
    server.restart().await?;
    let first = tokio::time::timeout(timing.recovery(), watch.next()).await?.ok_or("the watch ended")?;
    assert_eq!(first.difference.added.len(), 1);
    assert!(first.snapshot.get("10.0.0.7:8888").is_some() && first.snapshot.stale().is_none());
    // Later changes are told, too.
    handle.register(&info(1)).await?;
    let second = tokio::time::timeout(timing.prompt(), watch.next()).await?.ok_or("the watch ended")?;
    assert_eq!((second.snapshot.len(), second.difference.added.len()), (2, 1));
    Ok(handle.close().await?)
}

async fn a_watch_opened_before_an_empty_etcd_is_up_is_unknown_and_then_empty(_: Bench) -> Outcome {
    let (timing, server) = (timing()?, EtcdServer::start().await?);
    server.kill().await?;
    let (_handle, mut watch) = early(&server, &timing).await?;
    server.restart().await?;
    let first = tokio::time::timeout(timing.recovery(), watch.next()).await?.ok_or("the watch ended")?;
    assert!(first.snapshot.is_known() && first.snapshot.is_empty() && first.snapshot.stale().is_none());
    Ok(())
}

async fn a_resolve_leaves_a_silent_endpoint_for_one_that_answers(bench: Bench) -> Outcome {
    let (timing, service) = (timing()?, "demo".try_into()?);
    let server = bench.url.trim_start_matches("http://").parse()?;
    let members = [FaultProxy::start(server).await?, FaultProxy::start(server).await?];
    // So long that no renewal finds the silent member first, and that the entry stands however slow the machine is.
    let mut options = bench.options().with_handle(timing.options()).with_ttl(Duration::from_secs(60));
    options.endpoints = members.iter().map(|member| member.address().to_string()).collect();
    let handle = connect(options).await?;
    handle.register(&info(1)).await?;
    let asked = |number: usize| members[number].counts().to_client;
    let before = [asked(0), asked(1)];
    handle.resolve(&service).await?;
    let used = usize::from(asked(0) == before[0]);
    // As if the member were frozen: its connections stay, and nothing is answered.
    members[used].set(Fault::Lose(Direction::Both));
    let began = Instant::now();
    assert_eq!(handle.resolve(&service).await?.len(), 1);
    let limit = handle.options().attempt_timeout + timing.allow(Duration::from_secs(1));
    assert!(began.elapsed() < limit, "after {:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(handle.resolve(&service).await?.len(), 1);
    assert!(began.elapsed() < timing.allow(Duration::from_secs(1)), "the silent one was asked again");
    Ok(handle.close().await?)
}
