//! Sessions: TTLs, signals, fencing and ending.

use std::time::Duration;

use registry_core::store::{Guard, SessionError, Signal, WriteError};
use registry_memory::MemoryStore;
use tokio::time::{Instant, advance};

use crate::clients::{TTL, give_up, key, open, owner};

#[tokio::test(start_paused = true)]
async fn an_entry_outlives_its_owner_by_one_ttl_and_no_more() {
    let store = MemoryStore::new();
    let (owner, reader) = (owner(&store).await, owner(&store).await);
    owner.claim(1, 1).await;
    drop(owner.session);
    advance(TTL - Duration::from_millis(1)).await;
    assert_eq!(reader.weights().await, [1]);
    advance(Duration::from_millis(1)).await;
    assert!(reader.weights().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_grants_the_full_ttl_again() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.claim(1, 1).await;
    for _ in 0..5 {
        advance(TTL - Duration::from_millis(1)).await;
        owner.session.renew(&[]).await.unwrap();
    }
    assert_eq!(owner.weights().await, [1]);
}

#[tokio::test(start_paused = true)]
async fn whatever_is_asked_of_a_session_that_is_gone_says_so() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    advance(TTL).await;
    assert!(matches!(owner.put(1, 1, Guard::Claim).await, Err(WriteError::SessionLost)));
    assert!(matches!(owner.remove(1).await, Err(WriteError::SessionLost)));
    assert!(matches!(owner.session.renew(&[]).await, Err(SessionError::Lost)));
    assert!(matches!(owner.session.fence().await, Err(SessionError::Lost)));
    assert!(matches!(owner.session.inspect(&[], &owner.lineage).await, Err(SessionError::Lost)));
}

#[tokio::test(start_paused = true)]
async fn the_loss_is_signalled_when_it_happens() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    let start = Instant::now();
    assert_eq!(owner.session.signal().await, Signal::Lost);
    assert_eq!(start.elapsed(), TTL);
}

#[tokio::test(start_paused = true)]
async fn a_displaced_owner_is_told_to_look() {
    let store = MemoryStore::new();
    let (old, new) = (owner(&store).await, owner(&store).await);
    old.claim(1, 1).await;
    new.claim(1, 2).await;
    let Signal::Look(looked) = old.session.signal().await else { panic!("the session lives") };
    assert_eq!(looked.as_str(), key(1));
}

#[tokio::test(start_paused = true)]
async fn an_owner_is_told_of_a_change_behind_its_back() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.claim(1, 1).await;
    assert!(store.raw_overwrite(&key(1), *b"changed"));
    assert!(matches!(owner.session.signal().await, Signal::Look(_)));
}

#[tokio::test(start_paused = true)]
async fn an_owner_is_not_told_of_its_own_changes() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.claim(1, 1).await;
    owner.claim(1, 2).await;
    owner.remove(1).await.unwrap();
    assert_eq!(give_up(owner.session.signal()).await, None);
}

#[tokio::test(start_paused = true)]
async fn ending_withdraws_the_entries_of_this_session_only() {
    let store = MemoryStore::new();
    let (old, new) = (owner(&store).await, owner(&store).await);
    for port in 1..=2 {
        old.claim(port, 1).await;
    }
    new.claim(1, 2).await;
    old.session.end().await.unwrap();
    assert_eq!(store.raw_keys(), [key(1)]);
    assert_eq!(store.usage().sessions, 1);
}

#[tokio::test(start_paused = true)]
async fn ending_a_session_that_is_gone_is_ok() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    store.wipe();
    owner.session.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn session_ids_are_never_used_twice_also_after_a_wipe() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    store.wipe();
    assert_ne!(open(&owner.client).await.id(), owner.session.id());
}

#[tokio::test(start_paused = true)]
async fn a_fence_stops_the_writes_before_it_and_none_after() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.link.deliver_late();
    assert!(give_up(owner.put(1, 1, Guard::Claim)).await.is_none());
    owner.link.heal();
    owner.session.fence().await.unwrap();
    assert_eq!(owner.link.release(), 1);
    assert!(owner.weights().await.is_empty());
    owner.claim(1, 2).await;
    assert_eq!(owner.weights().await, [2]);
}
