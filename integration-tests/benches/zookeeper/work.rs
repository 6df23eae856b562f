//! The rows about a server that answers.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use integration_tests::{Counts, FaultProxy, ZooKeeperDoor, ZooKeeperServer};
use registry_core::store::Store as _;
use registry_core::{Info, Registry as _, Resolver as _, ServiceName};
use registry_zookeeper::{Handle, Options, connect};

use crate::Outcome;
use crate::bare::Bare;
use crate::table::{Pair, ROUNDS, quantile, row};

const INSTANCES: usize = 10_000;
/// How many changes one round of the latency has.
const CHANGES: usize = 200;
const TTL: Duration = Duration::from_secs(10);
/// For what takes a number of TTLs: the shortest that the adapter takes.
const SHORT_TTL: Duration = Duration::from_secs(4);
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn options(server: SocketAddr, ttl: Duration) -> Options {
    let mut options = Options::new(server.to_string()).with_ttl(ttl);
    // What is measured is not what its limits are for.
    options.handle.operation_timeout = LIMIT;
    options
}

pub(crate) fn info(service: &str, place: usize, weight: u32) -> Info {
    let address = format!("10.0.{}.{}:{}", place / 250, place % 250, 1 + place);
    Info::builder(service).address(address).weight(weight).tag("idc", "hd1").build().expect("valid")
}

fn infos(service: &str) -> Vec<Info> {
    (0..INSTANCES).map(|place| info(service, place, 10)).collect()
}

/// Path and bytes of an entry.
fn node(info: &Info) -> Outcome<(String, Vec<u8>)> {
    let record = Options::default().client()?.encode(info)?;
    Ok((record.key().to_string(), record.value().to_vec()))
}

fn nodes(service: &str) -> Outcome<Vec<(String, Vec<u8>)>> {
    infos(service).iter().map(node).collect()
}

async fn register_all(owner: &Handle, infos: &[Info]) -> Outcome {
    for done in join_all(infos.iter().map(|info| owner.register(info))).await {
        done?;
    }
    Ok(())
}

/// A bare client's close is not confirmed: waits until its nodes are gone, so that they are not in the way of the next round.
async fn close(bare: Bare, server: &ZooKeeperServer, folder: &str) -> Outcome {
    bare.client.close().await?;
    let mut door = ZooKeeperDoor::open(server.address()).await?;
    while !door.children(folder).await?.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(door.close().await?)
}

/// 10,000 concurrent `register` calls on one handle, against as many creates.
pub(crate) async fn registrations(server: &ZooKeeperServer) -> Outcome {
    let mut pairs: Vec<Pair> = Vec::new();
    for round in 0..ROUNDS {
        let owner = connect(options(server.address(), TTL)).await?;
        let infos = infos(&format!("many-{round}"));
        let start = Instant::now();
        register_all(&owner, &infos).await?;
        let ours = start.elapsed();
        owner.close().await?;
        let bare = Bare::connect(server.address(), TTL).await?;
        let (folder, nodes) = (format!("/bare-{round}"), nodes(&format!("bare-{round}"))?);
        bare.folder(&folder).await?;
        let start = Instant::now();
        bare.create_all(&nodes).await?;
        pairs.push((ours.as_secs_f64() * 1e3, start.elapsed().as_secs_f64() * 1e3));
        close(bare, server, &folder).await?;
    }
    row("10,000 registrations on one handle", "ms", &pairs, "none set");
    Ok(())
}

/// From `register` of one more instance to the watcher's item, against create, event, list and read.
pub(crate) async fn latency(server: &ZooKeeperServer) -> Outcome {
    let (mut middle, mut slow): (Vec<Pair>, Vec<Pair>) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (ours, bare) = (our_latencies(server, round).await?, bare_latencies(server, round).await?);
        let share = |share| (quantile(ours.iter().copied(), share), quantile(bare.iter().copied(), share));
        middle.push(share(0.5));
        slow.push(share(0.99));
    }
    row("from `register` to the watcher's item, median of 200", "ms", &middle, "none set");
    row("the same, 99th percentile of 200", "ms", &slow, "none set");
    Ok(())
}

