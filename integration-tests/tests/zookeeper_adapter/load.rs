//! Much at a time: what makes the bare client hang for good.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use integration_tests::{FaultProxy, eventually};
use registry_core::store::{Guard, Put, Store};
use registry_core::{Info, Registry, Resolver};
use registry_zookeeper::connect;

use crate::bench::{Bench, Outcome, Owner, record, tests};

tests![many_calls_on_a_stalled_executor_end, large_answers_across_a_cut_connection_do_not_hang_it];

async fn many_calls_on_a_stalled_executor_end(bench: Bench) -> Outcome {
    let registry = connect(bench.options()).await?;
    registry.register(&Info::builder("demo").address("10.0.0.5:1").build()?).await?;
    let service = "demo".try_into()?;
    for round in 0..20 {
        let calls = join_all((0..200).map(|_| registry.resolve(&service)));
        let stall = async {
            tokio::task::yield_now().await;
            std::thread::sleep(Duration::from_millis(300));
        };
        let (calls, ()) = tokio::join!(calls, stall);
        for call in calls {
            assert_eq!(call?.instances().len(), 1, "round {round}");
        }
    }
    registry.close().await?;
    Ok(())
}

async fn large_answers_across_a_cut_connection_do_not_hang_it(bench: Bench) -> Outcome {
    let filler = bench.owner().await;
    for part in 0..20_u16 {
        let put = |port| Put { record: record(&filler.client, part * 500 + port + 1, 10), guard: Guard::Claim };
        let puts: Vec<Put> = (0..500).map(put).collect();
        for result in filler.session.put(&puts, &filler.lineage).await {
            result.unwrap();
        }
    }
    let proxy = FaultProxy::start(bench.server).await?;
    let client = bench.options_at(proxy.address()).client()?;
    let service = "demo".try_into()?;
    for _ in 0..5 {
        let lists = async {
            tokio::time::timeout(Duration::from_secs(5), join_all((0..4).map(|_| client.list(&service)))).await
        };
        // Each of the four has 10,000 names and as many nodes to read: some of it has come, most has not.
        let before = proxy.counts().to_client;
        let cut = async {
            let flows = async || (proxy.counts().to_client > before + 100_000).then_some(());
            eventually(Duration::from_secs(5), "answers flow", flows).await;
            proxy.reset_connections();
        };
        tokio::join!(lists, cut).0?;
    }
    let begun = Instant::now();
    let owner = Owner::open(client).await;
    assert_eq!(owner.client.list(&service).await?.len(), 10_000);
    assert!(begun.elapsed() < Duration::from_secs(20));
    Ok(())
}
