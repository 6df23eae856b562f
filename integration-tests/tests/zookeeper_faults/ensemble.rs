//! Three nodes, of which one is in trouble. The owner and the watcher are given all three.

use std::time::Duration;

use integration_tests::{Acl, Scene, ZooKeeperDoor, ZooKeeperEnsemble, eventually};

use crate::scene::{self, Failure, holder};
use crate::{Outcome, tests};

tests![
    all_is_back_when_the_connected_node_is_killed,
    all_is_back_when_the_connected_node_is_frozen,
    all_is_back_when_the_connected_node_is_cut_off_from_the_others,
    all_is_back_when_the_leader_is_frozen,
    all_stays_or_is_back_through_a_rolling_restart,
];

/// Within what time the nodes that are left have a leader. Not the adapter's to answer for.
const ELECTION: Duration = Duration::from_secs(60);

async fn scene() -> Result<(ZooKeeperEnsemble, Scene), Failure> {
    let ensemble = ZooKeeperEnsemble::start().await?;
    let scene = scene::scene(&ensemble.addresses(), &ensemble.addresses()).await?;
    Ok((ensemble, scene))
}

/// The node that the owner's session is connected to.
async fn connected(ensemble: &ZooKeeperEnsemble, scene: &Scene) -> Result<usize, Failure> {
    let session = holder(ensemble.address(0), &scene.infos[0]).await?;
    Ok(ensemble.member_of(session.ok_or("nothing is registered")?).await?)
}

/// Waits until a node other than this one takes an independent client's write: the recovery bound counts from there.
async fn serves_without(ensemble: &ZooKeeperEnsemble, member: usize) {
    let other = ensemble.address((member + 1) % 3);
    let write = async || {
        let mut door = ZooKeeperDoor::open(other).await.ok()?;
        let written = door.replace("/probe", b"", Acl::OPEN).await;
        door.close().await.ok();
        written.ok()
    };
    eventually(ELECTION, "the other nodes serve writes", write).await;
}

async fn all_is_back_when_the_connected_node_is_killed() -> Outcome {
    let (ensemble, scene) = scene().await?;
    let member = connected(&ensemble, &scene).await?;
    ensemble.kill(member).await?;
    scene.while_resolving(serves_without(&ensemble, member)).await;
    scene.comes_back("without the node").await;
    ensemble.restart(member).await?;
    scene.comes_back("with the node again").await;
    scene.goes_on().await
}

async fn all_is_back_when_the_connected_node_is_frozen() -> Outcome {
    let (ensemble, scene) = scene().await?;
    let member = connected(&ensemble, &scene).await?;
    ensemble.freeze(member).await?;
    scene.while_resolving(serves_without(&ensemble, member)).await;
    scene.comes_back("without the node").await;
    ensemble.thaw(member).await?;
    scene.comes_back("with the node again").await;
    scene.goes_on().await
}

async fn all_is_back_when_the_connected_node_is_cut_off_from_the_others() -> Outcome {
    let (ensemble, scene) = scene().await?;
    let member = connected(&ensemble, &scene).await?;
    ensemble.cut(member).await?;
    scene.while_resolving(serves_without(&ensemble, member)).await;
    // It notices by itself that it is alone, after the others have, and closes its clients' connections then.
    let alone = async || (!ensemble.serves(member).await).then_some(());
    scene.while_resolving(eventually(ELECTION, "the node knows that it is alone", alone)).await;
    scene.comes_back("without the node").await;
    ensemble.heal(member).await?;
    scene.comes_back("with the node again").await;
    scene.goes_on().await
}

async fn all_is_back_when_the_leader_is_frozen() -> Outcome {
    let (ensemble, scene) = scene().await?;
    let leader = ensemble.leader().await?;
    ensemble.freeze(leader).await?;
    scene.while_resolving(serves_without(&ensemble, leader)).await;
    scene.comes_back("with another leader").await;
    ensemble.thaw(leader).await?;
    scene.comes_back("with the node again").await;
    scene.goes_on().await
}

async fn all_stays_or_is_back_through_a_rolling_restart() -> Outcome {
    let (ensemble, scene) = scene().await?;
    for member in 0..3 {
        let restart = async {
            ensemble.kill(member).await?;
            ensemble.restart(member).await
        };
        scene.while_resolving(restart).await?;
    }
    scene.comes_back("after the last restart").await;
    scene.goes_on().await
}
