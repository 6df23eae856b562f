//! Owners in processes of their own.

use std::time::Duration;

use integration_tests::OwnerProcess;

use crate::{Outcome, tests};

tests![Etcd:
    an_owner_tells_when_it_is_registered_and_closes_when_asked,
    a_frozen_owner_does_not_close,
    a_frozen_owner_goes_on_when_it_thaws,
    a_frozen_owner_can_be_killed,
    an_owner_that_cannot_start_is_reported,
];

const SOON: Duration = Duration::from_secs(20);

async fn owner() -> Result<OwnerProcess, Box<dyn std::error::Error>> {
    let mut owner = OwnerProcess::start("memory://bench", "demo", "10.0.0.1:8888").await?;
    owner.line_with("registered", SOON).await?;
    Ok(owner)
}

async fn an_owner_tells_when_it_is_registered_and_closes_when_asked() -> Outcome {
    Ok(owner().await?.close(SOON).await?)
}

async fn a_frozen_owner_does_not_close() -> Outcome {
    let owner = owner().await?;
    owner.freeze().await?;
    let closing = owner.close(Duration::from_millis(300)).await;
    assert!(closing.is_err(), "a frozen owner closes");
    Ok(())
}

async fn a_frozen_owner_goes_on_when_it_thaws() -> Outcome {
    let owner = owner().await?;
    owner.freeze().await?;
    owner.thaw().await?;
    Ok(owner.close(SOON).await?)
}

async fn a_frozen_owner_can_be_killed() -> Outcome {
    let owner = owner().await?;
    owner.freeze().await?;
    Ok(owner.kill().await?)
}

async fn an_owner_that_cannot_start_is_reported() -> Outcome {
    let mut owner = OwnerProcess::start("nonsense://bench", "demo", "10.0.0.1:8888").await?;
    assert!(owner.line_with("registered", SOON).await.is_err());
    Ok(())
}
