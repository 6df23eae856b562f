//! 1,000 watched services.

use std::time::Duration;

use futures_util::future::join_all;
use integration_tests::{FaultProxy, eventually};
use registry_core::{Registry, Resolver};
use registry_etcd::connect;

use crate::bench::{Bench, PATIENCE, info, service};
use crate::{Outcome, tests};

tests![a_thousand_services_are_watched_by_one_handle];

const SERVICES: usize = 1_000;
/// How long removals are held after the connection broke.
const GRACE: Duration = Duration::from_secs(1);

/// What a watched service may allocate at most, in bytes: a stream on the connection with its buffers, a task, and one snapshot. Measured: about 50 KiB in a debug
/// build, most of it the futures of the client.
const SERVICE: usize = 128 * 1024;

fn a_thousand_services_are_watched_by_one_handle(bench: &Bench) -> Outcome {
    let count = bench.scaled(SERVICES);
    let name = |number: usize| format!("service-{number}");
    let owner = bench.connect()?;
    let proxy = bench.runtime.block_on(FaultProxy::start(bench.server.address()))?;
    let mut options = bench.options();
    options.handle.removal_grace = Some(GRACE);
    options.endpoints = vec![proxy.address().to_string()];
    let reader = bench.runtime.block_on(connect(options))?;
    let register = async |weight| {
        let infos: Vec<_> = (0..count).map(|number| info(&name(number), number, weight, 0)).collect();
        join_all(infos.iter().map(|info| owner.register(info))).await.into_iter().collect::<Result<Vec<()>, _>>()
    };
    bench.runtime.block_on(register(10))?;
    let (watches, peak) = bench.counted(async {
        let watches = (0..count).map(|number| reader.watch(&service(&name(number))));
        let watches = watches.collect::<Result<Vec<_>, _>>()?;
        for watch in &watches {
            watch.ready(1, PATIENCE).await?;
        }
        Ok::<_, Box<dyn std::error::Error>>(watches)
    });
    let watches = watches?;
    assert!(peak < count * SERVICE, "{peak} bytes for {count} watched services, {} each", peak / count);
    // Of leases, calls and watches.
    assert_eq!(proxy.counts().open, 3);
    let all_have = async |weight: Option<u32>| {
        let have = async || {
            let has = |number: usize| {
                let latest = watches[number].latest();
                let seen: Vec<_> = latest.instances().iter().map(|one| one.weight()).collect();
                seen == weight.into_iter().collect::<Vec<_>>() && latest.stale().is_none()
            };
            (0..count).all(has).then_some(())
        };
        eventually(PATIENCE, &format!("all watches have {weight:?}"), have).await;
    };
    bench.runtime.block_on(async {
        all_have(Some(10)).await;
        register(20).await?;
        all_have(Some(20)).await;
        // They come back after their common connection broke, too.
        proxy.reset_connections();
        register(30).await?;
        all_have(Some(30)).await;
        owner.close().await?;
        all_have(None).await;
        reader.close().await
    })?;
    Ok(())
}
