//! 10,000 single `register` calls at once.

use std::time::Instant;

use registry_core::Registry;

use crate::Outcome;
use crate::bare;
use crate::ground::{Failure, Ground, infos, register_all, rounds, row, time};

pub(crate) fn run() -> Outcome {
    let (ground, infos) = (Ground::new()?, infos());
    let pairs = ground.runtime.block_on(async {
        let client = bare::client(&ground.server).await?;
        let mut pairs = Vec::new();
        for round in 0..=rounds() {
            let owner = ground.handle().await?;
            let start = Instant::now();
            register_all(&owner, &infos).await?;
            let ours = start.elapsed();
            owner.close().await?;
            let mut floors = Vec::new();
            for in_flight in [1, 4] {
                let (lease, took) = bare::register(&client, &infos, in_flight).await?;
                bare::revoke(&client, lease).await?;
                floors.push(took);
            }
            // The first round warms up.
            if round > 0 {
                pairs.push((ours.as_secs_f64(), floors[0].min(floors[1]).as_secs_f64()));
            }
        }
        Ok::<_, Failure>(pairs)
    })?;
    row("10,000 concurrent `register` calls on one handle", &pairs, time, "at most 1.2");
    Ok(())
}
