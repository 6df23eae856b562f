//! What core costs, measured against floors in the same run: prints a table. `cargo bench -p integration-tests --bench core`.
//!
//! Each row compares our work with a floor that does the same work by hand, in alternating rounds, and gives median and spread (lowest and highest
//! round) of the ratio per round, because machines are noisy. Allocations are counted on the measuring thread.

#![allow(clippy::print_stdout, reason = "a program that prints a table")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use allocation_counter::measure;
use arc_swap::ArcSwap;
use futures_util::future::join_all;
use registry_core::store::{Guard, JsonRecord, Key, Lineage, OpenRequest, OwnerToken, Put, Session, Store};
use registry_core::{Handle, Info, Publisher, Registry, Resolver, ServiceName, Snapshot, Watch};
use registry_memory::{MemoryStore, Options};
use tokio::runtime::Runtime;

const ROUNDS: usize = 15;
const INSTANCES: usize = 10_000;

fn main() {
    println!(
        "| what | ours (median) | floor (median) | ratio: median (lowest to highest of {ROUNDS} rounds) | allocations | goal |"
    );
    println!("|---|---|---|---|---|---|");
    newest_snapshot_read();
    one_change_among_many();
    memory_per_instance();
    many_registrations();
}

/// W6: reading the newest snapshot, against a bare `ArcSwap` load.
fn newest_snapshot_read() {
    const READS: u32 = 2_000_000;
    let (publisher, watch) = Publisher::new(service());
    publisher.publish(Snapshot::new(service(), []));
    let bare = ArcSwap::from_pointee(Snapshot::unknown(service()));
    let reads = |read: &dyn Fn() -> bool| {
        let start = Instant::now();
        for _ in 0..READS {
            black_box(read());
        }
        start.elapsed()
    };
    let pairs = alternate(|| reads(&|| watch.latest().is_known()), || reads(&|| bare.load().is_known()));
    let allocations = measure(|| (0..1_000).for_each(|_| drop(black_box(watch.latest())))).count_total;
    row(
        "2,000,000 reads of the newest snapshot",
        &pairs,
        &format!("{allocations} in 1,000 reads"),
        "at most 2, none allocated",
    );
}

/// One changed weight in a service of 10,000 instances, from `register` to the watcher's item, against copying the list by hand: find the instance, copy the
/// 10,000 pointers, swap the list in, and compare old and new pointer by pointer.
fn one_change_among_many() {
    let runtime = runtime();
    let (owner, _reader, mut watch) = runtime.block_on(async {
        let store = MemoryStore::new();
        let owner = connect(&store).await;
        register_all(&owner).await;
        let reader = connect(&store).await;
        let mut watch = reader.watch(&service()).expect("the handle is open");
        watch.ready(INSTANCES, Duration::from_secs(60)).await.expect("all are registered");
        watch.next().await;
        (owner, reader, watch)
    });
    let mut weight = 10;
    let mut change = |watch: &mut Watch| {
        weight = weight % 1_000 + 1;
        runtime.block_on(async {
            owner.register(&info(5_000, weight)).await.expect("the store answers");
            let change = watch.next().await.expect("the handle is open");
            assert_eq!(change.difference.updated.len(), 1);
        });
    };
    let list: Vec<_> = watch.latest().instances().to_vec();
    let bare = ArcSwap::from_pointee(list);
    let mut copy = || {
        let old = bare.load_full();
        let mut new = (*old).clone();
        let place =
            new.iter().position(|instance| instance.address().port() == Some(5_001)).expect("it is in the list");
        new[place] =
            Arc::new(JsonRecord::decode(&service(), &JsonRecord::encode(&info(5_000, 1))).expect("our own bytes"));
        let differing = old.iter().zip(&new).filter(|(old, new)| !Arc::ptr_eq(old, new)).count();
        bare.store(Arc::new(new));
        black_box(differing);
    };
    let pairs = alternate(|| timed(20, || change(&mut watch)), || timed(20, &mut copy));
    let counted = measure(|| change(&mut watch));
    let allocations = format!("{} ({} KiB)", counted.count_total, counted.bytes_total / 1024);
    row("one change among 10,000 instances, register to item", &pairs, &allocations, "none set");
}

