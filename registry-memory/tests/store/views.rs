//! Views: the full list, changes, doubt, and signs of life.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake};
use std::time::Duration;

use registry_core::store::{Store, View, ViewChange};
use registry_memory::{Link, MemoryStore};
use tokio::time::{Instant, advance};

use crate::clients::{TTL, client, give_up, key, name, owner};

async fn next(view: &mut Box<dyn View>) -> ViewChange {
    view.next().await.unwrap()
}

fn weight(change: ViewChange) -> u32 {
    match change {
        ViewChange::Upsert(found) => found.instance.unwrap().weight(),
        other => panic!("{other:?} is no upsert"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_full_list_comes_first_and_then_each_change_in_order() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    let mut view = owner.client.view(&name(), 0).await.unwrap();
    owner.claim(1, 1).await;
    assert!(matches!(next(&mut view).await, ViewChange::Full(found) if found.len() == 1));
    owner.claim(1, 2).await;
    owner.claim(2, 3).await;
    owner.remove(1).await.unwrap();
    assert_eq!((weight(next(&mut view).await), weight(next(&mut view).await)), (2, 3));
    assert!(matches!(next(&mut view).await, ViewChange::Remove(removed) if removed.as_str() == key(1)));
}

#[tokio::test(start_paused = true)]
async fn a_takeover_shows_no_moment_without_the_identity() {
    let store = MemoryStore::new();
    let (old, new) = (owner(&store).await, owner(&store).await);
    old.claim(1, 1).await;
    let mut view = new.view().await;
    new.claim(1, 2).await;
    old.session.end().await.unwrap();
    assert_eq!(weight(next(&mut view).await), 2);
    assert!(give_up(view.next()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_expiry_is_seen_when_it_is_due_though_nobody_else_looks() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    let mut view = owner.view().await;
    owner.claim(1, 1).await;
    next(&mut view).await;
    let start = Instant::now();
    assert!(matches!(next(&mut view).await, ViewChange::Remove(_)));
    assert_eq!(start.elapsed(), TTL);
}

#[tokio::test(start_paused = true)]
async fn a_silent_view_answers_a_probe() {
    let store = MemoryStore::new();
    let mut view = owner(&store).await.view().await;
    assert!(give_up(view.next()).await.is_none());
    view.probe().await.unwrap();
    assert!(matches!(next(&mut view).await, ViewChange::Alive));
    assert!(give_up(view.next()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_a_frozen_store_is_not_answered() {
    let store = MemoryStore::new();
    let mut view = owner(&store).await.view().await;
    store.freeze();
    view.probe().await.unwrap();
    assert!(give_up(view.next()).await.is_none());
    store.thaw();
    assert!(matches!(next(&mut view).await, ViewChange::Alive));
}

#[tokio::test(start_paused = true)]
async fn a_view_that_missed_changes_by_compaction_is_over() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    let (mut behind, mut up_to_date) = (owner.view().await, owner.view().await);
    owner.claim(1, 1).await;
    next(&mut up_to_date).await;
    store.compact();
    assert!(behind.next().await.is_err());
    assert!(give_up(up_to_date.next()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_view_that_falls_far_behind_is_over_rather_than_costly() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    let mut view = owner.view().await;
    for round in 0..5_000 {
        owner.claim(1, 1 + round).await;
    }
    assert!(view.next().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_view_of_a_store_that_was_wiped_or_restarted_is_over() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    for fault in [MemoryStore::wipe, MemoryStore::restart, MemoryStore::stop] {
        let mut view = owner.view().await;
        fault(&store);
        assert!(give_up(view.next()).await.expect("it says so at once").is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_view_hangs_and_misses_nothing() {
    let store = MemoryStore::new();
    let writer = owner(&store).await;
    let link = Link::new();
    let mut view = client(&store, &link).view(&name(), 0).await.unwrap();
    next(&mut view).await;
    link.cut();
    writer.claim(1, 1).await;
    assert!(give_up(view.next()).await.is_none());
    link.heal();
    assert_eq!(weight(next(&mut view).await), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_view_is_over() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    let mut view = owner.view().await;
    owner.link.refuse();
    assert!(view.next().await.is_err());
    assert!(owner.client.view(&name(), 1).await.is_err());
    owner.link.heal();
    assert!(view.next().await.is_err(), "an error ends a view for good");
}

#[tokio::test(start_paused = true)]
async fn a_delayed_view_sees_changes_later_and_a_dropped_wait_costs_none() {
    let store = MemoryStore::new();
    let (writer, reader) = (owner(&store).await, owner(&store).await);
    let mut view = reader.view().await;
    reader.link.delay(Duration::from_secs(1));
    writer.claim(1, 1).await;
    assert!(give_up(view.next()).await.is_none());
    advance(Duration::from_millis(899)).await;
    let start = Instant::now();
    assert_eq!(weight(next(&mut view).await), 1);
    assert_eq!(start.elapsed(), Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_view_ends_it_at_the_store() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    let views = (owner.view().await, owner.view().await);
    assert_eq!(store.usage().views, 2);
    drop(views);
    assert_eq!(store.usage().views, 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_one_service_wakes_no_view_of_another() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    let mut view = owner.client.view(&"other".try_into().unwrap(), 0).await.unwrap();
    next(&mut view).await;
    let wakes = Arc::new(Wakes::default());
    let waker = wakes.clone().into();
    let mut waiting = std::pin::pin!(view.next());
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    store.raw_put(&key(1), *b"x");
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    store.raw_put("registry/other/h:1", *b"x");
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
