//! Owners in processes of their own, frozen.

use integration_tests::{OwnerScene, Scene, ZooKeeperServer};
use registry_zookeeper::connect;

use crate::scene::{Failure, options, timing};
use crate::{Outcome, tests};

tests![
    an_owner_frozen_beyond_its_ttl_is_gone_and_comes_back_field_by_field,
    a_successor_of_a_frozen_owner_stands_after_the_thaw,
];

async fn scene(server: &ZooKeeperServer) -> Result<OwnerScene, Failure> {
    let timing = timing()?;
    let connect = async || connect(options(&[server.address()], &timing)).await;
    let (client, successor) = (connect().await?, connect().await?);
    Ok(OwnerScene::new(timing, &format!("zookeeper://{}", server.address()), &Scene::service(), client, successor))
}

async fn an_owner_frozen_beyond_its_ttl_is_gone_and_comes_back_field_by_field() -> Outcome {
    let server = ZooKeeperServer::start().await?;
    scene(&server).await?.frozen_owner_is_gone_and_comes_back().await
}

async fn a_successor_of_a_frozen_owner_stands_after_the_thaw() -> Outcome {
    let server = ZooKeeperServer::start().await?;
    scene(&server).await?.successor_of_a_frozen_owner_stands().await
}
