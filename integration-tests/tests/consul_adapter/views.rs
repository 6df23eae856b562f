//! Watching a service.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use integration_tests::eventually;
use registry_consul::{HandleOptions, Registry, Resolver, ServiceName, connect};
use registry_core::store::{Guard, Store, View, ViewChange};

use crate::bench::{Bench, Outcome, TTL, tests};

tests![
    the_first_change_is_the_full_list,
    each_change_is_the_list_with_its_health,
    a_probe_is_answered,
    a_dropped_wait_loses_nothing,
    a_name_that_differs_in_case_is_not_told,
    fifty_that_turn_critical_and_back_at_once_empty_no_watch,
    more_watches_than_connections_all_follow_and_starve_no_beat,
];

async fn view_of(bench: &Bench) -> Box<dyn View> {
    bench.client().view(&bench.service, 0).await.unwrap()
}

/// The next list, as `host` for what is healthy and `(host)` for what is not.
async fn next(view: &mut Box<dyn View>) -> Vec<String> {
    loop {
        let change = tokio::time::timeout(Duration::from_secs(10), view.next()).await.unwrap().unwrap();
        let ViewChange::Full(found) = change else { continue };
        let show = |found: &registry_core::store::Found| {
            let host = found.instance.as_ref().unwrap().address().host().unwrap().to_owned();
            if found.healthy { host } else { format!("({host})") }
        };
        let mut shown: Vec<String> = found.iter().map(show).collect();
        shown.sort();
        return shown;
    }
}

/// Reads lists until one is as wanted.
async fn until(view: &mut Box<dyn View>, wanted: &[&str]) {
    let began = Instant::now();
    loop {
        let seen = next(view).await;
        if seen == wanted {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "wanted {wanted:?}, seen last {seen:?}");
    }
}

async fn the_first_change_is_the_full_list(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    assert!(owner.put(1, Guard::Claim).await.is_ok());
    let there = async || (bench.door.passing(bench.service.as_str()).await.len() == 1).then_some(());
    eventually(Duration::from_secs(5), "the servers know it", there).await;
    assert_eq!(next(&mut view_of(&bench).await).await, ["10.0.0.1"]);
    Ok(())
}

async fn each_change_is_the_list_with_its_health(bench: Bench) -> Outcome {
    let mut view = view_of(&bench).await;
    assert!(next(&mut view).await.is_empty());
    let owner = bench.owner().await;
    assert!(owner.put(1, Guard::Claim).await.is_ok());
    until(&mut view, &["10.0.0.1"]).await;
    assert!(owner.put(2, Guard::Claim).await.is_ok());
    until(&mut view, &["10.0.0.1", "10.0.0.2"]).await;
    owner.remove(1).await;
    until(&mut view, &["10.0.0.2"]).await;
    // Nobody beats for it.
    until(&mut view, &["(10.0.0.2)"]).await;
    assert!(!owner.beat(2).await);
    until(&mut view, &["10.0.0.2"]).await;
    Ok(())
}

async fn a_probe_is_answered(bench: Bench) -> Outcome {
    let mut view = view_of(&bench).await;
    next(&mut view).await;
    for _ in 0..3 {
        view.probe().await?;
        let answer = tokio::time::timeout(Duration::from_secs(1), view.next()).await?;
        assert!(matches!(answer, Ok(ViewChange::Alive)), "{answer:?}");
    }
    Ok(())
}

