//! 10,000 registrations, and nothing happens.

use std::time::Duration;

use etcd_client::{Client, GetOptions};
use integration_tests::{Counts, FaultProxy};
use registry_core::Registry;
use registry_etcd::{DEFAULT_PREFIX, Options, connect};
use tokio::time::{Instant, sleep_until};

use crate::Outcome;
use crate::ground::{Failure, Ground, infos, register_all, rounds, row};

/// A fifth of the defaults, so that a window is a fifth of half a minute: as many keep-alives and audits as in half a minute with the defaults.
const TTL: Duration = Duration::from_secs(3);
const AUDIT: Duration = Duration::from_secs(6);

pub(crate) fn run() -> Outcome {
    let (ground, infos) = (Ground::new()?, infos());
    let (requests, bytes) = ground.runtime.block_on(async {
        let address = ground.server.address();
        let (ours, floor) = (FaultProxy::start(address).await?, FaultProxy::start(address).await?);
        let mut options = Options::new([ours.address().to_string()]).with_ttl(TTL);
        options.handle.audit_interval = AUDIT;
        let owner = connect(options).await?;
        register_all(&owner, &infos).await?;
        let bare = Client::connect([format!("http://{}", floor.address())], None).await?;
        let keeping = tokio::spawn(async move { keep(&bare).await.map_err(|error| error.to_string()) });
        // Both are in their stride.
        let mut until = Instant::now() + AUDIT * 2;
        sleep_until(until).await;
        let (mut requests, mut bytes) = (Vec::new(), Vec::new());
        let mut before = (ours.counts(), floor.counts());
        for _ in 0..rounds() {
            until += AUDIT;
            sleep_until(until).await;
            let now = (ours.counts(), floor.counts());
            requests.push((sent(before.0, now.0), sent(before.1, now.1)));
            bytes.push((carried(before.0, now.0), carried(before.1, now.1)));
            before = now;
        }
        assert!(!keeping.is_finished(), "the bare client has failed");
        keeping.abort();
        owner.close().await?;
        Ok::<_, Failure>((requests, bytes))
    })?;
    let a_second = AUDIT.as_secs_f64() * 5.0;
    let show = |count: f64| format!("{count:.0}, that is {:.1}/s", count / a_second);
    row(
        "requests in 30 s with 10,000 registrations (6 keep-alives, 1 audit)",
        &requests,
        show,
        "6 keep-alives, 1 audit",
    );
    let show = |count: f64| format!("{:.0} KiB, that is {:.1} KiB/s", count / 1024.0, count / 1024.0 / a_second);
    row("bytes in 30 s, both ways", &bytes, show, "as above");
    Ok(())
}

/// One keep-alive each third of a TTL, and everything read at once at each audit.
async fn keep(client: &Client) -> Result<(), Failure> {
    let lease = client.lease_client().grant(TTL.as_secs().cast_signed(), None).await?.id();
    let (mut keeper, mut answers) = client.lease_client().keep_alive(lease).await?;
    let mut beats = tokio::time::interval(TTL / 3);
    let mut audits = tokio::time::interval(AUDIT);
    loop {
        tokio::select! {
            _ = beats.tick() => {
                keeper.keep_alive().await?;
                answers.message().await?.ok_or("the stream ended")?;
            }
            _ = audits.tick() => {
                let options = GetOptions::new().with_prefix();
                let mut kv = client.kv_client().max_decoding_message_size(usize::MAX);
                kv.get(format!("{DEFAULT_PREFIX}/demo/"), Some(options)).await?;
            }
        }
    }
}

fn sent(before: Counts, now: Counts) -> f64 {
    (now.messages - before.messages) as f64
}

fn carried(before: Counts, now: Counts) -> f64 {
    (now.to_server + now.to_client - before.to_server - before.to_client) as f64
}
