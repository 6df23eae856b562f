//! One member is in trouble, or one after the other.

use integration_tests::{BenchError, Direction, EtcdCluster, Fault, eventually};

use crate::scene::{Failure, Scene};
use crate::{Outcome, tests};

tests![
    all_stays_when_the_leader_is_killed,
    all_stays_when_the_leader_we_talk_to_is_cut_off_from_the_others,
    all_stays_when_the_node_we_talk_to_is_killed,
    all_stays_when_the_leader_we_talk_to_is_frozen,
    all_stays_when_the_node_we_talk_to_is_out_of_our_reach,
    all_stays_through_a_rolling_restart,
    all_stays_when_the_node_we_talk_to_is_wiped_and_added_anew,
];

/// Three nodes, by the role of the one that the owner and the watcher talk to. Returns the leader, too, and that one.
async fn scene(leads: bool) -> Result<(EtcdCluster, Scene, usize, usize), Failure> {
    let cluster = EtcdCluster::start().await?;
    let leader = cluster.leader().await?;
    let connected = if leads { leader } else { (leader + 1) % 3 };
    let scene = Scene::open(&cluster, connected).await?;
    Ok((cluster, scene, leader, connected))
}

/// One member is in trouble, and then is not any more.
async fn trouble(
    scene: &Scene,
    begin: impl Future<Output = Result<(), BenchError>>,
    end: impl Future<Output = Result<(), BenchError>>,
) -> Outcome {
    let all = async {
        begin.await?;
        scene.is_written("without the node").await;
        scene.comes_back("without the node").await;
        end.await?;
        scene.comes_back("with the node again").await;
        Ok::<_, Failure>(())
    };
    scene.observed(all).await?;
    scene.goes_on().await
}

async fn all_stays_when_the_leader_is_killed() -> Outcome {
    let (cluster, scene, leader, _) = scene(false).await?;
    trouble(&scene, cluster.kill(leader), cluster.restart(leader)).await
}

async fn all_stays_when_the_leader_we_talk_to_is_cut_off_from_the_others() -> Outcome {
    let (cluster, scene, leader, _) = scene(true).await?;
    trouble(&scene, cluster.cut(leader), cluster.heal(leader)).await
}

async fn all_stays_when_the_node_we_talk_to_is_killed() -> Outcome {
    let (cluster, scene, _, connected) = scene(false).await?;
    trouble(&scene, cluster.kill(connected), cluster.restart(connected)).await
}

async fn all_stays_when_the_leader_we_talk_to_is_frozen() -> Outcome {
    let (cluster, scene, leader, _) = scene(true).await?;
    trouble(&scene, cluster.freeze(leader), cluster.thaw(leader)).await
}

async fn all_stays_when_the_node_we_talk_to_is_out_of_our_reach() -> Outcome {
    let (_cluster, scene, _, connected) = scene(false).await?;
    let cut = async {
        scene.link(connected).set(Fault::Lose(Direction::Both));
        let elsewhere = async || {
            let connections = scene.connections();
            let others = (0..connections.len()).filter(|member| *member != connected);
            (others.map(|member| connections[member]).sum::<u64>() > 0).then_some(())
        };
        eventually(scene.timing.recovery(), "the handles go to another node", elsewhere).await;
        Ok(())
    };
    let heal = async {
        scene.link(connected).heal();
        Ok(())
    };
    trouble(&scene, cut, heal).await
}

async fn all_stays_through_a_rolling_restart() -> Outcome {
    let (cluster, scene, _, connected) = scene(false).await?;
    let all = async {
        // The one that we talk to first, so that each of them serves us for a while.
        for member in (connected..connected + 3).map(|member| member % 3) {
            cluster.kill(member).await?;
            scene.is_written("between two restarts").await;
            cluster.restart(member).await?;
        }
        scene.comes_back("after the last restart").await;
        Ok::<_, Failure>(())
    };
    scene.observed(all).await?;
    scene.goes_on().await
}

async fn all_stays_when_the_node_we_talk_to_is_wiped_and_added_anew() -> Outcome {
    let (cluster, scene, _, connected) = scene(false).await?;
    let all = async {
        cluster.wipe(connected).await?;
        scene.comes_back("with the node again").await;
        // And the new node serves: the others are out of reach.
        for member in (0..3).filter(|member| *member != connected) {
            scene.link(member).set(Fault::Reset);
        }
        scene.is_written("on the new node alone").await;
        scene.comes_back("on the new node alone").await;
        Ok::<_, Failure>(())
    };
    scene.observed(all).await?;
    scene.goes_on().await
}