async fn our_latencies(server: &ZooKeeperServer, round: usize) -> Outcome<Vec<f64>> {
    let (owner, reader) =
        (connect(options(server.address(), TTL)).await?, connect(options(server.address(), TTL)).await?);
    let service = format!("soon-{round}");
    let mut watch = reader.watch(&ServiceName::new(&*service)?)?;
    watch.next().await.ok_or("the watch has ended")?;
    let mut took = Vec::new();
    for place in 0..CHANGES {
        let info = info(&service, place, 10);
        let start = Instant::now();
        let (registered, item) = tokio::join!(owner.register(&info), watch.next());
        took.push(start.elapsed().as_secs_f64() * 1e3);
        registered?;
        let seen = item.ok_or("the watch has ended")?.difference.added.len();
        assert_eq!(seen, 1);
    }
    owner.close().await?;
    reader.close().await?;
    Ok(took)
}

async fn bare_latencies(server: &ZooKeeperServer, round: usize) -> Outcome<Vec<f64>> {
    let (owner, mut reader) =
        (Bare::connect(server.address(), TTL).await?, Bare::connect(server.address(), TTL).await?);
    let folder = format!("/bare-soon-{round}");
    owner.folder(&folder).await?;
    reader.watch_all(&folder).await?;
    let (mut took, mut known) = (Vec::new(), HashSet::new());
    for place in 0..CHANGES {
        let (path, data) = node(&info(&folder[1..], place, 10))?;
        let start = Instant::now();
        let look = async {
            reader.fired(&folder).await?;
            for child in reader.client.get_children(&folder, true).await? {
                if !known.contains(&child) {
                    reader.client.get_data(&format!("{folder}/{child}"), true).await?;
                    known.insert(child);
                }
            }
            Outcome::Ok(())
        };
        let (created, looked) = tokio::join!(owner.create(&path, &data), look);
        took.push(start.elapsed().as_secs_f64() * 1e3);
        created?;
        looked?;
    }
    close(owner, server, &folder).await?;
    reader.client.close().await?;
    Ok(took)
}

/// Requests and bytes of a watcher for one change among 10,000, of a weight, and of one more instance.
pub(crate) async fn one_change(server: &ZooKeeperServer) -> Outcome {
    let (ours_by, bare_by) = (FaultProxy::start(server.address()).await?, FaultProxy::start(server.address()).await?);
    let (service, owner) = ("large", connect(options(server.address(), TTL)).await?);
    register_all(&owner, &infos(service)).await?;
    let reader = connect(options(ours_by.address(), TTL)).await?;
    let mut watch = reader.watch(&ServiceName::new(service)?)?;
    watch.ready(INSTANCES, LIMIT).await.map_err(|_| "the watch is not ready")?;
    watch.next().await;
    let mut bare = Bare::connect(bare_by.address(), TTL).await?;
    let folder = format!("/{service}");
    bare.watch_all(&folder).await?;
    let mut figures: [Vec<Pair>; 4] = Default::default();
    for round in 0..ROUNDS {
        // First another weight, then one more instance.
        for (at, change) in
            [info(service, 5_000, 20 + round as u32), info(service, INSTANCES + round, 10)].iter().enumerate()
        {
            let (path, _) = node(change)?;
            let before = (ours_by.counts(), bare_by.counts());
            owner.register(change).await?;
            watch.next().await.ok_or("the watch has ended")?;
            bare.fired(if at == 0 { &path } else { &folder }).await?;
            if at == 1 {
                bare.client.get_children(&folder, true).await?;
            }
            bare.client.get_data(&path, true).await?;
            let (ours, floor) = (since(before.0, ours_by.counts()), since(before.1, bare_by.counts()));
            figures[at * 2].push((ours.0, floor.0));
            figures[at * 2 + 1].push((ours.1, floor.1));
        }
    }
    for (what, figures) in ["another weight", "one more instance"].iter().zip(figures.chunks(2)) {
        row(&format!("{what} in a service of 10,000: a watcher's requests"), "", &figures[0], "not 10,000");
        row(&format!("{what} in a service of 10,000: a watcher's bytes, both ways"), "", &figures[1], "none set");
    }
    reader.close().await?;
    bare.client.close().await?;
    Ok(owner.close().await?)
}

