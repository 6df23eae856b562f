//! From `register` to the watcher's item.

use std::time::{Duration, Instant};

use etcd_client::{PutOptions, WatchOptions, WatchStream};
use futures_util::future::join_all;
use registry_core::{Info, Registry, Resolver};
use registry_etcd::DEFAULT_PREFIX;

use crate::Outcome;
use crate::bare;
use crate::ground::{Failure, Ground, info, percentile, rounds, row, service, time};

/// New instances in one round.
const CHANGES: usize = 200;

pub(crate) fn run() -> Outcome {
    for watchers in [1, 100] {
        let ground = Ground::new()?;
        let (mut middle, mut tail) = (Vec::new(), Vec::new());
        for round in 0..=rounds() {
            let infos: Vec<Info> = (0..CHANGES).map(|number| info(round * CHANGES + number, 10)).collect();
            let (ours, floor) = ground.runtime.block_on(async {
                Ok::<_, Failure>((ours(&ground, &infos, watchers).await?, floor(&ground, &infos, watchers).await?))
            })?;
            // The first round warms up.
            if round > 0 {
                middle.push((percentile(&ours, 0.5), percentile(&floor, 0.5)));
                tail.push((percentile(&ours, 0.99), percentile(&floor, 0.99)));
            }
        }
        let who = if watchers == 1 { "1 watcher".to_owned() } else { format!("{watchers} watchers") };
        row(&format!("`register` of a new instance to the item of {who}, p50"), &middle, time, "at most 1.3");
        row(&format!("the same, p99, {who}"), &tail, time, "none set");
    }
    Ok(())
}

/// How long it took to each watcher, for each change.
async fn ours(ground: &Ground, infos: &[Info], watchers: usize) -> Result<Vec<Duration>, Failure> {
    let (owner, reader) = (ground.handle().await?, ground.handle().await?);
    let mut watches = Vec::new();
    for _ in 0..watchers {
        let mut watch = reader.watch(&service())?;
        watch.next().await.ok_or("the watch ended")?;
        watches.push(watch);
    }
    let mut times = Vec::new();
    for info in infos {
        let start = Instant::now();
        let told = join_all(watches.iter_mut().map(async |watch| watch.next().await.map(|_| start.elapsed())));
        let (registered, told) = tokio::join!(owner.register(info), told);
        registered?;
        times.extend(told.into_iter().collect::<Option<Vec<_>>>().ok_or("the watch ended")?);
    }
    owner.close().await?;
    reader.close().await?;
    Ok(times)
}

/// A put under a lease, and watches on one connection of their own, each with its stream.
async fn floor(ground: &Ground, infos: &[Info], watchers: usize) -> Result<Vec<Duration>, Failure> {
    let (writer, reader) = (bare::client(&ground.server).await?, bare::client(&ground.server).await?);
    let lease = writer.lease_client().grant(15, None).await?.id();
    let mut watches = Vec::new();
    for _ in 0..watchers {
        let folder = format!("{DEFAULT_PREFIX}/demo/");
        let mut watch = reader.watch_client().watch(folder, Some(WatchOptions::new().with_prefix())).await?;
        watch.message().await?;
        watches.push(watch);
    }
    let mut times = Vec::new();
    for info in infos {
        let start = Instant::now();
        let options = PutOptions::new().with_lease(lease);
        let mut kv = writer.kv_client();
        let put = kv.put(bare::key(info), bare::value(info), Some(options));
        let told = join_all(watches.iter_mut().map(async |watch| told(watch).await.map(|()| start.elapsed())));
        let (put, told) = tokio::join!(put, told);
        put?;
        times.extend(told.into_iter().collect::<Result<Vec<_>, _>>()?);
    }
    bare::revoke(&writer, lease).await?;
    Ok(times)
}

async fn told(watch: &mut WatchStream) -> Result<(), Failure> {
    loop {
        let message = watch.message().await?.ok_or("the watch ended")?;
        if !message.events().is_empty() {
            return Ok(());
        }
    }
}
