//! One change in a service of 10,000 instances, at a watcher.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, EventType, GetOptions, WatchOptions};
use integration_tests::FaultProxy;
use registry_core::store::JsonRecord;
use registry_core::{Instance, Resolver};
use registry_etcd::{DEFAULT_PREFIX, Options, connect};

use crate::Outcome;
use crate::bare;
use crate::ground::{Failure, Ground, INSTANCES, info, infos, rounds, row, service, time};

/// Changes in one round.
const CHANGES: usize = 100;
const READY: Duration = Duration::from_secs(60);

pub(crate) fn run() -> Outcome {
    let (ground, infos) = (Ground::new()?, infos());
    let (cpu, bytes) = ground.runtime.block_on(async {
        let writer = bare::client(&ground.server).await?;
        let (lease, _) = bare::register(&writer, &infos, 4).await?;
        let _kept = tokio::spawn(keep(writer.clone(), lease));
        let (ours, floor) =
            (FaultProxy::start(ground.server.address()).await?, FaultProxy::start(ground.server.address()).await?);
        let reader = connect(Options::new([ours.address().to_string()])).await?;
        let mut watch = reader.watch(&service())?;
        watch.ready(INSTANCES, READY).await?;
        watch.next().await.ok_or("the watch ended")?;
        let mut list = List::open(&Client::connect([format!("http://{}", floor.address())], None).await?).await?;
        let (mut cpu, mut bytes) = (Vec::new(), Vec::new());
        for round in 0..=rounds() {
            let before = ours.counts().to_client;
            let mut ours_used = 0;
            for number in 0..CHANGES {
                write(&ground, round, number);
                let start = used();
                let change = watch.next().await.ok_or("the watch ended")?;
                assert_eq!((change.snapshot.len(), change.difference.updated.len()), (INSTANCES, 1));
                ours_used += used() - start;
                // The floor reads the same change, so that it is never behind.
                list.next().await?;
            }
            let ours_read = ours.counts().to_client - before;
            let before = floor.counts().to_client;
            let mut floor_used = 0;
            for number in 0..CHANGES {
                write(&ground, round, number + CHANGES);
                let start = used();
                list.next().await?;
                floor_used += used() - start;
                watch.next().await.ok_or("the watch ended")?;
            }
            let floor_read = floor.counts().to_client - before;
            // The first round warms up.
            if round > 0 {
                let each = |total: u64| total as f64 / CHANGES as f64;
                cpu.push((each(ours_used) / 1e9, each(floor_used) / 1e9));
                bytes.push((each(ours_read), each(floor_read)));
            }
        }
        Ok::<_, Failure>((cpu, bytes))
    })?;
    row("processor time of one change among 10,000, at a watcher", &cpu, time, "none set");
    row("bytes read for it", &bytes, |count| format!("{count:.0} B"), "none set");
    Ok(())
}

/// What a program without us would do: a map of what stands, kept by a watch.
struct List {
    watch: etcd_client::WatchStream,
    entries: BTreeMap<Vec<u8>, Arc<Instance>>,
}

impl List {
    async fn open(client: &Client) -> Result<Self, Failure> {
        let folder = format!("{DEFAULT_PREFIX}/demo/");
        let mut watch = client.watch_client().watch(&*folder, Some(WatchOptions::new().with_prefix())).await?;
        watch.message().await?;
        let mut kv = client.kv_client().max_decoding_message_size(usize::MAX);
        let mut read = kv.get(folder, Some(GetOptions::new().with_prefix())).await?;
        let entries = read.take_kvs().into_iter().map(|entry| {
            let (key, value) = entry.into_key_value();
            (key, instance(&value))
        });
        Ok(Self { watch, entries: entries.collect() })
    }

    async fn next(&mut self) -> Result<(), Failure> {
        loop {
            let message = self.watch.message().await?.ok_or("the watch ended")?;
            for event in message.events() {
                let entry = event.kv().ok_or("an event without an entry")?;
                match event.event_type() {
                    EventType::Put => self.entries.insert(entry.key().to_vec(), instance(entry.value())),
                    EventType::Delete => self.entries.remove(entry.key()),
                };
            }
            if !message.events().is_empty() {
                return Ok(());
            }
        }
    }
}

fn instance(value: &[u8]) -> Arc<Instance> {
    Arc::new(JsonRecord::decode(&service(), value).expect("our own bytes"))
}

/// Changes one instance, on a thread of its own, so that its work is not counted.
fn write(ground: &Ground, round: usize, number: usize) {
    let url = ground.server.url();
    let weight = u32::try_from(1 + (round * 2 * CHANGES + number) % 1_000).expect("small");
    let changed = info(round * 500 + number, weight + 10);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let client = Client::connect([url], None).await.expect("the server answers");
            client.kv_client().put(bare::key(&changed), bare::value(&changed), None).await.expect("the server answers");
        });
    });
}

async fn keep(client: Client, lease: i64) {
    let Ok((mut keeper, mut answers)) = client.lease_client().keep_alive(lease).await else { return };
    loop {
        tokio::time::sleep(Duration::from_secs(3)).await;
        if keeper.keep_alive().await.is_err() || answers.message().await.is_err() {
            return;
        }
    }
}

/// What this thread has used of the processor so far, in nanoseconds.
fn used() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts it");
    text.split_whitespace().next().and_then(|first| first.parse().ok()).expect("a number stands first")
}
