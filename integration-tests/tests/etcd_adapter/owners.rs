//! Owners in processes of their own, frozen and killed.

use std::time::Duration;

use integration_tests::OwnerScene;
use registry_conformance::Timing;
use registry_etcd::connect;

use crate::bench::{Bench, Outcome, tests};

tests![
    an_owner_frozen_beyond_its_ttl_is_gone_and_comes_back_field_by_field,
    a_successor_of_a_frozen_owner_stands_after_the_thaw,
    a_killed_owner_is_neither_missed_too_soon_nor_found_too_late,
];

async fn scene(bench: &Bench) -> Result<OwnerScene, Box<dyn std::error::Error>> {
    let timing = Timing::from_environment(Duration::from_secs(2))?;
    let (client, successor) = (connect(bench.options()).await?, connect(bench.options()).await?);
    let url = format!("etcd://{}/{}", bench.url.trim_start_matches("http://"), bench.prefix);
    Ok(OwnerScene::new(timing, &url, &"demo".try_into()?, client, successor))
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
