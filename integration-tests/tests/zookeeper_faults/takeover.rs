//! A claimer that deletes another owner's node and creates its own, as Go Kitex and Curator do.

use std::time::Duration;

use integration_tests::{Scene, ZooKeeperDoor, ZooKeeperServer, eventually};
use registry_core::{RegistrationState, Registry};
use registry_zookeeper::connect;

use crate::scene::{options, path, timing};
use crate::{Outcome, tests};

tests![a_claimer_that_deletes_and_creates_wins];

/// How many addresses are claimed.
const CLAIMS: u16 = 50;

/// What a claimer writes; Go Kitex's form.
const THEIRS: &[u8] = br#"{"Weight":7,"Tags":null}"#;

async fn a_claimer_that_deletes_and_creates_wins() -> Outcome {
    let (server, timing) = (ZooKeeperServer::start().await?, timing()?);
    let owner = connect(options(&[server.address()], &timing)).await?;
    let infos: Vec<_> = (0..CLAIMS).map(Scene::info).collect();
    for info in &infos {
        owner.register(info).await?;
    }
    let mut claimer = ZooKeeperDoor::open(server.address()).await?;
    for (number, info) in infos.iter().enumerate() {
        assert!(claimer.delete(&path(info)).await?, "nothing stood at {}", path(info));
        // From nothing to half a second between the two.
        let pause = Duration::from_millis(500) * u32::try_from(number)? / u32::from(CLAIMS - 1);
        tokio::time::sleep(pause).await;
        assert!(claimer.create_ephemeral(&path(info), THEIRS).await?, "{pause:?} later {} is taken", path(info));
    }
    let all_yield = async || {
        let theirs = claimers(&mut claimer, &infos).await;
        assert_eq!(theirs, infos.len(), "the owner has taken back what was claimed");
        let yields =
            |info| owner.registration(info).map(|now| now.borrow().state) == Some(RegistrationState::Displaced);
        infos.iter().all(yields).then_some(())
    };
    eventually(timing.noticed_by_audit(), "the owner yields each of them", all_yield).await;
    owner.close().await?;
    assert_eq!(claimers(&mut claimer, &infos).await, infos.len(), "the owner's close has hit the claimer");
    Ok(claimer.close().await?)
}

/// How many of them are the claimer's.
async fn claimers(claimer: &mut ZooKeeperDoor, infos: &[registry_core::Info]) -> usize {
    let mut theirs = 0;
    for info in infos {
        let node = claimer.get(&path(info)).await.expect("the server answers");
        theirs += usize::from(node.is_some_and(|node| node.owner == Some(claimer.session()) && node.data == THEIRS));
    }
    theirs
}
