//! A service of 10,000 instances.

use futures_util::future::join_all;
use integration_tests::eventually;
use registry_core::{Registry, Resolver, Watch};

use crate::bench::{Bench, PATIENCE, info, service};
use crate::{Outcome, tests};

tests![ten_thousand_instances_are_registered_watched_changed_and_gone];

const INSTANCES: usize = 10_000;
const WATCHERS: usize = 100;
/// So that all of them are more than one message may have by default.
const TAG: usize = 500;
const DEFAULT_MESSAGE: usize = 4 * 1024 * 1024;

/// What an owner may allocate for a registration at most, in bytes, while 10,000 calls are under way at once: the call's future and its channel, the record and
/// its status, a few times the 600 bytes of the entry where they are on their way. Measured: about 4.2 KiB in a debug build.
const REGISTRATION: usize = 12 * 1024;
/// What a reader may allocate for an instance at most: the message, what is decoded of it, the list in it and the table of the watch, each of them once or
/// twice. Measured: about 2.1 KiB.
const INSTANCE: usize = 6 * 1024;
/// What a further watcher of the same service may allocate for an instance: it shares the list. A difference that it was given is a pointer each.
const POINTERS: usize = 48;
/// What a reader may allocate for an instance that leaves together with all others: the message comes in pieces, and each watcher is told a list of pointers.
/// Measured: about 40 bytes.
const LEAVING: usize = 512;

fn ten_thousand_instances_are_registered_watched_changed_and_gone(bench: &Bench) -> Outcome {
    let count = bench.scaled(INSTANCES);
    let infos: Vec<_> = (0..count).map(|number| info("large", number, 10, TAG)).collect();
    let (owner, reader) = (bench.connect()?, bench.connect()?);

    // Registered with one handle, all calls at once.
    let registering = async {
        join_all(infos.iter().map(|info| owner.register(info))).await.into_iter().collect::<Result<Vec<()>, _>>()
    };
    let (registered, peak) = bench.counted(registering);
    registered?;
    assert!(peak < count * REGISTRATION, "{peak} bytes for {count} registrations, {} each", peak / count);
    let stands = bench.runtime.block_on(bench.stored("large"))?;
    assert_eq!(stands.len(), count);
    let lease = stands.values().next().expect("invariant: there are some").lease;
    assert!(infos.iter().all(|info| {
        let entry = stands.get(info.address().as_str());
        entry.is_some_and(|entry| entry.weight == 10 && entry.lease == lease)
    }));

    // Read in one message, and watched.
    assert!(count * TAG > DEFAULT_MESSAGE);
    let (resolved, peak) = bench.counted(async { reader.resolve(&service("large")).await });
    assert_eq!(resolved?.len(), count);
    assert!(peak < count * INSTANCE, "{peak} bytes to resolve {count} instances, {} each", peak / count);
    let (first, peak) = bench.counted(async {
        let watch = reader.watch(&service("large"))?;
        watch.ready(count, PATIENCE).await?;
        Ok::<_, Box<dyn std::error::Error>>(watch)
    });
    let first = first?;
    assert!(peak < count * INSTANCE, "{peak} bytes to watch {count} instances, {} each", peak / count);
    let (watches, peak) = bench.counted(async {
        let mut watches = Vec::new();
        for _ in 0..WATCHERS {
            watches.push(reader.watch(&service("large"))?);
        }
        for watch in &mut watches {
            let change = watch.next().await.ok_or("the watch ended")?;
            assert_eq!((change.snapshot.len(), change.difference.added.len()), (count, count));
        }
        Ok::<_, Box<dyn std::error::Error>>(watches)
    });
    let mut watches = watches?;
    assert!(peak < count * POINTERS + WATCHERS * 64 * 1024, "{peak} bytes for {WATCHERS} further watchers");

    // One changes.
    bench.runtime.block_on(async {
        owner.register(&info("large", count / 2, 77, TAG)).await?;
        for watch in &mut watches {
            let change = tokio::time::timeout(PATIENCE, watch.next()).await?.ok_or("the watch ended")?;
            let updated: Vec<_> = change.difference.updated.iter().map(|one| one.weight()).collect();
            assert_eq!((change.snapshot.len(), updated), (count, vec![77]));
            assert!(change.difference.added.is_empty() && change.difference.removed.is_empty());
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;

    // All leave at once.
    let (left, peak) = bench.counted(async {
        owner.close().await?;
        join_all(watches.iter_mut().map(all_gone)).await;
        Ok::<_, registry_core::Error>(())
    });
    left?;
    assert!(peak < count * LEAVING, "{peak} bytes while {count} instances leave, {} each", peak / count);
    assert!(bench.runtime.block_on(bench.stored("large"))?.is_empty());
    assert!(first.latest().is_empty() && first.latest().is_known());
    Ok(bench.runtime.block_on(reader.close())?)
}

/// Follows a watch until nothing is left in it; each item leads on from the one before.
async fn all_gone(watch: &mut Watch) {
    let mut left = watch.latest().len();
    let follow = async || {
        let change = watch.next().await?;
        assert!(change.difference.added.is_empty() && change.difference.updated.is_empty());
        left = left.min(change.snapshot.len());
        (left == 0).then_some(())
    };
    eventually(PATIENCE, "all instances leave", follow).await;
}
