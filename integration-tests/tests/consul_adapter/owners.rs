//! Owners, successors, and Go Kitex's registrations beside ours.
//!
//! A check that a successor inherits by mistake shows after 80 to 90 s, when the agent reaps. What is watched here for some seconds, `soak` watches for three
//! minutes.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use integration_tests::eventually;
use registry_consul::{AgentCheck, Check, Handle, Info, Options, Registry, Resolver, connect};
use registry_core::RegistrationState;
use registry_core::store::Guard;
use serde_json::Value;

use crate::bench::{Bench, Outcome, TTL, tests};

tests![
    a_registration_is_found_watched_and_withdrawn,
    an_entry_that_an_operator_removed_is_back_and_passes,
    a_dropped_handle_leaves_nothing_running_and_its_entry_expires,
    a_successor_that_dies_is_not_kept_alive_by_the_displaced,
    a_successor_stays_when_the_displaced_closes,
    go_over_ours_stands_while_our_owner_lives,
    go_over_ours_stands_after_our_owner_died,
    ours_over_go_expires_when_we_stop_though_something_listens,
    a_check_of_the_agents_own_follows_the_server,
    a_check_of_another_kind_leaves_nothing_behind,
    without_a_check_an_entry_stands_until_it_is_withdrawn,
    http_and_grpc_checks_are_what_the_agent_runs,
];

/// Gone, at the latest, after an owner died (clause L2).
const DEAD: Duration = Duration::from_secs(TTL.as_secs() * 2 + 2);

/// A handle that looks at its entries each two TTLs.
async fn handle(options: Options) -> Handle {
    let mut timings = options.handle.clone();
    timings.audit_interval = TTL * 2;
    connect(options.with_handle(timings)).await.unwrap()
}

fn state(handle: &Handle, info: &Info) -> Option<RegistrationState> {
    Some(handle.registration(info)?.borrow().state)
}

/// How long a successor is watched.
const WATCHED: Duration = Duration::from_secs(TTL.as_secs() * 4);

/// Where something listens, as the agent sees it: its own HTTP port. It may live in a container, which reaches nothing of this process.
async fn listening(bench: &Bench) -> String {
    let (_, agent) = bench.door.get("/v1/agent/self").await;
    format!("127.0.0.1:{}", agent["DebugConfig"]["HTTPPort"])
}

