//! The keeper against a store in a map, in paused time. What races and faults do to it is proved in `tests/proof`.

mod beats;
mod hostile;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::join_all;

use super::Keeper;
use crate::store::{
    Capabilities, Found, JsonRecord, Key, Lineage, OpenRequest, Put, Record, Removed, Session, SessionError, SessionId,
    Standing, Store, StoreError, View, WriteError,
};
use crate::{ErrorKind, HandleOptions, HandleState, Info, InvalidField, Outcome, RegistrationState, ServiceName};

/// A store in a map. Entries are never foreign here; every operation takes 1 ms.
#[derive(Clone, Default)]
struct MapStore(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    entries: HashMap<Key, Vec<u8>>,
    puts: Vec<(Key, Vec<u8>)>,
    batches: Vec<usize>,
    away: bool,
    denies_open: bool,
    refused_key: Option<Key>,
    /// The key whose next put fails, though not for good.
    stumbles: Option<Key>,
    sessions: u64,
    /// Requests so far.
    trips: u64,
    /// Sessions up to this one are lost at their next renewal.
    lost: u64,
    trip: Duration,
    /// How often it was told that the handle is closed.
    closed: usize,
    alive: Arc<()>,
}

impl MapStore {
    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// One round trip: for ever while the store is away.
    async fn trip(&self) {
        self.world().trips += 1;
        let trip = self.world().trip.max(Duration::from_millis(1));
        tokio::time::sleep(trip).await;
        while self.world().away {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[async_trait]
impl Store for MapStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities { max_batch: 10, ..Capabilities::default() }
    }

    fn encode(&self, info: &Info) -> Result<Record, InvalidField> {
        Ok(Record::new(Key::new(format!("{}/{}", info.service(), info.address())), JsonRecord::encode(info), info))
    }

    async fn open(&self, _request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        self.trip().await;
        let mut world = self.world();
        if world.denies_open {
            return Err(StoreError::new(ErrorKind::Denied, "wrong password"));
        }
        world.sessions += 1;
        Ok(Arc::new(MapSession(self.clone(), SessionId(world.sessions), world.alive.clone())))
    }

    async fn list(&self, _service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        Ok(Vec::new())
    }

    async fn view(&self, _service: &ServiceName, _attempt: u32) -> Result<Box<dyn View>, StoreError> {
        Err(StoreError::unreachable("not viewed here"))
    }

    fn close(&self) {
        self.world().closed += 1;
    }
}

struct MapSession(MapStore, SessionId, #[expect(dead_code, reason = "counts sessions that are alive")] Arc<()>);

#[async_trait]
impl Session for MapSession {
    fn id(&self) -> SessionId {
        self.1
    }

    async fn put(&self, batch: &[Put], _ours: &Lineage) -> Vec<Result<(), WriteError>> {
        self.0.trip().await;
        let mut world = self.0.world();
        world.batches.push(batch.len());
        let put = |put: &Put| {
            let (key, value) = (put.record.key().clone(), put.record.value().to_vec());
            if world.refused_key.as_ref() == Some(&key) {
                let error = StoreError::new(ErrorKind::Denied, "not this key");
                return Err(WriteError::never(error));
            }
            if world.stumbles.take_if(|stumbles| *stumbles == key).is_some() {
                return Err(WriteError::never(StoreError::unreachable("not now")));
            }
            world.puts.push((key.clone(), value.clone()));
            world.entries.insert(key, value);
            Ok(())
        };
        batch.iter().map(put).collect()
    }

    async fn remove(&self, batch: &[Record], _ours: &Lineage) -> Vec<Result<Removed, WriteError>> {
        self.0.trip().await;
        let mut world = self.0.world();
        let mut remove =
            |record: &Record| world.entries.remove(record.key()).map_or(Removed::NotThere, |_| Removed::Gone);
        batch.iter().map(|record| Ok(remove(record))).collect()
    }

    async fn inspect(
        &self,
        records: &[Record],
        _ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        self.0.trip().await;
        let world = self.0.world();
        let look = |record: &Record| match world.entries.get(record.key()) {
            _ if world.refused_key.as_ref() == Some(record.key()) => {
                Err(StoreError::new(ErrorKind::Denied, "not this key"))
            }
            None => Ok(Standing::Absent),
            Some(value) => Ok(Standing::Ours { current: true, same: value == record.value() }),
        };
        Ok(records.iter().map(look).collect())
    }

    async fn renew(&self, _due: &[Record]) -> Result<Vec<Key>, SessionError> {
        self.0.trip().await;
        if self.1.0 <= self.0.world().lost { Err(SessionError::Lost) } else { Ok(Vec::new()) }
    }

    async fn fence(&self) -> Result<(), SessionError> {
        self.0.trip().await;
        Ok(())
    }

    async fn end(&self) -> Result<(), StoreError> {
        self.0.trip().await;
        self.0.world().entries.clear();
        Ok(())
    }
}

fn info(port: u16, weight: u32) -> Info {
    Info::builder("demo").address(format!("10.0.0.5:{port}")).weight(weight).build().unwrap()
}

fn key(port: u16) -> Key {
    Key::new(format!("demo/10.0.0.5:{port}"))
}

async fn connected(store: &MapStore) -> Keeper {
    let keeper = Keeper::spawn(Arc::new(store.clone()), HandleOptions::default());
    keeper.connected().await.unwrap();
    keeper
}

fn weight_at(store: &MapStore, port: u16) -> Option<u32> {
    let bytes = store.world().entries.get(&key(port)).cloned()?;
    Some(JsonRecord::decode(&ServiceName::new("demo").unwrap(), &bytes).unwrap().weight())
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("not within a minute: {what}");
}

#[tokio::test(start_paused = true)]
async fn calls_for_one_identity_take_effect_in_the_order_of_their_first_poll() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    let infos: Vec<Info> = (1..=20).map(|weight| info(1, weight)).collect();
    join_all(infos.iter().map(|info| keeper.register(info))).await.into_iter().for_each(|result| result.unwrap());
    assert_eq!(weight_at(&store, 1), Some(20));
    let (first, second) = (info(1, 7), info(1, 1));
    let (registered, withdrawn) = tokio::join!(keeper.register(&first), keeper.deregister(&second));
    registered.and(withdrawn).unwrap();
    assert_eq!(weight_at(&store, 1), None);
    assert!(keeper.announce(&first).is_ok() && keeper.register(&second).await.is_ok());
    assert_eq!(weight_at(&store, 1), Some(1), "an announcement is in the order, too");
}

#[tokio::test(start_paused = true)]
async fn concurrent_registers_travel_in_full_batches() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    let infos: Vec<Info> = (1..=100).map(|port| info(port, 1)).collect();
    join_all(infos.iter().map(|info| keeper.register(info))).await.into_iter().for_each(|result| result.unwrap());
    assert_eq!(store.world().entries.len(), 100);
    assert!(store.world().batches.len() <= 12, "{:?}", store.world().batches);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_the_store_refuses_fails_alone() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    store.world().refused_key = Some(key(5));
    let infos: Vec<Info> = (1..=9).map(|port| info(port, 1)).collect();
    let results = join_all(infos.iter().map(|info| keeper.register(info))).await;
    let failed: Vec<usize> =
        results.iter().enumerate().filter(|(_, result)| result.is_err()).map(|(at, _)| at).collect();
    assert_eq!(failed, [4]);
    let error = results[4].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Denied, Outcome::NotApplied));
    assert!(keeper.registration(&infos[4]).is_none(), "it is not tried again behind the caller's back");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_makes_no_step_after_its_register_was_dropped() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    keeper.register(&info(1, 3)).await.unwrap();
    let (update, new, other) = (info(1, 9), info(2, 9), info(3, 9));
    for dropped in [&update, &new] {
        // Dropped in the middle of the attempt: what stands there is read, and not yet written.
        let sent = tokio::time::timeout(Duration::from_micros(500), keeper.register(dropped));
        let (sent, beside) = tokio::join!(sent, keeper.register(&other));
        assert!(sent.is_err());
        beside.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let attempted = |port, weight| store.world().puts.contains(&(key(port), JsonRecord::encode(&info(port, weight))));
    assert!(!attempted(1, 9) && !attempted(2, 9), "{:?}", store.world().puts);
    assert_eq!((weight_at(&store, 1), weight_at(&store, 2), weight_at(&store, 3)), (Some(3), None, Some(9)));
}

