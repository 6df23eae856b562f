//! Writing, removing and reading entries.

use registry_core::store::{Applied, Guard, Lineage, OwnerToken, Put, Removed, Standing, Store, WriteError};
use registry_core::{Address, Info, MAX_ENTRY};
use registry_memory::{MemoryStore, Options};

use crate::clients::{TTL, info, key, name, open, owner};

#[tokio::test(start_paused = true)]
async fn what_was_put_is_listed_by_every_client() {
    let store = MemoryStore::new();
    let (writer, reader) = (owner(&store).await, owner(&store).await);
    writer.claim(1, 7).await;
    assert_eq!(reader.weights().await, [7]);
}

#[tokio::test(start_paused = true)]
async fn every_field_survives_the_round_trip() {
    let store = MemoryStore::new();
    let writer = owner(&store).await;
    let info = Info::builder("demo")
        .address(Address::unix("/run/demo.sock").unwrap())
        .payload_codec("thrift")
        .warm_up(TTL)
        .tag("a<b", "\u{0}é/..")
        .build()
        .unwrap();
    let put = Put { record: writer.client.encode(&info).unwrap(), guard: Guard::Claim };
    writer.session.put(&[put], &writer.lineage).await.remove(0).unwrap();
    let found = writer.client.list(&name()).await.unwrap();
    assert_eq!(**found[0].instance.as_ref().unwrap(), info);
}

#[tokio::test(start_paused = true)]
async fn a_claim_takes_over_and_the_old_sessions_expiry_leaves_it_alone() {
    let store = MemoryStore::new();
    let (old, new) = (owner(&store).await, owner(&store).await);
    old.claim(1, 1).await;
    new.claim(1, 2).await;
    store.expire_sessions(&old.link);
    assert_eq!(new.weights().await, [2]);
}

#[tokio::test(start_paused = true)]
async fn a_restoring_put_yields_to_a_foreign_entry() {
    let store = MemoryStore::new();
    let (old, new) = (owner(&store).await, owner(&store).await);
    new.claim(1, 2).await;
    assert!(matches!(old.put(1, 1, Guard::AbsentOrOurs).await, Err(WriteError::Foreign)));
    assert_eq!(new.weights().await, [2]);
}

#[tokio::test(start_paused = true)]
async fn a_restoring_put_replaces_an_unowned_entry() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    store.raw_put(&key(1), *b"junk");
    owner.put(1, 3, Guard::AbsentOrOurs).await.unwrap();
    assert_eq!(owner.weights().await, [3]);
}

#[tokio::test(start_paused = true)]
async fn a_restoring_put_replaces_what_an_earlier_session_of_the_lineage_wrote() {
    let store = MemoryStore::new();
    let mut owner = owner(&store).await;
    owner.claim(1, 1).await;
    let first = owner.session.id();
    owner.session = open(&owner.client).await;
    owner.lineage.add(owner.session.id());
    owner.put(1, 2, Guard::AbsentOrOurs).await.unwrap();
    assert_ne!(store.raw_get(&key(1)).unwrap().session, Some(first));
}

#[tokio::test(start_paused = true)]
async fn a_removal_spares_a_successor() {
    let store = MemoryStore::new();
    let (old, new) = (owner(&store).await, owner(&store).await);
    old.claim(1, 1).await;
    new.claim(1, 2).await;
    assert_eq!(old.remove(1).await.unwrap(), Removed::Foreign);
    assert_eq!(new.weights().await, [2]);
}

#[tokio::test(start_paused = true)]
async fn a_removal_tells_what_stood_there() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.claim(1, 1).await;
    assert_eq!(owner.remove(1).await.unwrap(), Removed::Gone);
    assert_eq!(owner.remove(1).await.unwrap(), Removed::NotThere);
    store.raw_put(&key(1), *b"unowned");
    assert_eq!(owner.remove(1).await.unwrap(), Removed::Foreign);
}