/// Looks again and again for so long.
async fn throughout(time: Duration, what: &str, mut fact: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while began.elapsed() < time {
        assert!(fact().await, "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn a_registration_is_found_watched_and_withdrawn(bench: Bench) -> Outcome {
    let (server, client) = (handle(bench.options()).await, handle(bench.options()).await);
    let watch = client.watch(&bench.service)?;
    let info = bench.info(1).to_builder().weight(7).tag("zone", "a").payload_codec("thrift").build()?;
    server.register(&info).await?;
    let found = async || client.resolve(&bench.service).await.ok().filter(|found| found.len() == 1);
    let found = eventually(TTL, "it is found", found).await;
    assert!(**found.pick()? == info);
    eventually(TTL, "the watch has it", async || (watch.latest().len() == 1).then_some(())).await;
    server.close().await?;
    eventually(TTL, "the watch has lost it", async || watch.latest().is_empty().then_some(())).await;
    Ok(client.close().await?)
}

/// What a wiped agent looks like to the owner, too.
async fn an_entry_that_an_operator_removed_is_back_and_passes(bench: Bench) -> Outcome {
    let server = handle(bench.options()).await;
    let infos: Vec<Info> = (1..=20).map(|number| bench.info(number)).collect();
    for registered in join_all(infos.iter().map(|info| server.register(info))).await {
        registered?;
    }
    for number in 1..=20 {
        bench.door.deregister(&bench.id(number)).await;
    }
    let back = async || (bench.door.passing(bench.service.as_str()).await.len() == 20).then_some(());
    // One renewal, the second look a second later, and the writing.
    eventually(TTL / 3 + Duration::from_secs(5), "all are back", back).await;
    Ok(server.close().await?)
}

async fn a_dropped_handle_leaves_nothing_running_and_its_entry_expires(bench: Bench) -> Outcome {
    let server = handle(bench.options()).await;
    server.register(&bench.info(1)).await?;
    let watch = server.watch(&"another".try_into()?)?;
    eventually(TTL, "it is watched", async || watch.latest().is_known().then_some(())).await;
    drop(watch);
    drop(server);
    let alone = async || (tokio::runtime::Handle::current().metrics().num_alive_tasks() == 0).then_some(());
    eventually(Duration::from_secs(1), "no task is left", alone).await;
    assert_eq!(bench.door.status(&bench.id(1)).await, "passing", "for its TTL");
    let gone = async || bench.door.passing(bench.service.as_str()).await.is_empty().then_some(());
    eventually(DEAD, "it is gone", gone).await;
    Ok(())
}

async fn a_successor_that_dies_is_not_kept_alive_by_the_displaced(bench: Bench) -> Outcome {
    let (ours, successor) = (handle(bench.options()).await, bench.owner().await);
    let (info, id) = (bench.info(1), bench.id(1));
    ours.register(&info).await?;
    assert!(successor.put(1, Guard::Claim).await.is_ok());
    // It lives long enough for us to learn that it is there.
    let displaced = async || {
        successor.beat(1).await;
        (state(&ours, &info) == Some(RegistrationState::Displaced)).then_some(())
    };
    eventually(TTL * 3, "ours is displaced", displaced).await;
    let token = successor.token().to_owned();
    drop(successor);
    let not_theirs = async || {
        let theirs = bench.door.owner(&id).await.as_deref() == Some(&token);
        (!theirs || bench.door.status(&id).await == "critical").then_some(())
    };
    eventually(DEAD, "what the dead one left is gone", not_theirs).await;
    let restored = async || (state(&ours, &info) == Some(RegistrationState::Registered)).then_some(());
    eventually(TTL * 3, "and ours is back, long before the agent reaps", restored).await;
    assert_eq!(bench.door.status(&id).await, "passing");
    Ok(ours.close().await?)
}

async fn a_successor_stays_when_the_displaced_closes(bench: Bench) -> Outcome {
    let (ours, successor) = (handle(bench.options()).await, handle(bench.options()).await);
    ours.register(&bench.info(1)).await?;
    successor.register(&bench.info(1)).await?;
    let token = bench.door.owner(&bench.id(1)).await;
    ours.close().await?;
    throughout(TTL, "the successor stands", async || bench.door.owner(&bench.id(1)).await == token).await;
    assert_eq!(bench.door.status(&bench.id(1)).await, "passing");
    Ok(successor.close().await?)
}

/// Go's entry stands, and in the end passes: Go does not tell the agent to forget our check, whose timer runs out once more and makes the entry critical
/// until Go's own check is run again.
async fn go_stands(bench: &Bench, id: &str, watched: Duration) {
    throughout(watched, "Go's entry stands", async || {
        bench.door.service(id).await["Tags"] == serde_json::json!(["by:go"])
    })
    .await;
    throughout(TTL, "Go's entry passes", async || bench.door.status(id).await == "passing").await;
}

async fn go_over_ours_stands_while_our_owner_lives(bench: Bench) -> Outcome {
    go_over_a_living_owner(bench, WATCHED).await
}

pub(crate) async fn go_over_a_living_owner(bench: Bench, watched: Duration) -> Outcome {
    let ours = handle(bench.options()).await;
    let (info, id) = (bench.info(1), bench.id(1));
    ours.register(&info).await?;
    bench.door.register_as_go(bench.service.as_str(), "10.0.0.1", 8888, &listening(&bench).await).await;
    go_stands(&bench, &id, watched).await;
    assert_eq!(state(&ours, &info), Some(RegistrationState::Displaced));
    ours.deregister(&info).await?;
    assert!(bench.door.service(&id).await.is_object(), "and it outlives our withdrawal");
    Ok(ours.close().await?)
}

async fn go_over_ours_stands_after_our_owner_died(bench: Bench) -> Outcome {
    go_over_a_dead_owner(bench, WATCHED).await
}

pub(crate) async fn go_over_a_dead_owner(bench: Bench, watched: Duration) -> Outcome {
    let ours = handle(bench.options()).await;
    ours.register(&bench.info(1)).await?;
    drop(ours);
    bench.door.register_as_go(bench.service.as_str(), "10.0.0.1", 8888, &listening(&bench).await).await;
    go_stands(&bench, &bench.id(1), watched).await;
    Ok(())
}

async fn ours_over_go_expires_when_we_stop_though_something_listens(bench: Bench) -> Outcome {
    ours_over_go_expires(&bench).await?;
    throughout(TTL, "it stays so", async || bench.door.status(&bench.id(1)).await == "critical").await;
    Ok(())
}

pub(crate) async fn ours_over_go_expires(bench: &Bench) -> Outcome {
    bench.door.register_as_go(bench.service.as_str(), "10.0.0.1", 8888, &listening(bench).await).await;
    let id = bench.id(1);
    eventually(TTL, "Go's entry passes", async || (bench.door.status(&id).await == "passing").then_some(())).await;
    let ours = handle(bench.options()).await;
    ours.register(&bench.info(1)).await?;
    assert_eq!(bench.door.status(&id).await, "passing");
    drop(ours);
    eventually(DEAD, "it is critical", async || (bench.door.status(&id).await == "critical").then_some(())).await;
    Ok(())
}

fn often() -> AgentCheck {
    AgentCheck { interval: Duration::from_millis(500), timeout: Duration::from_millis(500) }
}

async fn a_check_of_the_agents_own_follows_the_server(bench: Bench) -> Outcome {
    let ours = handle(bench.options().with_check(Check::Tcp(often()))).await;
    let at = |address: &str| Info::builder(bench.service.as_str()).address(address).build();
    let (there, id) = (listening(&bench).await, |address: &str| format!("{}:{address}", bench.service));
    ours.register(&at(&there)?).await?;
    ours.register(&at("127.0.0.1:1")?).await?;
    let critical = async || (bench.door.status(&id("127.0.0.1:1")).await == "critical").then_some(());
    eventually(TTL, "where nobody listens it is critical", critical).await;
    throughout(TTL * 2, "where somebody listens it passes", async || bench.door.status(&id(&there)).await == "passing")
        .await;
    Ok(ours.close().await?)
}

async fn a_check_of_another_kind_leaves_nothing_behind(bench: Bench) -> Outcome {
    let (first, second) =
        (bench.owner().await, bench.owner_with(bench.options().with_check(Check::None).client()?).await);
    assert!(first.put(1, Guard::Claim).await.is_ok());
    assert!(second.put(1, Guard::Claim).await.is_ok());
    throughout(TTL * 2, "no TTL runs out", async || bench.door.passing(bench.service.as_str()).await == [bench.id(1)])
        .await;
    assert!(first.put(1, Guard::Claim).await.is_ok());
    assert_eq!(bench.door.status(&bench.id(1)).await, "passing");
    assert!(!first.beat(1).await);
    Ok(())
}

async fn without_a_check_an_entry_stands_until_it_is_withdrawn(bench: Bench) -> Outcome {
    let ours = handle(bench.options().with_check(Check::None)).await;
    ours.register(&bench.info(1)).await?;
    throughout(TTL * 2, "it has no check", async || bench.door.status(&bench.id(1)).await == "none").await;
    assert_eq!(state(&ours, &bench.info(1)), Some(RegistrationState::Registered));
    ours.close().await?;
    assert!(bench.door.service(&bench.id(1)).await.is_null());
    Ok(())
}

async fn http_and_grpc_checks_are_what_the_agent_runs(bench: Bench) -> Outcome {
    let address = "127.0.0.1:1";
    let info = Info::builder(bench.service.as_str()).address(address).build()?;
    // The agent does not run it before it was looked at: nobody listens there.
    let timing = AgentCheck { interval: Duration::from_secs(3600), ..often() };
    let http = Check::Http { path: "/health".into(), timing };
    let grpc = Check::Grpc { service: "echo".into(), timing };
    for (check, kind) in [(http, "http"), (grpc, "grpc")] {
        let owner = bench.owner_with(bench.options().with_check(check).client()?).await;
        assert!(
            owner.put_record(registry_core::store::Store::encode(&owner.client, &info)?, Guard::Claim).await.is_ok()
        );
        let (_, checks) = bench.door.get("/v1/agent/checks").await;
        let seen: &Value = &checks[format!("service:{}:{address}", bench.service)];
        assert_eq!((seen["Type"].as_str(), seen["Status"].as_str()), (Some(kind), Some("passing")), "{seen}");
    }
    Ok(())
}
