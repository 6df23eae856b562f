//! Handles from end to end.

use std::time::Duration;

use integration_tests::FaultProxy;
use registry_core::store::Guard;
use registry_etcd::{Options, Registry, Resolver, connect};

use crate::bench::{Bench, Outcome, eventually, info, place, tests};

tests![
    a_registration_is_found_watched_and_withdrawn,
    a_revoked_lease_is_replaced,
    a_successor_stays_when_the_displaced_closes,
    a_dropped_handle_leaves_nothing_running,
    an_idle_handle_keeps_its_connections,
];

async fn a_registration_is_found_watched_and_withdrawn(bench: Bench) -> Outcome {
    let (server, client) = (connect(bench.options()).await?, connect(bench.options()).await?);
    let watch = client.watch(&"demo".try_into()?)?;
    server.register(&info(1)).await?;
    assert_eq!(client.resolve(&"demo".try_into()?).await?.len(), 1);
    eventually("the watch has it", async || watch.latest().len() == 1).await;
    server.close().await?;
    assert!(client.resolve(&"demo".try_into()?).await?.is_empty());
    eventually("the watch has lost it", async || watch.latest().is_empty()).await;
    client.close().await?;
    Ok(())
}

async fn a_revoked_lease_is_replaced(bench: Bench) -> Outcome {
    let server = connect(bench.options()).await?;
    server.register(&info(1)).await?;
    let (_, lease) = bench.raw(&place(1)).await.unwrap();
    bench.door.lease_client().revoke(lease).await?;
    eventually("another lease holds it", async || bench.raw(&place(1)).await.is_some_and(|(_, now)| now != lease))
        .await;
    server.close().await?;
    Ok(())
}

async fn a_successor_stays_when_the_displaced_closes(bench: Bench) -> Outcome {
    let first = connect(bench.options()).await?;
    first.register(&info(1)).await?;
    let successor = bench.owner().await;
    assert!(successor.put(1, Guard::Claim).await.is_ok());
    first.deregister(&info(1)).await?;
    first.close().await?;
    assert_eq!(bench.raw(&place(1)).await.unwrap().1, successor.lease());
    Ok(())
}

async fn a_dropped_handle_leaves_nothing_running(bench: Bench) -> Outcome {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let server = connect(bench.options()).await?;
    server.register(&info(1)).await?;
    let watch = server.watch(&"demo".try_into()?)?;
    eventually("the watch has it", async || watch.latest().len() == 1).await;
    drop((server, watch));
    eventually("no task is left", async || tasks() <= before).await;
    Ok(())
}

async fn an_idle_handle_keeps_its_connections(bench: Bench) -> Outcome {
    let proxy = FaultProxy::start(bench.url.trim_start_matches("http://").parse()?).await?;
    let mut options = Options::new([proxy.address().to_string()]).with_prefix(&bench.prefix);
    options.handle.audit_interval = Duration::from_secs(3_600);
    let server = connect(options).await?;
    server.register(&info(1)).await?;
    let before = proxy.counts();
    // Long enough for a fourth ping, after which a server closes a connection on which it wants none.
    tokio::time::sleep(Duration::from_secs(27)).await;
    let after = proxy.counts();
    assert_eq!((after.accepted, after.open), (before.accepted, before.open));
    assert!(after.messages > before.messages, "it has renewed its lease meanwhile");
    server.close().await?;
    Ok(())
}
