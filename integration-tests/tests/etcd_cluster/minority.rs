//! A node that is cut off from the others, and still answers what it knew.

use std::time::Instant;

use etcd_client::{Client, GetOptions};
use integration_tests::{EtcdCluster, eventually};
use registry_core::{ErrorKind, Registry, Resolver};
use registry_etcd::connect;

use crate::scene::{ELECTION, Failure, Scene, folder, marked, options, service};
use crate::{Outcome, marker, tests};

tests![a_node_that_is_cut_off_and_answers_stale_is_not_believed];

/// The marker's weight, as this node has it without asking the others.
async fn believes(node: std::net::SocketAddr) -> Result<u32, Failure> {
    let mut door = Client::connect([format!("http://{node}")], None).await?;
    let key = format!("{}{}", folder(), marker::ADDRESS);
    let read = door.get(key, Some(GetOptions::new().with_serializable())).await?;
    Ok(marker::weight(read.kvs().first().ok_or("the node has no marker")?.value()))
}

async fn a_node_that_is_cut_off_and_answers_stale_is_not_believed() -> Outcome {
    let cluster = EtcdCluster::start().await?;
    let alone = (cluster.leader().await? + 1) % 3;
    let scene = Scene::open(&cluster, alone).await?;
    // Knows this node and no other.
    let captive = connect(options([cluster.address(alone)], &scene.timing)).await?;
    let watch = captive.watch(&service())?;
    let knows = async || marked(&watch.latest()).map(drop);
    eventually(scene.timing.prompt(), "the watch knows what stands", knows).await;
    let all = async {
        cluster.cut(alone).await?;
        scene.is_written("without the node").await;
        let (old, new) = (believes(cluster.address(alone)).await?, scene.marker.confirmed());
        assert!(old < new, "the node that is cut off is up to date: {old} of {new}");
        // Only its answers are to be had: none is right, so that there is none.
        let began = Instant::now();
        let refused = captive.resolve(&service()).await.map(|list| list.len()).expect_err("it resolves");
        assert!(began.elapsed() < scene.timing.call_ends(), "after {:?}", began.elapsed());
        assert!(matches!(refused.kind(), ErrorKind::Unreachable | ErrorKind::TimedOut), "{refused}");
        let stale = async || {
            let latest = watch.latest();
            assert!(!latest.is_empty());
            latest.stale().map(drop)
        };
        eventually(ELECTION, "the watch on the node alone is stale", stale).await;
        // Who knows the others, too, does not depend on it.
        scene.comes_back("without the node").await;
        cluster.heal(alone).await?;
        scene.comes_back("with the node again").await;
        let catches_up = async || {
            let latest = watch.latest();
            (latest.stale().is_none() && latest.len() == 4 && marked(&latest) > Some(new)).then_some(())
        };
        let bound = scene.timing.recovery() + scene.timing.grace();
        eventually(bound, "the watch on the node catches up", catches_up).await;
        let confirmed = scene.marker.confirmed();
        assert!(marked(&captive.resolve(&service()).await?) >= Some(confirmed));
        Ok::<_, Failure>(())
    };
    scene.observed(all).await?;
    captive.close().await?;
    scene.goes_on().await
}