#[tokio::test(start_paused = true)]
async fn a_register_whose_answer_was_not_seen_falls_back_too() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    let new = info(1, 9);
    let mut call = Box::pin(keeper.register(&new));
    assert!(call.as_mut().now_or_never().is_none());
    eventually("it is registered", || weight_at(&store, 1) == Some(9)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(call);
    eventually("it is withdrawn", || weight_at(&store, 1).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn calls_end_within_the_operation_timeout_while_the_store_is_away() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    keeper.register(&info(1, 3)).await.unwrap();
    store.world().away = true;
    let start = tokio::time::Instant::now();
    let error = keeper.register(&info(2, 1)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::TimedOut, Outcome::Unknown));
    let error = keeper.deregister(&info(1, 3)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(start.elapsed().as_secs(), 10, "two calls of 5 s");
    store.world().away = false;
    eventually("both are withdrawn", || store.world().entries.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn waiting_behind_ones_own_calls_does_not_count_while_the_store_answers() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    store.world().trip = Duration::from_secs(1);
    let infos: Vec<Info> = (1..=400).map(|port| info(port, 1)).collect();
    let start = tokio::time::Instant::now();
    join_all(infos.iter().map(|info| keeper.register(info))).await.into_iter().for_each(|result| result.unwrap());
    assert!(start.elapsed() > Duration::from_secs(9), "batches of 10, four at a time: {:?}", start.elapsed());
    store.world().away = true;
    let start = tokio::time::Instant::now();
    let late = join_all(infos.iter().map(|info| keeper.deregister(info))).await;
    assert!(late.iter().all(Result::is_err) && start.elapsed() < Duration::from_secs(11), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_tried_again_goes_before_those_that_were_never_sent() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    store.world().trip = Duration::from_secs(1);
    store.world().stumbles = Some(key(1));
    let infos: Vec<Info> = (1..=400).map(|port| info(port, 1)).collect();
    join_all(infos.iter().map(|info| keeper.register(info))).await.into_iter().for_each(|result| result.unwrap());
    assert!(store.world().stumbles.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_replaced_and_dropped() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    keeper.register(&info(1, 3)).await.unwrap();
    store.world().entries.clear();
    store.world().lost = 1;
    eventually("it is back under the second session", || weight_at(&store, 1) == Some(3)).await;
    let alive = store.world().alive.clone();
    eventually("the first session is dropped", || Arc::strong_count(&alive) == 3).await;
    assert_eq!(keeper.status().borrow().state, HandleState::Connected);
}

/// A store that stood still answers all renewals that are in flight at one moment, and by then it has ended the sessions.
#[tokio::test(start_paused = true)]
async fn keepers_that_are_told_together_of_their_lost_sessions_return_apart() {
    const KEEPERS: usize = 200;
    const WINDOW: Duration = Duration::from_millis(200);
    let store = MapStore::default();
    let mut keepers = Vec::new();
    for _ in 0..KEEPERS {
        keepers.push(connected(&store).await);
    }
    store.world().away = true;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let thawed = tokio::time::Instant::now();
    {
        let mut world = store.world();
        world.lost = world.sessions;
        world.away = false;
    }
    let returns = join_all(keepers.iter().map(async |keeper| {
        let mut status = keeper.status();
        status.wait_for(|status| status.state == HandleState::Connected).await.unwrap();
        thawed.elapsed()
    }));
    let returns = returns.await;
    let within = |from: Duration| returns.iter().filter(|at| (from..from + WINDOW).contains(at)).count();
    let crowd = returns.iter().map(|at| within(*at)).max().unwrap();
    assert!(crowd <= KEEPERS / 4, "{crowd} of {KEEPERS} within {WINDOW:?}");
    // A pause before the attempt or one after its answer, and not both.
    let last = returns.iter().max().unwrap();
    assert!(*last < Duration::from_millis(2_200), "the last returns after {last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_session_fails_waiting_calls_at_once_and_announcements_wait() {
    let store = MapStore::default();
    store.world().denies_open = true;
    let keeper = Keeper::spawn(Arc::new(store.clone()), HandleOptions::default());
    assert_eq!(keeper.connected().await.unwrap_err().kind(), ErrorKind::Denied);
    let announced = info(1, 3);
    keeper.announce(&announced).unwrap();
    let start = tokio::time::Instant::now();
    let error = keeper.register(&info(2, 1)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Denied, Outcome::NotApplied));
    assert!(start.elapsed() <= Duration::from_secs(2));
    assert_eq!(keeper.registration(&announced).unwrap().borrow().state, RegistrationState::Pending);
    store.world().denies_open = false;
    eventually("it is published", || weight_at(&store, 1) == Some(3)).await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_keeper_says_so_and_a_second_close_is_ok() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    keeper.register(&info(1, 3)).await.unwrap();
    let status = keeper.status();
    keeper.close().await.unwrap();
    assert!(store.world().entries.is_empty());
    keeper.close().await.unwrap();
    assert_eq!(keeper.register(&info(1, 3)).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(keeper.announce(&info(1, 3)).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(status.borrow().state, HandleState::Closed);
    assert_eq!(store.world().closed, 1, "the store was told");
}

#[tokio::test(start_paused = true)]
async fn closing_while_the_store_is_away_ends_within_the_limit() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    keeper.register(&info(1, 3)).await.unwrap();
    store.world().away = true;
    let start = tokio::time::Instant::now();
    let error = keeper.close().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(keeper.status().borrow().state, HandleState::Closed);
    assert_eq!(store.world().closed, 1, "the store was told, though nothing could be withdrawn");
}

#[tokio::test(start_paused = true)]
async fn a_vanished_entry_is_back_after_an_audit_and_a_second_look() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    keeper.register(&info(1, 3)).await.unwrap();
    store.world().entries.clear();
    eventually("it is back", || weight_at(&store, 1) == Some(3)).await;
    drop(keeper);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_the_store_does_not_show_hides_no_other_from_an_audit() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    let infos = [info(1, 1), info(2, 2), info(3, 3)];
    join_all(infos.iter().map(|info| keeper.register(info))).await.into_iter().for_each(|result| result.unwrap());
    {
        let mut world = store.world();
        world.refused_key = Some(key(2));
        world.entries.clear();
    }
    tokio::time::sleep(Duration::from_secs(35)).await;
    assert_eq!([1, 2, 3].map(|port| weight_at(&store, port)), [Some(1), None, Some(3)]);
    let status = keeper.registration(&infos[1]).unwrap();
    assert_eq!(status.borrow().last_error.as_ref().map(|error| error.kind), Some(ErrorKind::Denied));
    // It is asked for again by the audits, and not between them.
    let trips = store.world().trips;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let trips = store.world().trips - trips;
    assert!(trips < 300 / 5 + 30, "{trips} requests, of which a renewal each 5 s");
    store.world().refused_key = None;
    tokio::time::sleep(Duration::from_secs(35)).await;
    assert_eq!(weight_at(&store, 2), Some(2));
}

#[tokio::test(start_paused = true)]
async fn an_outage_costs_attempts_by_the_handle_and_not_by_the_entry() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    for port in 1..=30 {
        keeper.register(&info(port, 10)).await.unwrap();
    }
    store.world().away = true;
    let before = store.world().trips;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let attempts = store.world().trips - before;
    assert!((20..120).contains(&attempts), "{attempts} attempts for 30 entries in two minutes");
    store.world().entries.clear();
    store.world().away = false;
    eventually("all entries are back", || (1..=30).all(|port| weight_at(&store, port).is_some())).await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_keeper_leaves_no_task() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    keeper.register(&info(1, 3)).await.unwrap();
    drop(keeper);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}