async fn a_dropped_wait_loses_nothing(bench: Bench) -> Outcome {
    let mut view = view_of(&bench).await;
    next(&mut view).await;
    let owner = bench.owner().await;
    let mut hosts = Vec::new();
    for number in 1..=9 {
        let _ = tokio::time::timeout(Duration::from_millis(1), view.next()).await;
        assert!(owner.put(number, Guard::Claim).await.is_ok());
        hosts.push(format!("10.0.0.{number}"));
        until(&mut view, &hosts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    Ok(())
}

async fn a_name_that_differs_in_case_is_not_told(bench: Bench) -> Outcome {
    let mut view = view_of(&bench).await;
    next(&mut view).await;
    bench.door.register_as_go(&bench.service.as_str().to_uppercase(), "10.0.0.9", 1, "127.0.0.1:1").await;
    assert!(bench.owner().await.put(1, Guard::Claim).await.is_ok());
    until(&mut view, &["10.0.0.1"]).await;
    Ok(())
}

/// What a stall of all owners longer than the TTL looks like to a watcher (clause W4).
async fn fifty_that_turn_critical_and_back_at_once_empty_no_watch(bench: Bench) -> Outcome {
    let owner = connect(bench.options().with_ttl(Duration::from_secs(30))).await?;
    let reader = connect(bench.options().with_ttl(Duration::from_secs(30))).await?;
    let infos: Vec<_> = (1..=50).map(|number| bench.info(number)).collect();
    for registered in join_all(infos.iter().map(|info| owner.register(info))).await {
        registered?;
    }
    let mut watch = reader.watch(&bench.service)?;
    let full = async || (watch.latest().len() == 50).then_some(());
    eventually(Duration::from_secs(10), "all are watched", full).await;
    let say = async |word: &'static str| {
        let ids = (1..=50).map(|number| format!("/v1/agent/check/{word}/service:{}", bench.id(number)));
        let paths: Vec<String> = ids.collect();
        join_all(paths.iter().map(|path| bench.door.put(path, None))).await;
    };
    let flapping = async {
        say("fail").await;
        let none = async || bench.door.passing(bench.service.as_str()).await.is_empty().then_some(());
        eventually(Duration::from_secs(10), "Consul has none that pass", none).await;
        say("pass").await;
        let all = async || (bench.door.passing(bench.service.as_str()).await.len() == 50).then_some(());
        eventually(Duration::from_secs(10), "Consul has all of them again", all).await;
    };
    let watching = async {
        while let Some(change) = watch.next().await {
            assert!(!change.snapshot.is_empty(), "the watch is empty");
        }
    };
    tokio::select! {
        () = watching => panic!("the watch ended"),
        () = flapping => {}
    }
    eventually(Duration::from_secs(35), "all are there", async || {
        (reader.resolve(&bench.service).await.ok()?.len() == 50).then_some(())
    })
    .await;
    reader.close().await?;
    Ok(owner.close().await?)
}

async fn more_watches_than_connections_all_follow_and_starve_no_beat(bench: Bench) -> Outcome {
    // Withdrawing 250 services, each of which is watched, is much for a busy agent.
    let mut patient = HandleOptions::with_ttl(TTL);
    patient.operation_timeout = Duration::from_secs(30);
    let options = bench.options().with_handle(patient);
    let (handle, server) = (connect(options.clone()).await?, connect(options).await?);
    handle.register(&bench.info(1)).await?;
    let names: Vec<ServiceName> =
        (0..250).map(|number| format!("{}-{number}", bench.service).try_into()).collect::<Result<_, _>>()?;
    let watches = names.iter().map(|name| handle.watch(name)).collect::<Result<Vec<_>, _>>()?;
    let known = async || watches.iter().all(|watch| watch.latest().is_known()).then_some(());
    eventually(Duration::from_secs(30), "all watches are known", known).await;
    let began = Instant::now();
    for name in &names {
        server.register(&registry_core::Info::builder(name.as_str()).address("10.0.0.7:7").build()?).await?;
    }
    let followed = async || watches.iter().all(|watch| watch.latest().len() == 1).then_some(());
    eventually(Duration::from_secs(30), "all watches follow", followed).await;
    while began.elapsed() < TTL * 3 {
        assert_eq!(bench.door.status(&bench.id(1)).await, "passing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.close().await?;
    Ok(handle.close().await?)
}