/// What a watch keeps allocated per instance, beside the decoded instance, against the decoded instances in a plain list.
fn memory_per_instance() {
    let runtime = runtime();
    let store = MemoryStore::new();
    let owner = runtime.block_on(async {
        let owner = connect(&store).await;
        register_all(&owner).await;
        owner
    });
    let mut kept = None;
    let ours = measure(|| {
        kept = Some(runtime.block_on(async {
            let reader = connect(&store).await;
            let watch = reader.watch(&service()).expect("the handle is open");
            watch.ready(INSTANCES, Duration::from_secs(60)).await.expect("all are registered");
            (reader, watch)
        }));
    });
    let mut plain = Vec::new();
    let floor = measure(|| {
        let one = |place| {
            Arc::new(JsonRecord::decode(&service(), &JsonRecord::encode(&info(place, 10))).expect("our own bytes"))
        };
        plain = (0..INSTANCES).map(one).collect();
    });
    let each = |bytes: i64| bytes as f64 / INSTANCES as f64;
    println!(
        "| memory that a watch adds per instance, beside the instance itself | {:.0} B | {:.0} B (the instance itself, which the memory store shares with \
         its watchers) | {:.2} (exact) | | none set |",
        each(ours.bytes_current),
        each(floor.bytes_current),
        ours.bytes_current as f64 / floor.bytes_current as f64
    );
    drop((kept, plain, owner));
}

/// 10,000 concurrent `register` calls on one handle, against the same entries written through the store's own session in batches of 128.
fn many_registrations() {
    let runtime = runtime();
    let infos: Vec<Info> = (0..INSTANCES).map(|place| info(place, 10)).collect();
    let ours = || {
        runtime.block_on(async {
            let owner = connect(&MemoryStore::new()).await;
            let start = Instant::now();
            join_all(infos.iter().map(|info| owner.register(info)))
                .await
                .into_iter()
                .for_each(|done| done.expect("the store answers"));
            let took = start.elapsed();
            owner.close().await.expect("the store answers");
            took
        })
    };
    let floor = || {
        runtime.block_on(async {
            let (session, client, lineage) = session().await;
            let start = Instant::now();
            for batch in infos.chunks(128) {
                let put = |info| Put { record: client.encode(info).expect("valid"), guard: Guard::Claim };
                let puts: Vec<Put> = batch.iter().map(put).collect();
                session.put(&puts, &lineage).await.into_iter().for_each(|done| done.expect("the store answers"));
            }
            start.elapsed()
        })
    };
    let pairs = alternate(ours, floor);
    row("10,000 registrations on one memory handle", &pairs, "", "none set");
    let mut plain: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
    let shared = Mutex::new(&mut plain);
    let start = Instant::now();
    for info in &infos {
        let key = Key::new(format!("{}/{}", info.service(), info.address()));
        shared.lock().expect("not poisoned").insert(key, JsonRecord::encode(info));
    }
    println!("| (the same 10,000 into a plain map) | | {:?} | | | |", start.elapsed());
}

/// Runs both sides in alternating rounds.
fn alternate(mut ours: impl FnMut() -> Duration, mut floor: impl FnMut() -> Duration) -> Vec<(Duration, Duration)> {
    ours();
    floor();
    (0..ROUNDS).map(|_| (ours(), floor())).collect()
}

fn timed(times: u32, mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..times).for_each(|_| work());
    start.elapsed() / times
}

fn row(what: &str, pairs: &[(Duration, Duration)], allocations: &str, goal: &str) {
    let mut ratios: Vec<f64> = pairs.iter().map(|(ours, floor)| ours.as_secs_f64() / floor.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let ours = median(pairs.iter().map(|pair| pair.0).collect());
    let floor = median(pairs.iter().map(|pair| pair.1).collect());
    println!(
        "| {what} | {ours:.1?} | {floor:.1?} | {:.2} ({:.2} to {:.2}) | {allocations} | {goal} |",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1]
    );
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn connect(store: &MemoryStore) -> Handle {
    registry_memory::connect(Options::new(store.clone())).await.expect("the memory store answers")
}

async fn register_all(owner: &Handle) {
    let infos: Vec<Info> = (0..INSTANCES).map(|place| info(place, 10)).collect();
    join_all(infos.iter().map(|info| owner.register(info)))
        .await
        .into_iter()
        .for_each(|done| done.expect("the store answers"));
}

async fn session() -> (Arc<dyn Session>, registry_memory::Client, Lineage) {
    let client = Options::default().client().expect("valid options");
    let owner = OwnerToken::random();
    let session =
        client.open(OpenRequest::new(Duration::from_secs(15), 0, owner.clone())).await.expect("the store answers");
    let mut lineage = Lineage::new(owner);
    lineage.add(session.id());
    (session, client, lineage)
}

fn service() -> ServiceName {
    ServiceName::new("demo").expect("a valid name")
}

fn info(place: usize, weight: u32) -> Info {
    let address = format!("10.0.{}.{}:{}", place / 250, place % 250, 1 + place);
    Info::builder("demo").address(address).weight(weight).tag("idc", "hd1").build().expect("valid")
}
