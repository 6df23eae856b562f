//! Owners in processes of their own, frozen and killed.

use integration_tests::OwnerScene;
use registry_conformance::Timing;
use registry_consul::connect;

use crate::bench::{Bench, Outcome, TTL, tests};

tests![
    an_owner_frozen_beyond_its_ttl_is_gone_and_comes_back_field_by_field,
    a_successor_of_a_frozen_owner_stands_after_the_thaw,
    a_killed_owner_is_neither_missed_too_soon_nor_found_too_late,
];

async fn scene(bench: &Bench) -> Result<OwnerScene, Box<dyn std::error::Error>> {
    let timing = Timing::from_environment(TTL)?;
    let options = || bench.options().with_handle(timing.options());
    let (client, successor) = (connect(options()).await?, connect(options()).await?);
    let url = bench.url.replace("http://", "consul://");
    Ok(OwnerScene::new(timing, &url, &bench.service, client, successor).judging_health())
}

async fn an_owner_frozen_beyond_its_ttl_is_gone_and_comes_back_field_by_field(bench: Bench) -> Outcome {
    scene(&bench).await?.frozen_owner_is_gone_and_comes_back().await
}

async fn a_successor_of_a_frozen_owner_stands_after_the_thaw(bench: Bench) -> Outcome {
    scene(&bench).await?.successor_of_a_frozen_owner_stands().await
}

async fn a_killed_owner_is_neither_missed_too_soon_nor_found_too_late(bench: Bench) -> Outcome {
    scene(&bench).await?.killed_owner_is_missed_in_time().await
}
