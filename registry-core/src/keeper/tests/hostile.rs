//! The keeper against a store that breaks its promises, or keeps them in an awkward order.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::Notify;

use super::*;
use crate::store::Signal;
use crate::{Handle, Resolver};

/// A weight that the store refuses.
const TOO_HEAVY: u32 = 70_000;

/// A store whose operations do what a test tells them, and nothing else.
#[derive(Default)]
struct Odd {
    opens: AtomicU32,
    puts: AtomicU32,
    removes: AtomicU32,
    /// Puts before the last fence.
    fenced: AtomicU32,
    /// Puts before the last fence before the last look.
    looked: AtomicU32,
    renewals: AtomicU32,
    /// What `put` answers.
    put: Mutex<Option<WriteError>>,
    /// The session is lost as soon as it is listened to.
    loses_sessions: AtomicBool,
    /// Ending a session takes so long, and the session is told to be lost at once.
    slow_end: Mutex<Option<Duration>>,
    ended: Notify,
    denies_fences: AtomicBool,
    /// A fence ends the session.
    dear_fences: AtomicBool,
    fences: AtomicU32,
    granted: Mutex<Option<Duration>>,
    panics: AtomicBool,
}

struct OddStore(Arc<Odd>);

struct OddSession(Arc<Odd>, u32);

#[async_trait]
impl Store for OddStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn encode(&self, info: &Info) -> Result<Record, InvalidField> {
        if info.weight() == TOO_HEAVY {
            return Err(InvalidField::new("weight", "is too heavy"));
        }
        MapStore::default().encode(info)
    }

    async fn open(&self, _request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        let opened = self.0.opens.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(OddSession(self.0.clone(), opened)))
    }

    async fn list(&self, _service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        assert!(!self.0.panics.load(Ordering::Relaxed), "this adapter is broken");
        Ok(Vec::new())
    }

    async fn view(&self, _service: &ServiceName, _attempt: u32) -> Result<Box<dyn View>, StoreError> {
        Err(StoreError::unreachable("not viewed here"))
    }
}

#[async_trait]
impl Session for OddSession {
    fn id(&self) -> SessionId {
        SessionId(u64::from(self.1))
    }

    fn ttl(&self) -> Option<Duration> {
        *self.0.granted.lock().unwrap()
    }

    async fn put(&self, batch: &[Put], _ours: &Lineage) -> Vec<Result<(), WriteError>> {
        self.0.puts.fetch_add(1, Ordering::Relaxed);
        let answer = self.0.put.lock().unwrap().clone();
        batch.iter().map(|_| answer.clone().map_or(Ok(()), Err)).collect()
    }

    async fn remove(&self, batch: &[Record], _ours: &Lineage) -> Vec<Result<Removed, WriteError>> {
        self.0.removes.fetch_add(1, Ordering::Relaxed);
        batch.iter().map(|_| Ok(Removed::Gone)).collect()
    }

