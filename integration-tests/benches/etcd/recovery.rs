//! Until all are back.

use std::time::Duration;
use std::time::Instant;

use etcd_client::{Client, GetOptions};
use registry_core::{Handle, Registry};
use registry_etcd::{DEFAULT_PREFIX, connect};

use crate::Outcome;
use crate::bare;
use crate::ground::{Failure, Ground, INSTANCES, infos, register_all, rounds, row, time};

/// Long enough for 10,000 calls to be carried out in it on a busy machine, and short enough for a loss to be noticed soon.
const TTL: Duration = Duration::from_secs(6);

pub(crate) fn run() -> Outcome {
    let (ground, infos) = (Ground::new()?, infos());
    let (revoked, wiped) = ground.runtime.block_on(async {
        let (mut revoked, mut wiped) = (Vec::new(), Vec::new());
        for round in 0..=rounds() {
            let client = bare::client(&ground.server).await?;
            let owner = connect(ground.options().with_ttl(TTL)).await?;
            let start = Instant::now();
            register_all(&owner, &infos).await?;
            let registering = start.elapsed().as_secs_f64();
            let revoke = async {
                let lease = lease(&client).await?;
                bare::revoke(&client, lease).await
            };
            let after_revocation = all_back(&owner, revoke, &client).await?;
            let wipe = async {
                ground.server.wipe().await?;
                Ok(())
            };
            let after_wipe = all_back(&owner, wipe, &bare::client(&ground.server).await?).await?;
            owner.close().await?;
            // The first round warms up.
            if round > 0 {
                revoked.push((after_revocation, registering));
                wiped.push((after_wipe, registering));
            }
        }
        Ok::<_, Failure>((revoked, wiped))
    })?;
    let goal = "at most 2 x registering";
    row(
        "10,000 back after the lease was revoked, from detection (floor: our own `register` calls of the round)",
        &revoked,
        time,
        goal,
    );
    row("10,000 back after a wipe, from detection (the same floor)", &wiped, time, goal);
    Ok(())
}

/// How long it takes from when the handle knows that its session is lost until the store has all entries.
async fn all_back(
    owner: &Handle,
    fault: impl Future<Output = Result<(), Failure>>,
    client: &Client,
) -> Result<f64, Failure> {
    let mut status = owner.status();
    status.mark_unchanged();
    let detected = async {
        let ended = |text: &str| text.contains("the store ended the session");
        status
            .wait_for(|status| {
                status.next_try.is_some() && status.last_error.as_ref().is_some_and(|error| ended(&error.text))
            })
            .await?;
        Ok::<_, Failure>(Instant::now())
    };
    let (failed, detected) = tokio::join!(fault, detected);
    failed?;
    let detected = detected?;
    let folder = format!("{DEFAULT_PREFIX}/demo/");
    while bare::count(client, &folder).await? < INSTANCES as i64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(detected.elapsed().as_secs_f64())
}

/// The lease that the entries hang on.
async fn lease(client: &Client) -> Result<i64, Failure> {
    let options = GetOptions::new().with_prefix().with_limit(1);
    let read = client.kv_client().get(format!("{DEFAULT_PREFIX}/demo/"), Some(options)).await?;
    Ok(read.kvs().first().ok_or("nothing stands")?.lease())
}
