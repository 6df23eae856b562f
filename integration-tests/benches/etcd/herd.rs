//! 500 handles whose server comes back.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use integration_tests::{Fault, FaultProxy};
use registry_core::{Handle, HandleState, Registry};
use registry_etcd::{Options, connect};
use tokio::time::{Instant, sleep, timeout};

use crate::Outcome;
use crate::ground::{Failure, Ground, info, median, rounds};

const HANDLES: usize = 500;
/// The outage is longer, so that all leases are lost.
const TTL: Duration = Duration::from_secs(4);
const SECOND: Duration = Duration::from_secs(1);
const SAMPLE: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(60);

/// Whether pauses end at the default's cap, or at five times that, which an option asks for.
pub(crate) fn run() -> Outcome {
    for cap in [SECOND * 2, SECOND * 10] {
        let peaks = peaks(cap)?;
        let show = |what: &str, of: fn(&Peak) -> usize| {
            let peaks: Vec<f64> = peaks.iter().map(|peak| of(peak) as f64).collect();
            let (low, high) =
                peaks.iter().fold((f64::MAX, 0.0_f64), |(low, high), peak| (low.min(*peak), high.max(*peak)));
            let (middle, share) = (median(&peaks), median(&peaks) / HANDLES as f64 * 100.0);
            let ours = format!("{middle:.0} ({low:.0} to {high:.0}), {share:.0} % of the handles");
            println!("| {what}, pauses up to {cap:?} | {ours} | | | at most 20 % of the handles |");
        };
        show("500 handles that lost their leases in an outage: connected in the busiest second", |peak| peak.handles);
        show("the same: requests in etcd's busiest second", |peak| peak.requests);
    }
    Ok(())
}

fn peaks(cap: Duration) -> Result<Vec<Peak>, Failure> {
    let ground = Ground::new()?;
    ground.runtime.block_on(async {
        let proxy = FaultProxy::start(ground.server.address()).await?;
        let open = async |number| {
            let mut options = Options::new([proxy.address().to_string()]).with_ttl(TTL);
            options.handle.backoff_cap = cap;
            let owner = connect(options).await?;
            owner.register(&info(number, 10)).await?;
            Ok::<_, Failure>(owner)
        };
        let owners: Vec<Handle> = try_join_all((0..HANDLES).map(open)).await?;
        let mut peaks = Vec::new();
        for _ in 0..rounds() {
            // Back in their stride, each at its own phase.
            sleep(TTL * 2).await;
            proxy.set(Fault::Reset);
            // Long enough for pauses to have grown to the cap.
            sleep(TTL + cap * 3).await;
            proxy.heal();
            peaks.push(come_back(&proxy, &owners).await?);
        }
        join_all(owners.iter().map(Handle::close)).await;
        Ok(peaks)
    })
}

/// The most in any one second.
struct Peak {
    handles: usize,
    requests: usize,
}

/// Follows the handles from now until all are connected, and etcd for two seconds more, in which the last ones write.
async fn come_back(proxy: &FaultProxy, owners: &[Handle]) -> Result<Peak, Failure> {
    let start = Instant::now();
    let connected = join_all(owners.iter().map(async |owner| {
        owner.status().wait_for(|status| status.state == HandleState::Connected).await.map(|_| start.elapsed())
    }));
    let mut counts: Vec<(Duration, u64)> = Vec::new();
    let mut sampling = Box::pin(async {
        loop {
            counts.push((start.elapsed(), proxy.counts().messages));
            sleep(SAMPLE).await;
        }
    });
    let times = tokio::select! {
        times = timeout(LIMIT, connected) => times?,
        () = &mut sampling => unreachable!("it never ends"),
    };
    let _ = timeout(SECOND * 2, &mut sampling).await;
    drop(sampling);
    let times: Vec<Duration> = times.into_iter().collect::<Result<_, _>>()?;
    let in_a_second_from = |from: Duration| times.iter().filter(|at| **at >= from && **at < from + SECOND).count();
    let requests_from = |(from, before): &(Duration, u64)| {
        let after = counts.iter().take_while(|(at, _)| *at < *from + SECOND).last();
        after.map_or(0, |(_, after)| after - before)
    };
    Ok(Peak {
        handles: times.iter().map(|from| in_a_second_from(*from)).max().unwrap_or(0),
        requests: usize::try_from(counts.iter().map(requests_from).max().unwrap_or(0))?,
    })
}