    async fn inspect(
        &self,
        records: &[Record],
        _ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        self.0.looked.store(self.0.fenced.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(records.iter().map(|_| Ok(Standing::Ours { current: true, same: true })).collect())
    }

    async fn renew(&self, _due: &[Record]) -> Result<Vec<Key>, SessionError> {
        self.0.renewals.fetch_add(1, Ordering::Relaxed);
        Ok(Vec::new())
    }

    async fn signal(&self) -> Signal {
        if self.0.loses_sessions.load(Ordering::Relaxed) {
            return Signal::Lost;
        }
        self.0.ended.notified().await;
        Signal::Lost
    }

    fn fencing_ends_session(&self) -> bool {
        self.0.dear_fences.load(Ordering::Relaxed)
    }

    async fn fence(&self) -> Result<(), SessionError> {
        self.0.fences.fetch_add(1, Ordering::Relaxed);
        if self.0.denies_fences.load(Ordering::Relaxed) {
            return Err(StoreError::new(ErrorKind::Denied, "no fences").into());
        }
        let puts = self.0.puts.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.0.fenced.store(puts, Ordering::Relaxed);
        Ok(())
    }

    async fn end(&self) -> Result<(), StoreError> {
        self.0.ended.notify_one();
        let slow = *self.0.slow_end.lock().unwrap();
        tokio::time::sleep(slow.unwrap_or_default()).await;
        Ok(())
    }
}

async fn odd(odd: &Arc<Odd>) -> Keeper {
    let keeper = Keeper::spawn(Arc::new(OddStore(odd.clone())), HandleOptions::default());
    keeper.connected().await.unwrap();
    keeper
}

fn unknown() -> WriteError {
    WriteError::unknown(StoreError::timed_out(Duration::from_secs(1)))
}

#[tokio::test]
async fn a_session_that_is_told_to_be_lost_while_it_is_ended_ends_the_close() {
    let store = Arc::new(Odd::default());
    let keeper = odd(&store).await;
    *store.slow_end.lock().unwrap() = Some(Duration::from_millis(1_500));
    let start = std::time::Instant::now();
    keeper.close().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "nothing is left to wait for: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn sessions_that_are_lost_at_once_are_opened_with_a_growing_pause() {
    let store = Arc::new(Odd::default());
    store.loses_sessions.store(true, Ordering::Relaxed);
    let _keeper = Keeper::spawn(Arc::new(OddStore(store.clone())), HandleOptions::default());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let opens = store.opens.load(Ordering::Relaxed);
    assert!((30..300).contains(&opens), "{opens} sessions in a minute with a cap of 2 s");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_answered_foreign_is_tried_again_with_pauses() {
    let store = Arc::new(Odd::default());
    let keeper = odd(&store).await;
    *store.put.lock().unwrap() = Some(WriteError::Foreign);
    keeper.announce(&info(1, 1)).unwrap();
    assert!(keeper.register(&info(2, 1)).await.is_err());
    let puts = store.puts.load(Ordering::Relaxed);
    assert!((4..100).contains(&puts), "{puts} puts in 5 s");
}

#[tokio::test(start_paused = true)]
async fn a_withdrawal_does_not_wait_for_fences_that_are_denied() {
    let store = Arc::new(Odd::default());
    store.denies_fences.store(true, Ordering::Relaxed);
    let keeper = odd(&store).await;
    *store.put.lock().unwrap() = Some(unknown());
    assert_eq!(keeper.register(&info(1, 1)).await.unwrap_err().outcome(), Outcome::Unknown);
    eventually("what may have been written is removed", || store.removes.load(Ordering::Relaxed) > 0).await;
    assert!(keeper.deregister(&info(1, 1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_stands_is_looked_at_once_more_when_nothing_can_come_late_any_more() {
    let store = Arc::new(Odd::default());
    let keeper = odd(&store).await;
    keeper.register(&info(1, 1)).await.unwrap();
    *store.put.lock().unwrap() = Some(unknown());
    assert_eq!(keeper.register(&info(1, 2)).await.unwrap_err().outcome(), Outcome::Unknown);
    tokio::time::sleep(Duration::from_secs(12)).await;
    let (puts, looked) = (store.puts.load(Ordering::Relaxed), store.looked.load(Ordering::Relaxed));
    assert_eq!(looked, puts, "the last put may have come between the last look and the fence");
}

#[tokio::test(start_paused = true)]
async fn a_fence_that_costs_the_session_is_kept_for_what_is_withdrawn() {
    let store = Arc::new(Odd { dear_fences: AtomicBool::new(true), ..Odd::default() });
    let keeper = odd(&store).await;
    keeper.register(&info(1, 1)).await.unwrap();
    *store.put.lock().unwrap() = Some(unknown());
    assert_eq!(keeper.register(&info(1, 2)).await.unwrap_err().outcome(), Outcome::Unknown);
    *store.put.lock().unwrap() = None;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(store.fences.load(Ordering::Relaxed), 0, "everything that is wanted stands");
    keeper.deregister(&info(1, 2)).await.unwrap();
    assert_eq!((store.fences.load(Ordering::Relaxed), store.removes.load(Ordering::Relaxed)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_granted_ttl_that_no_clock_can_take_does_no_harm() {
    for granted in [Duration::MAX, Duration::from_nanos(1)] {
        let store = Arc::new(Odd { granted: Mutex::new(Some(granted)), ..Odd::default() });
        let keeper = odd(&store).await;
        keeper.register(&info(1, 1)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let renewals = store.renewals.load(Ordering::Relaxed);
        assert!(renewals <= 700, "{renewals} renewals in a second for {granted:?}");
        assert_eq!(keeper.status().borrow().state, HandleState::Connected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_panics_while_it_lists_is_an_error_of_resolve() {
    let store = Arc::new(Odd::default());
    let handle = Handle::open(Arc::new(OddStore(store.clone())), HandleOptions::default()).await.unwrap();
    store.panics.store(true, Ordering::Relaxed);
    let error = handle.resolve(&ServiceName::new("demo").unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
}

#[tokio::test(start_paused = true)]
async fn what_is_announced_is_pending_from_the_call_on() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    keeper.announce(&info(1, 3)).unwrap();
    let state = keeper.registration(&info(1, 3)).map(|status| status.borrow().state);
    assert_eq!(state, Some(RegistrationState::Pending));
    keeper.deregister(&info(1, 3)).await.unwrap();
    assert!(keeper.registrations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_announcement_behind_a_withdrawal_is_pending() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    keeper.register(&info(1, 3)).await.unwrap();
    store.world().trip = Duration::from_secs(1);
    let (gone, new) = (info(1, 3), info(1, 4));
    let mut withdrawal = Box::pin(keeper.deregister(&gone));
    assert!(withdrawal.as_mut().now_or_never().is_none());
    keeper.announce(&new).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let states: Vec<_> = keeper.registrations().iter().map(|status| status.state).collect();
    assert_eq!(states, [RegistrationState::Pending]);
    withdrawal.await.unwrap();
    eventually("it stands", || keeper.registrations()[0].state == RegistrationState::Registered).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_announced_anew_is_not_registered_before_it_is_written() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    keeper.register(&info(1, 3)).await.unwrap();
    store.world().away = true;
    keeper.announce(&info(1, 4)).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(keeper.registrations()[0].state, RegistrationState::Pending);
    store.world().away = false;
    eventually("it stands", || keeper.registrations()[0].state == RegistrationState::Registered).await;
    assert_eq!(weight_at(&store, 1), Some(4));
}

#[tokio::test(start_paused = true)]
async fn of_two_registers_whose_answers_were_not_seen_neither_stays() {
    let store = MapStore::default();
    let keeper = connected(&store).await;
    for reversed in [false, true] {
        let (first, second) = (info(1, 3), info(1, 9));
        let mut calls = vec![Box::pin(keeper.register(&first)), Box::pin(keeper.register(&second))];
        calls.iter_mut().for_each(|call| assert!(call.as_mut().now_or_never().is_none()));
        eventually("both are written", || weight_at(&store, 1) == Some(9)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        if reversed {
            calls.reverse();
        }
        drop(calls);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(weight_at(&store, 1), None, "reversed: {reversed}");
    }
}

#[test]
fn a_first_close_after_the_runtime_ended_is_no_success() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let store = MapStore::default();
    let keeper = first.block_on(async {
        let keeper = connected(&store).await;
        keeper.register(&info(1, 3)).await.unwrap();
        keeper
    });
    store.world().away = true;
    let gone = info(1, 3);
    let mut pending = Box::pin(keeper.register(&gone));
    assert!(pending.as_mut().now_or_never().is_none());
    first.block_on(async { tokio::time::sleep(Duration::from_millis(10)).await });
    drop(first);
    let error = second.block_on(pending).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::Unknown));
    let error = second.block_on(keeper.close()).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::Unknown));
    second.block_on(keeper.close()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_status_is_found_by_identity_whatever_the_other_fields_say() {
    let keeper = odd(&Arc::new(Odd::default())).await;
    keeper.register(&info(1, 3)).await.unwrap();
    assert!(keeper.registration(&info(1, TOO_HEAVY)).is_some());
}

#[tokio::test(start_paused = true)]
async fn callers_who_leave_hold_up_nobody_else() {
    let store = MapStore::default();
    store.world().trip = Duration::from_millis(20);
    let keeper = Arc::new(connected(&store).await);
    // More of them than fit into the batches under way, each gone before a round trip is over.
    for port in 1_000..1_040 {
        let keeper = keeper.clone();
        tokio::spawn(async move {
            loop {
                let _ = tokio::time::timeout(Duration::from_millis(10), keeper.register(&info(port, 1))).await;
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for port in 1..=3 {
        let registered = tokio::time::timeout(Duration::from_secs(1), keeper.register(&info(port, 1))).await;
        registered.expect("within a second").unwrap();
    }
    keeper.announce(&info(4, 1)).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(weight_at(&store, 4), Some(1), "announced a second ago");
}
