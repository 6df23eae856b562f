//! The keeper where entries are renewed one by one.

use std::collections::BTreeMap;

use super::*;
use crate::store::Renewal;

/// A TTL of 3 s: an entry is due each second.
const INTERVAL: Duration = Duration::from_secs(1);

/// A store that keeps count of renewals.
#[derive(Clone, Default)]
struct Beaten {
    map: MapStore,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// When each entry was renewed.
    beats: BTreeMap<Key, Vec<Duration>>,
    /// Batches in flight, and the most that ever were.
    in_flight: usize,
    most: usize,
    largest: usize,
    /// Entries that are in flight.
    due: Vec<Key>,
    twice: bool,
    /// Renewals of the session itself.
    pings: usize,
    /// How long a renewal takes.
    takes: Duration,
    start: Option<tokio::time::Instant>,
}

struct BeatenSession(Beaten, Arc<dyn Session>);

#[async_trait]
impl Store for Beaten {
    fn capabilities(&self) -> Capabilities {
        Capabilities { renewal: Renewal::Entry, max_batch: 8, max_in_flight: 3, ..Capabilities::default() }
    }

    fn encode(&self, info: &Info) -> Result<Record, InvalidField> {
        self.map.encode(info)
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        Ok(Arc::new(BeatenSession(self.clone(), self.map.open(request).await?)))
    }

    async fn list(&self, service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        self.map.list(service).await
    }

    async fn view(&self, service: &ServiceName, attempt: u32) -> Result<Box<dyn View>, StoreError> {
        self.map.view(service, attempt).await
    }
}

#[async_trait]
impl Session for BeatenSession {
    fn id(&self) -> SessionId {
        self.1.id()
    }

    async fn put(&self, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        self.1.put(batch, ours).await
    }

    async fn remove(&self, batch: &[Record], ours: &Lineage) -> Vec<Result<Removed, WriteError>> {
        self.1.remove(batch, ours).await
    }

    async fn inspect(
        &self,
        records: &[Record],
        ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        self.1.inspect(records, ours).await
    }

    async fn renew(&self, due: &[Record]) -> Result<Vec<Key>, SessionError> {
        let _in_flight = InFlight::begin(&self.0.seen, due);
        let takes = self.0.seen.lock().unwrap().takes;
        tokio::time::sleep(takes).await;
        if self.0.map.world().away {
            return Err(SessionError::Failed(StoreError::unreachable("away")));
        }
        Ok(Vec::new())
    }

    async fn end(&self) -> Result<(), StoreError> {
        self.1.end().await
    }
}

struct InFlight(Arc<Mutex<Seen>>, Vec<Key>);

impl InFlight {
    fn begin(seen: &Arc<Mutex<Seen>>, due: &[Record]) -> Self {
        let keys: Vec<Key> = due.iter().map(|record| record.key().clone()).collect();
        let mut now = seen.lock().unwrap();
        let at = now.start.get_or_insert_with(tokio::time::Instant::now).elapsed();
        now.pings += usize::from(keys.is_empty());
        now.in_flight += usize::from(!keys.is_empty());
        now.most = now.most.max(now.in_flight);
        now.largest = now.largest.max(keys.len());
        for key in &keys {
            now.twice |= now.due.contains(key);
            now.due.push(key.clone());
            now.beats.entry(key.clone()).or_default().push(at);
        }
        drop(now);
        Self(seen.clone(), keys)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut seen = self.0.lock().unwrap();
        seen.in_flight -= usize::from(!self.1.is_empty());
        seen.due.retain(|key| !self.1.contains(key));
    }
}

impl Beaten {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    fn beats(&self) -> usize {
        self.seen().beats.values().map(Vec::len).sum()
    }

    async fn with_entries(&self, count: u16) -> Keeper {
        let keeper = Keeper::spawn(Arc::new(self.clone()), HandleOptions::with_ttl(INTERVAL * 3));
        keeper.connected().await.unwrap();
        let infos: Vec<Info> = (1..=count).map(|port| info(port, 1)).collect();
        join_all(infos.iter().map(|info| keeper.register(info))).await.into_iter().for_each(|result| result.unwrap());
        keeper
    }
}

#[tokio::test(start_paused = true)]
async fn each_entry_is_renewed_every_third_of_a_ttl_at_a_phase_of_its_own() {
    let store = Beaten::default();
    let _keeper = store.with_entries(60).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let seen = store.seen();
    assert_eq!(seen.beats.len(), 60);
    for beats in seen.beats.values() {
        let longest = beats.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest < INTERVAL.mul_f64(1.15) && beats.len() >= 18, "{longest:?}, {} beats", beats.len());
    }
    let last: Vec<Duration> = seen.beats.values().map(|beats| *beats.last().unwrap()).collect();
    let spread = *last.iter().max().unwrap() - *last.iter().min().unwrap();
    assert!(spread > INTERVAL / 2, "they come in a burst of {spread:?}");
    assert!(!seen.twice);
}

#[tokio::test(start_paused = true)]
async fn no_entry_is_renewed_twice_at_once_however_slow_the_store_is() {
    let store = Beaten::default();
    let _keeper = store.with_entries(60).await;
    store.seen().takes = Duration::from_millis(900);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let seen = store.seen();
    assert!(!seen.twice && seen.most <= 3 && seen.largest <= 8, "{} batches at once, of {}", seen.most, seen.largest);
    // 24 entries in 0.9 s are the most that there can be: they take turns, and nobody is left out.
    let fewest = seen.beats.values().map(Vec::len).min().unwrap();
    assert!(fewest >= 15, "{fewest} renewals in a minute");
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_the_session_alone_asks_and_then_all_entries_are_renewed_at_once() {
    let store = Beaten::default();
    let _keeper = store.with_entries(200).await;
    store.map.world().away = true;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (before, pings) = (store.beats(), store.seen().pings);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (beats, pings) = (store.beats() - before, store.seen().pings - pings);
    assert!(beats == 0 && (30..120).contains(&pings), "{beats} renewals of entries, {pings} of the session");
    store.map.world().away = false;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let late = store.seen().beats.values().filter(|beats| beats.last().unwrap().as_secs() < 65).count();
    assert_eq!(late, 0, "entries that were not renewed after the outage");
}

#[tokio::test(start_paused = true)]
async fn what_is_withdrawn_is_not_renewed() {
    let store = Beaten::default();
    let keeper = store.with_entries(2).await;
    keeper.deregister(&info(1, 1)).await.unwrap();
    let before = store.seen().beats.get(&key(1)).map_or(0, Vec::len);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let seen = store.seen();
    assert_eq!(seen.beats.get(&key(1)).map_or(0, Vec::len), before);
    assert!(seen.beats[&key(2)].len() >= 8);
}
