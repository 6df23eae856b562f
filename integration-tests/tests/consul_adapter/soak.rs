//! Cases of minutes, which an agent's reaping takes: ignored by default, CONTRIBUTING.md has the command. `owners` and `processes` have their shorter forms.

use std::time::Duration;

use integration_tests::{OwnerProcess, eventually};

use crate::bench::{Bench, Outcome, TTL, tests};
use crate::owners;

tests![
    go_over_ours_stands_for_three_minutes_while_our_owner_lives,
    go_over_ours_stands_for_three_minutes_after_our_owner_died,
    ours_over_go_is_reaped_when_we_stop_though_something_listens,
    an_owner_frozen_until_it_was_reaped_is_back_after_the_thaw,
];

/// An agent removes what is critical for a minute, and sweeps each half minute.
const REAPED: Duration = Duration::from_secs(60 + 30 + 15);
/// Past every reaping.
const WATCHED: Duration = Duration::from_secs(180);

async fn go_over_ours_stands_for_three_minutes_while_our_owner_lives(bench: Bench) -> Outcome {
    owners::go_over_a_living_owner(bench, WATCHED).await
}

async fn go_over_ours_stands_for_three_minutes_after_our_owner_died(bench: Bench) -> Outcome {
    owners::go_over_a_dead_owner(bench, WATCHED).await
}

async fn ours_over_go_is_reaped_when_we_stop_though_something_listens(bench: Bench) -> Outcome {
    owners::ours_over_go_expires(&bench).await?;
    is_reaped(&bench).await;
    Ok(())
}

async fn an_owner_frozen_until_it_was_reaped_is_back_after_the_thaw(bench: Bench) -> Outcome {
    let url = format!("{}?ttl={}ms", bench.url.replace("http://", "consul://"), TTL.as_millis());
    let mut owner = OwnerProcess::announcing(&url, &bench.info(1)).await?;
    owner.line_with(" registered", TTL * 3).await?;
    owner.freeze().await?;
    is_reaped(&bench).await;
    owner.thaw().await?;
    let back = async || (bench.door.status(&bench.id(1)).await == "passing").then_some(());
    // One renewal, the second look a second later, and the writing.
    eventually(TTL / 3 + Duration::from_secs(5), "it is back, and passes", back).await;
    Ok(owner.close(Duration::from_secs(5)).await?)
}

/// Waits until the agent has removed what was registered.
async fn is_reaped(bench: &Bench) {
    let gone = async || bench.door.service(&bench.id(1)).await.is_null().then_some(());
    eventually(TTL + REAPED, "the agent has removed it", gone).await;
}