#[tokio::test(start_paused = true)]
async fn a_refused_entry_fails_alone_in_its_batch() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    store.refuse_key(&key(2));
    let put = |port| Put { record: owner.record(port, 1), guard: Guard::Claim };
    let results = owner.session.put(&[put(1), put(2), put(3)], &owner.lineage).await;
    assert!(matches!(&results[1], Err(WriteError::Failed { applied: Applied::Never, .. })));
    assert!(results[0].is_ok() && results[2].is_ok());
    assert_eq!(store.raw_keys(), [key(1), key(3)]);
}

#[tokio::test(start_paused = true)]
async fn inspection_tells_absent_ours_foreign_and_unowned_apart() {
    let store = MemoryStore::new();
    let (us, other) = (owner(&store).await, owner(&store).await);
    us.claim(1, 1).await;
    us.claim(2, 1).await;
    other.claim(3, 1).await;
    store.raw_put(&key(4), *b"unowned");
    let records = [us.record(1, 1), us.record(2, 9), us.record(3, 1), us.record(4, 1), us.record(5, 1)];
    let inspected = us.session.inspect(&records, &us.lineage).await.unwrap();
    let standing: Vec<_> = inspected.into_iter().map(|standing| standing.unwrap()).collect();
    let ours = |same| Standing::Ours { current: true, same };
    assert_eq!(standing, [ours(true), ours(false), Standing::Foreign, Standing::Unowned, Standing::Absent]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_entry_hides_nothing() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.claim(1, 1).await;
    store.raw_put("registry/demo/garbage", *b"\xff\0{");
    let found = owner.client.list(&name()).await.unwrap();
    assert_eq!(found.iter().map(|found| found.instance.is_ok()).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test(start_paused = true)]
async fn services_with_similar_names_are_separate() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    for name in ["dem", "demo2", "Demo", "demo-x"] {
        let info = Info::builder(name).address("h:1").build().unwrap();
        let put = Put { record: owner.client.encode(&info).unwrap(), guard: Guard::Claim };
        owner.session.put(&[put], &owner.lineage).await.remove(0).unwrap();
    }
    assert!(owner.weights().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_within_another_shares_no_service() {
    let store = MemoryStore::new();
    let outer = Options::new(store.clone()).with_namespace("a").client().unwrap();
    let inner = Options::new(store.clone()).with_namespace("a/demo").client().unwrap();
    let record = inner.encode(&Info::builder("demo").address("h:1").build().unwrap()).unwrap();
    store.raw_put(record.key().as_str(), record.value());
    assert!(outer.list(&name()).await.unwrap().is_empty());
    assert_eq!(inner.list(&name()).await.unwrap().len(), 1);
}

#[test]
fn an_entry_past_the_limit_is_refused_with_its_field_and_limit() {
    let client = Options::default().client().unwrap();
    let fits = info(1, 1).to_builder().tag("k", "v".repeat(MAX_ENTRY - 200)).build().unwrap();
    assert!(client.encode(&fits).is_ok());
    let refused = client.encode(&fits.to_builder().tag("l", "v".repeat(150)).build().unwrap()).unwrap_err();
    assert_eq!(refused.field(), "tags");
    assert!(refused.limit().unwrap().contains("65536"), "{refused}");
}

#[test]
fn stores_of_one_name_are_one_store() {
    MemoryStore::named("one").raw_put("registry/demo/h:1", *b"x");
    assert_eq!(MemoryStore::named("one").raw_keys(), ["registry/demo/h:1"]);
    assert_ne!(MemoryStore::named("one"), MemoryStore::named("two"));
}

#[tokio::test(start_paused = true)]
async fn a_lineage_without_this_session_owns_nothing() {
    let store = MemoryStore::new();
    let owner = owner(&store).await;
    owner.claim(1, 1).await;
    let stranger = Lineage::new(OwnerToken::random());
    let removed = owner.session.remove(&[owner.record(1, 1)], &stranger).await.remove(0);
    assert_eq!(removed.unwrap(), Removed::Foreign);
}
