//! What is listed: clauses W1, W2, D3 and R7.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::script::*;
use crate::instance::Instance;
use crate::store::{Found, Key, ViewChange};
use crate::watcher::snapshot_of;

#[tokio::test(start_paused = true)]
async fn an_empty_service_is_delivered_as_empty() {
    let script = Script::listing(&[]);
    let watchers = watchers(&script);
    let mut watch = watchers.watch(&service()).unwrap();
    let change = watch.next().await.unwrap();
    assert!(change.snapshot.is_known() && change.snapshot.is_empty() && change.snapshot.stale().is_none());
}

#[tokio::test(start_paused = true)]
async fn changes_are_delivered_with_their_difference() {
    let script = Script::listing(&[1, 2]);
    let (_watchers, mut watch) = watching(&script).await;
    script.puts(Found::new(key(1), instance(1, 7), 2));
    script.puts(entry(3));
    script.removes(2);
    let difference = watch.next().await.unwrap().difference;
    let counts = (difference.added.len(), difference.updated.len(), difference.removed.len());
    assert_eq!((counts, ports(&watch)), ((1, 1, 1), vec![1, 3]));
}

#[tokio::test(start_paused = true)]
async fn the_last_removal_is_delivered() {
    let script = Script::listing(&[1]);
    let (_watchers, mut watch) = watching(&script).await;
    script.removes(1);
    assert!(watch.next().await.unwrap().snapshot.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_full_list_of_a_live_view_removes_at_once() {
    let script = Script::listing(&[1, 2]);
    let (_watchers, mut watch) = watching(&script).await;
    script.lists(&[]);
    watch.next().await.unwrap();
    assert!(watch.latest().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_full_list_with_equal_content_publishes_nothing() {
    let script = Script::listing(&[1, 2]);
    let (_watchers, mut watch) = watching(&script).await;
    let before: Vec<Arc<Instance>> = watch.latest().instances().to_vec();
    script.lists(&[2, 1]);
    soon().await;
    assert!(watch.touched().now_or_never().is_none(), "nothing was published");
    script.puts(entry(3));
    watch.next().await.unwrap();
    let kept = before.iter().zip(watch.latest().instances().iter()).all(|(old, new)| Arc::ptr_eq(old, new));
    assert!(kept, "equal content keeps its instance");
}

#[tokio::test(start_paused = true)]
async fn a_malformed_entry_hides_nothing_and_recovers() {
    let script = Script::default().opens(Opening::Lists(vec![entry(1), malformed(2), entry(3)]));
    let (_watchers, mut watch) = watching(&script).await;
    assert_eq!(ports(&watch), [1, 3]);
    script.puts(entry(2));
    watch.next().await.unwrap();
    assert_eq!(ports(&watch), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_turns_malformed_is_removed() {
    let script = Script::listing(&[1, 2]);
    let (_watchers, mut watch) = watching(&script).await;
    script.puts(malformed(2));
    watch.next().await.unwrap();
    assert_eq!(ports(&watch), [1]);
}

#[tokio::test(start_paused = true)]
async fn of_two_entries_of_one_identity_the_newest_healthy_one_is_listed() {
    let script = Script::listing(&[1]);
    let (_watchers, mut watch) = watching(&script).await;
    let newer = Found::new(Key::new("another/h:1"), instance(1, 99), 5);
    script.puts(newer.clone());
    assert_eq!(watch.next().await.unwrap().snapshot.get("h:1").unwrap().weight(), 99);
    script.puts(Found { healthy: false, ..newer });
    assert_eq!(watch.next().await.unwrap().snapshot.get("h:1").unwrap().weight(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_changes_its_address_moves() {
    let script = Script::listing(&[1]);
    let (_watchers, mut watch) = watching(&script).await;
    script.puts(Found::new(key(1), instance(2, 10), 2));
    watch.next().await.unwrap();
    assert_eq!(ports(&watch), [2]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_single_removals_are_few_snapshots() {
    let many: Vec<u16> = (1..=10_000).collect();
    let script = Script::listing(&many);
    let (_watchers, mut watch) = watching(&script).await;
    many.iter().for_each(|port| script.removes(*port));
    let mut snapshots = 0;
    while !watch.latest().is_empty() {
        assert!(watch.touched().await);
        snapshots += 1;
    }
    assert!(snapshots <= 4, "{snapshots} snapshots");
}

#[tokio::test(start_paused = true)]
async fn a_view_that_is_always_ready_starves_nobody() {
    let script = Script::listing(&[1]);
    let (_watchers, mut watch) = watching(&script).await;
    (0..50_000).for_each(|_| script.says(ViewChange::Alive));
    script.removes(1);
    let mut turns = 0;
    while watch.next().now_or_never().is_none() {
        tokio::task::yield_now().await;
        turns += 1;
    }
    assert!(turns >= 10, "other tasks had {turns} turns meanwhile");
}

#[tokio::test(start_paused = true)]
async fn the_settle_time_hides_delete_and_create() {
    let settle = Duration::from_millis(500);
    let script = Script::settling(settle, &[1, 2]);
    let (_watchers, mut watch) = watching(&script).await;
    script.removes(1);
    pass(settle / 2).await;
    script.puts(entry(1));
    pass(settle * 2).await;
    assert!(watch.next().now_or_never().is_none(), "no gap was seen");
    script.removes(1);
    pass(settle / 2).await;
    assert_eq!(ports(&watch), [1, 2], "listed, and not marked, while it settles");
    pass(settle).await;
    assert_eq!(ports(&watch), [2]);
}

#[tokio::test]
async fn a_list_without_memory_is_read_by_the_same_rules() {
    let newer = Found::new(Key::new("another/h:1"), instance(1, 99), 5);
    let snapshot = snapshot_of(&service(), vec![newer, entry(1), malformed(2), unhealthy(3), entry(4)]);
    let listed: Vec<_> = snapshot.instances().iter().map(|i| (i.address().port().unwrap(), i.weight())).collect();
    assert_eq!(listed, [(1, 99), (4, 10)]);
    assert!(snapshot.is_known());
}