/// Requests and bytes between two looks.
fn since(before: Counts, after: Counts) -> (f64, f64) {
    let bytes = |counts: Counts| counts.to_server + counts.to_client;
    ((after.messages - before.messages) as f64, (bytes(after) - bytes(before)) as f64)
}

/// What a handle that has 1,000 registrations and nothing to do asks, between audits, and what an audit asks.
pub(crate) async fn steady(server: &ZooKeeperServer) -> Outcome {
    const STEADY: usize = 1_000;
    let window = SHORT_TTL * 2;
    let (ours_by, bare_by) = (FaultProxy::start(server.address()).await?, FaultProxy::start(server.address()).await?);
    let mut options = options(ours_by.address(), SHORT_TTL);
    options.handle.audit_interval = Duration::from_secs(3_600);
    let owner = connect(options).await?;
    register_all(&owner, &infos("steady")[..STEADY]).await?;
    let bare = Bare::connect(bare_by.address(), SHORT_TTL).await?;
    bare.folder("/bare-steady").await?;
    bare.create_all(&nodes("bare-steady")?[..STEADY]).await?;
    // A beat that is due at once belongs to what came before.
    tokio::time::sleep(SHORT_TTL).await;
    let (mut bytes, mut requests): (Vec<Pair>, Vec<f64>) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = (ours_by.counts(), bare_by.counts());
        tokio::time::sleep(window).await;
        let (ours, floor) = (since(before.0, ours_by.counts()), since(before.1, bare_by.counts()));
        requests.push(ours.0 / window.as_secs_f64());
        bytes.push((ours.1 / window.as_secs_f64(), floor.1 / window.as_secs_f64()));
    }
    row(
        "1,000 registrations that nothing happens to, TTL 4 s: bytes a second, pings and answers included",
        "",
        &bytes,
        "none set",
    );
    println!(
        "| the same: requests a second, pings not counted | {:.2} ({:.2} to {:.2}) | 0 (pings alone) | | 1 a renewal interval (0.75) a handle |",
        quantile(requests.iter().copied(), 0.5),
        quantile(requests.iter().copied(), 0.0),
        quantile(requests.iter().copied(), 1.0)
    );
    owner.close().await?;
    close(bare, server, "/bare-steady").await
}

/// 10,000 registrations whose session the server expired: until all stand again, against a bare client that is told at once, connects anew and creates them.
pub(crate) async fn expiry(server: &ZooKeeperServer) -> Outcome {
    let mut pairs: Vec<Pair> = Vec::new();
    for round in 0..ROUNDS {
        let (folder, owner) = (format!("/again-{round}"), connect(options(server.address(), TTL)).await?);
        let infos = infos(&folder[1..]);
        register_all(&owner, &infos).await?;
        // One for each round: the session of an idle one ends.
        let mut door = ZooKeeperDoor::open(server.address()).await?;
        let first = door.get(&node(&infos[0])?.0).await?.and_then(|node| node.owner).ok_or("it is not registered")?;
        ZooKeeperDoor::expire(server.address(), first).await?;
        let start = Instant::now();
        while door.children(&folder).await?.len() < INSTANCES {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let ours = start.elapsed();
        door.close().await?;
        owner.close().await?;
        let (folder, nodes) = (format!("/bare-again-{round}"), nodes(&format!("bare-again-{round}"))?);
        Bare::connect(server.address(), TTL).await?.folder(&folder).await?;
        let start = Instant::now();
        let bare = Bare::connect(server.address(), TTL).await?;
        bare.create_all(&nodes).await?;
        pairs.push((ours.as_secs_f64() * 1e3, start.elapsed().as_secs_f64() * 1e3));
        close(bare, server, &folder).await?;
    }
    row("10,000 registrations back after the server expired their session", "ms", &pairs, "none set");
    Ok(())
}
