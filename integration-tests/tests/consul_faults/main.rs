//! The Consul adapter under faults that the suite does not have: three servers and a client agent, of which one dies, freezes, is wiped or cut off.
//!
//! Needs what `scripts/test-all.sh` brings up; otherwise these show as ignored.

use std::time::Duration;

use integration_tests::environment::Backend;
use integration_tests::{ConsulCluster, Scene, eventually, trial};
use libtest_mimic::Arguments;
use registry_conformance::Timing;
use registry_consul::{Options, connect};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Tests by the names of their functions, each of which runs on a runtime of its own.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        vec![$(trial(Backend::Consul, stringify!($name), || Box::pin($name()))),*]
    };
}

fn main() {
    let tests = tests![
        all_is_back_when_the_leader_is_killed,
        all_is_back_when_the_leader_is_frozen,
        all_is_back_when_the_agent_is_killed_and_restarted,
        all_is_back_when_the_agent_is_killed_and_wiped,
        all_is_back_when_the_agent_was_cut_off_from_the_servers,
    ];
    let mut arguments = Arguments::from_args();
    // They mostly wait.
    arguments.test_threads.get_or_insert(3);
    libtest_mimic::run(&arguments, tests).exit();
}

/// Within what time the servers that are left have a leader, and the agent has found it. Not the adapter's to answer for.
const ELECTION: Duration = Duration::from_secs(60);

/// Owner and watcher are clients of the agent, as on a real machine.
async fn scene() -> Result<(ConsulCluster, Scene), Box<dyn std::error::Error>> {
    let (cluster, timing) = (ConsulCluster::start().await?, Timing::from_environment(Duration::from_secs(3))?);
    let mut handle = timing.options();
    // Servers that took the agent's node for dead need up to 40 s until they take it for alive again, and say so meanwhile. The default outlives that; the tests'
    // grace does not.
    handle.removal_grace = None;
    let options = || Options::new(cluster.agent().to_string()).with_handle(handle.clone());
    let (owner, watcher) = (connect(options()).await?, connect(options()).await?);
    let scene = Scene::open(timing, owner, watcher).await?.in_the_same_trouble();
    Ok((cluster, scene))
}

/// Waits until an independent client's write through the agent is taken: the recovery bound counts from there.
async fn takes_writes(cluster: &ConsulCluster) {
    let written = async || cluster.takes_writes().await.then_some(());
    eventually(ELECTION, "the servers take writes", written).await;
}

async fn all_is_back_when_the_leader_is_killed() -> Outcome {
    let (cluster, scene) = scene().await?;
    let leader = cluster.leader().await?;
    cluster.kill_server(leader).await?;
    scene.while_resolving(takes_writes(&cluster)).await;
    scene.comes_back("with another leader").await;
    scene.while_resolving(cluster.restart_server(leader)).await?;
    scene.comes_back("with the server again").await;
    scene.goes_on().await
}

async fn all_is_back_when_the_leader_is_frozen() -> Outcome {
    let (cluster, scene) = scene().await?;
    let leader = cluster.leader().await?;
    cluster.freeze_server(leader).await?;
    scene.while_resolving(takes_writes(&cluster)).await;
    scene.comes_back("with another leader").await;
    scene.while_resolving(cluster.thaw_server(leader)).await?;
    scene.comes_back("with the server again").await;
    scene.goes_on().await
}

async fn all_is_back_when_the_agent_is_killed_and_restarted() -> Outcome {
    let (cluster, scene) = scene().await?;
    cluster.kill_agent().await?;
    scene.while_resolving(tokio::time::sleep(scene.timing.ttl() * 2)).await;
    cluster.restart_agent().await?;
    scene.while_resolving(cluster.wait_registering()).await?;
    scene.comes_back("with the agent again").await;
    scene.goes_on().await
}

async fn all_is_back_when_the_agent_is_killed_and_wiped() -> Outcome {
    let (cluster, scene) = scene().await?;
    cluster.kill_agent().await?;
    scene.while_resolving(cluster.wipe_agent()).await?;
    scene.while_resolving(cluster.wait_registering()).await?;
    scene.comes_back("with an agent that knew nothing").await;
    scene.goes_on().await
}

async fn all_is_back_when_the_agent_was_cut_off_from_the_servers() -> Outcome {
    let (cluster, scene) = scene().await?;
    cluster.cut_agent().await?;
    // They take it for dead, with all that it has registered; the agent itself answers all the while.
    let dead = async || (!cluster.knows_agent().await).then_some(());
    scene.while_resolving(eventually(ELECTION, "the servers take the agent for dead", dead)).await;
    scene.while_resolving(tokio::time::sleep(scene.timing.ttl() * 2)).await;
    cluster.heal_agent().await?;
    scene.while_resolving(cluster.wait_registering()).await?;
    scene.comes_back("with the agent connected again").await;
    scene.goes_on().await
}
