//! Faults of links and of the store.

use std::time::Duration;

use registry_core::ErrorKind;
use registry_core::store::{Applied, Guard, Removed, Signal, Store, StoreError, WriteError};
use registry_memory::{Access, MemoryStore};
use tokio::time::{Instant, advance};

use crate::clients::{TTL, give_up, key, name, owner};

fn never(result: Result<(), WriteError>) -> StoreError {
    match result {
        Err(WriteError::Failed { error, applied: Applied::Never }) => error,
        other => panic!("{other:?} is no failure without effect"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_link_hangs_and_a_dropped_request_never_takes_effect() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.link.cut();
    assert!(give_up(owner.put(1, 1, Guard::Claim)).await.is_none());
    owner.link.heal();
    assert!(owner.weights().await.is_empty());
    assert_eq!(store.usage().requests, 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_still_waited_for_goes_on_when_the_link_heals() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.link.cut();
    let heal = async {
        assert_eq!(store.usage().requests, 1);
        owner.link.heal();
    };
    let (put, ()) = tokio::join!(owner.put(1, 1, Guard::Claim), heal);
    put.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refusing_link_fails_at_once_without_effect() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.link.refuse();
    assert_eq!(never(owner.put(1, 1, Guard::Claim).await).kind(), ErrorKind::Unreachable);
    assert_eq!(owner.client.list(&name()).await.unwrap_err().kind(), ErrorKind::Unreachable);
    assert!(store.raw_keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_link_is_cut_without_the_others() {
    let store = MemoryStore::new();
    let (cut, other) = (owner(&store).await, owner(&store).await);
    cut.link.cut();
    other.claim(1, 1).await;
    assert!(give_up(cut.client.list(&name())).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_reply_is_dropped_was_applied() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.link.drop_replies();
    assert!(give_up(owner.put(1, 1, Guard::Claim)).await.is_none());
    assert_eq!(store.raw_keys(), [key(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_delivered_late_takes_effect_on_release() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.link.deliver_late();
    assert!(give_up(owner.put(1, 1, Guard::Claim)).await.is_none());
    assert!(store.raw_keys().is_empty());
    assert_eq!((owner.link.held(), owner.link.release(), owner.link.held()), (1, 1, 0));
    assert_eq!(store.raw_keys(), [key(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_late_write_spares_a_successor() {
    let store = MemoryStore::new();
    let (late, successor) = (owner(&store).await, owner(&store).await);
    late.link.deliver_late();
    assert!(give_up(late.put(1, 1, Guard::Claim)).await.is_none());
    successor.claim(1, 2).await;
    late.link.release();
    assert_eq!(successor.weights().await, [2]);
}

#[tokio::test(start_paused = true)]
async fn a_late_removal_spares_what_was_written_since() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.claim(1, 1).await;
    owner.link.deliver_late();
    assert!(give_up(owner.remove(1)).await.is_none());
    owner.link.heal();
    owner.claim(1, 2).await;
    owner.link.release();
    assert_eq!(owner.weights().await, [2]);
}

#[tokio::test(start_paused = true)]
async fn a_late_write_that_lost_the_race_is_contended() {
    let store = MemoryStore::new();
    let (late, successor) = (owner(&store).await, owner(&store).await);
    late.link.deliver_late();
    let overtake = async {
        successor.claim(1, 2).await;
        late.link.release();
    };
    let (put, ()) = tokio::join!(late.put(1, 1, Guard::Claim), overtake);
    assert!(matches!(put, Err(WriteError::Contended)));
}

#[tokio::test(start_paused = true)]
async fn a_discarded_write_never_takes_effect_and_says_so() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.link.deliver_late();
    let lose = async { assert_eq!(owner.link.discard(), 1) };
    let (put, ()) = tokio::join!(owner.put(1, 1, Guard::Claim), lose);
    assert_eq!(never(put).kind(), ErrorKind::Unreachable);
    assert!(store.raw_keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_delayed_request_arrives_later() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.link.delay(Duration::from_secs(1));
    let start = Instant::now();
    owner.claim(1, 1).await;
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn denials_hit_what_they_name() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.link.deny(Access::Write);
    assert_eq!(never(owner.put(1, 1, Guard::Claim).await).kind(), ErrorKind::Denied);
    owner.client.list(&name()).await.unwrap();
    owner.link.permit(Access::Write);
    owner.link.deny(Access::Read);
    owner.claim(1, 1).await;
    assert_eq!(owner.client.list(&name()).await.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_store_hangs_while_ttls_go_on() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.claim(1, 1).await;
    store.freeze();
    assert!(give_up(owner.client.list(&name())).await.is_none());
    advance(TTL).await;
    store.thaw();
    assert!(owner.weights().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stopped_store_refuses_and_starts_with_data_and_full_ttls() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.claim(1, 1).await;
    store.stop();
    assert_eq!(never(owner.put(2, 1, Guard::Claim).await).kind(), ErrorKind::Unreachable);
    advance(TTL * 10).await;
    store.start();
    advance(TTL - Duration::from_millis(1)).await;
    assert_eq!(owner.weights().await, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_wipe_forgets_entries_and_sessions() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.claim(1, 1).await;
    store.wipe();
    assert_eq!(store.usage(), MemoryStore::new().usage());
    assert_eq!(owner.session.signal().await, Signal::Lost);
}

#[tokio::test(start_paused = true)]
async fn expiring_by_link_spares_other_owners() {
    let store = MemoryStore::new();
    let (gone, other) = (owner(&store).await, owner(&store).await);
    gone.claim(1, 1).await;
    other.claim(2, 2).await;
    assert_eq!(store.expire_sessions(&gone.link), 1);
    assert_eq!(other.weights().await, [2]);
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_not_told_over_a_cut_link() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.link.cut();
    store.expire_sessions(&owner.link);
    assert_eq!(give_up(owner.session.signal()).await, None);
    owner.link.heal();
    assert_eq!(owner.session.signal().await, Signal::Lost);
}

#[tokio::test(start_paused = true)]
async fn the_back_door_works_around_every_handle() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.claim(1, 1).await;
    store.freeze();
    assert_eq!(store.raw_get(&key(1)).unwrap().session, Some(owner.session.id()));
    assert!(store.raw_delete(&key(1)));
    store.thaw();
    assert_eq!(owner.remove(1).await.unwrap(), Removed::NotThere);
}
