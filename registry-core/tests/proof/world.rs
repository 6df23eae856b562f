//! The store's side: one shared world of entries and sessions, and its whole history.
//!
//! A world is served by one task, the store's process: it takes requests when they arrive, lets sessions and entries expire, and stands still
//! while the store is frozen. A request that was sent arrives whether or not its sender still waits, as on a real network. Every change of an entry goes
//! through [`State::change`] and is recorded with who made it, so that the invariants can be judged afterwards.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use registry_core::store::{Key, Lineage, OwnerToken, Record, SessionId};
use registry_core::{Info, Instance};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// One opened handle: never used twice, not even when an owner opens again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClientId(pub(crate) usize);

/// The store of all handles of one run.
pub(crate) struct World {
    state: Mutex<State>,
    wake: Notify,
    /// Wakes all that wait for something to happen, in the order in which they began to wait.
    news: Notify,
}

/// The task that serves a world. Dropping it stops the store.
pub(crate) struct Server(JoinHandle<()>);

pub(crate) struct State {
    pub(crate) entries: BTreeMap<Key, Entry>,
    pub(crate) sessions: BTreeMap<SessionId, Lease>,
    pub(crate) history: Vec<Event>,
    pub(crate) asks: Vec<Ask>,
    pub(crate) trace: Vec<String>,
    /// Counts restarts and wipes: what was connected before is connected no more.
    pub(crate) epoch: u64,
    pub(crate) availability: Availability,
    /// Whether anything happened to the store that no handle asked for.
    pub(crate) disturbed: bool,
    /// Counts what others can notice: changes of entries, ends of sessions.
    happened: u64,
    /// Whether the trace is printed as it comes, for schedules that never end.
    live: bool,
    start: Instant,
    revision: u64,
    last_session: u64,
    last_request: u64,
    arriving: BTreeMap<(Instant, u64), Request>,
}

type Request = Box<dyn FnOnce(&mut State) + Send>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Availability {
    Up,
    /// Requests wait, nothing expires, nothing is told: a stopped process.
    Frozen,
    /// Requests are refused: a killed process.
    Down,
}

/// What stands under a key.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) instance: Arc<Instance>,
    pub(crate) value: Arc<[u8]>,
    pub(crate) owner: Option<ClientId>,
    pub(crate) token: Option<OwnerToken>,
    pub(crate) session: Option<SessionId>,
    /// The revision of its last write.
    pub(crate) version: u64,
    /// Writes since it was created, as `ZooKeeper` counts them: each new node starts at 0.
    pub(crate) data_version: u64,
    /// When it turns unhealthy unless a beat comes, where entries expire by themselves.
    pub(crate) beat_until: Option<Instant>,
    pub(crate) healthy: bool,
}

/// A session at the server.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) client: ClientId,
    pub(crate) ttl: Duration,
    pub(crate) until: Instant,
    /// Writes that carry a lower number are refused.
    pub(crate) fence: u64,
}

/// One change of one entry.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: Instant,
    pub(crate) key: Key,
    pub(crate) by: By,
    pub(crate) before: Option<Entry>,
    pub(crate) after: Option<Entry>,
}

/// One write that core asked a session for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) at: Instant,
    pub(crate) client: ClientId,
    pub(crate) key: Key,
    pub(crate) what: Asked,
}

#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Claim(Info),
    Restore(Info),
    Remove,
}

/// Who changed an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// A request of this handle that was sent at that time.
    Client(ClientId, Instant),
    /// The end of a session by its owner.
    End(ClientId),
    /// The end of a session or a TTL.
    Expiry,
    /// The store lost its data.
    Wipe,
    /// Somebody wrote around all adapters.
    BackDoor,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(client, sent) => write!(f, "handle {}, sent {:?} ago", client.0, sent.elapsed()),
            Self::End(client) => write!(f, "the end of handle {}'s session", client.0),
            Self::Expiry => f.write_str("expiry"),
            Self::Wipe => f.write_str("wipe"),
            Self::BackDoor => f.write_str("the back door"),
        }
    }
}

impl World {
    pub(crate) fn start() -> (Arc<Self>, Server) {
        let start = Instant::now();
        let state = State {
            entries: BTreeMap::new(),
            sessions: BTreeMap::new(),
            history: Vec::new(),
            asks: Vec::new(),
            trace: Vec::new(),
            epoch: 0,
            availability: Availability::Up,
            disturbed: false,
            happened: 0,
            live: std::env::var_os("PROOF_LIVE").is_some(),
            start,
            revision: 0,
            last_session: 0,
            last_request: 0,
            arriving: BTreeMap::new(),
        };
        let world = Arc::new(Self { state: Mutex::new(state), wake: Notify::new(), news: Notify::new() });
        let served = world.clone();
        let server = tokio::spawn(async move {
            loop {
                let next = served.turn();
                tokio::select! {
                    biased;
                    () = served.wake.notified() => {}
                    () = tokio::time::sleep_until(next) => {}
                }
            }
        });
        (world, Server(server))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("invariant: nothing panics while it holds the world")
    }

    /// Completes when something happens after this was called.
    pub(crate) fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    /// Lets a request arrive at `at`.
    pub(crate) fn send(&self, at: Instant, request: Request) {
        let mut state = self.lock();
        state.last_request += 1;
        let number = state.last_request;
        state.arriving.insert((at, number), request);
        drop(state);
        self.wake.notify_one();
    }

    /// When the last request that was sent arrives, if it has not yet.
    pub(crate) fn last_arrival(&self) -> Option<Instant> {
        self.lock().arriving.last_key_value().map(|((at, _), _)| *at)
    }

    /// Changes the world from outside, at once.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.tell();
        result
    }

    pub(crate) fn set_availability(&self, availability: Availability) {
        self.with(|state| {
            state.note(format_args!("store: {availability:?}"));
            state.disturbed |= availability != Availability::Up;
            state.availability = availability;
        });
    }

    /// The store starts again: what waits is lost, sessions get their full TTL again.
    pub(crate) fn restart(&self, wiped: bool) {
        self.with(|state| {
            state.note(format_args!("store: restarted, wiped: {wiped}"));
            state.epoch += 1;
            state.disturbed = true;
            state.arriving.clear();
            state.availability = Availability::Up;
            if wiped {
                state.sessions.clear();
                let keys: Vec<Key> = state.entries.keys().cloned().collect();
                keys.into_iter().for_each(|key| state.change(&key, None, By::Wipe));
            }
            let now = Instant::now();
            state.sessions.values_mut().for_each(|lease| lease.until = now + lease.ttl);
        });
    }

    fn tell(&self) {
        self.wake.notify_one();
        self.news.notify_waiters();
    }

    /// Does all that is due, in the order in which it was due. Returns when the next thing is.
    fn turn(&self) -> Instant {
        let mut state = self.lock();
        let before = state.happened;
        let next = loop {
            let now = Instant::now();
            if state.availability == Availability::Frozen {
                break now + Duration::from_secs(3_600);
            }
            let arrival = state.arriving.first_key_value().map(|((at, _), _)| *at);
            let expiry = state.next_expiry();
            match (arrival, expiry) {
                (Some(at), expiry) if at <= now && expiry.is_none_or(|expiry| at <= expiry) => {
                    let (_, request) = state.arriving.pop_first().expect("invariant: seen above");
                    if state.availability == Availability::Up {
                        request(&mut state);
                    }
                }
                (_, Some(at)) if at <= now => state.expire(now),
                (arrival, expiry) => {
                    break arrival.into_iter().chain(expiry).min().unwrap_or(now + Duration::from_secs(3_600));
                }
            }
        };
        let happened = state.happened != before;
        drop(state);
        if happened {
            self.news.notify_waiters();
        }
        next
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl State {
    /// The only place where an entry changes.
    pub(crate) fn change(&mut self, key: &Key, after: Option<Entry>, by: By) {
        self.revision += 1;
        self.happened += 1;
        let after = after.map(|entry| Entry { version: self.revision, ..entry });
        self.disturbed |= by == By::BackDoor;
        let before = match &after {
            Some(entry) => self.entries.insert(key.clone(), entry.clone()),
            None => self.entries.remove(key),
        };
        if before.is_none() && after.is_none() {
            return;
        }
        let said = |entry: &Option<Entry>| match entry {
            Some(Entry { instance, owner, healthy, .. }) => {
                format!("{:?}/{}{}", owner.map(|id| id.0), instance.weight(), if *healthy { "" } else { " critical" })
            }
            None => "-".into(),
        };
        self.note(format_args!("world: {key}: {} -> {} by {by}", said(&before), said(&after)));
        self.history.push(Event { at: Instant::now(), key: key.clone(), by, before, after });
    }

    /// A session's number that was never given before.
    pub(crate) fn next_session(&mut self) -> SessionId {
        self.last_session += 1;
        SessionId(self.last_session)
    }

    /// The entries as they stood this long ago.
    pub(crate) fn as_of(&self, lag: Duration) -> BTreeMap<Key, Entry> {
        let mut entries = self.entries.clone();
        let now = Instant::now();
        for event in self.history.iter().rev().take_while(|event| event.at + lag > now) {
            match &event.before {
                Some(before) => entries.insert(event.key.clone(), before.clone()),
                None => entries.remove(&event.key),
            };
        }
        entries
    }

    /// A beat: the entry lives on until then.
    pub(crate) fn beat(&mut self, key: &Key, until: Option<Instant>) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.beat_until = until;
        }
    }

    /// Opens a session that expires by itself.
    pub(crate) fn open(&mut self, client: ClientId, ttl: Duration) -> SessionId {
        let id = self.next_session();
        self.sessions.insert(id, Lease { client, ttl, until: Instant::now() + ttl, fence: 0 });
        id
    }

    /// A session ends, and with it its entries.
    pub(crate) fn close(&mut self, session: SessionId, by: By) {
        self.sessions.remove(&session);
        self.happened += 1;
        let keys: Vec<Key> = self.keys_where(|entry| entry.session == Some(session));
        keys.into_iter().for_each(|key| self.change(&key, None, by));
    }

    /// The store gives up everything of this handle: its sessions, and entries that expire by themselves.
    pub(crate) fn lose(&mut self, client: ClientId) {
        self.note(format_args!("store: loses what handle {} has", client.0));
        let sessions: Vec<SessionId> =
            self.sessions.iter().filter(|(_, lease)| lease.client == client).map(|(id, _)| *id).collect();
        sessions.into_iter().for_each(|id| self.close(id, By::Expiry));
        let keys = self.keys_where(|entry| entry.owner == Some(client) && entry.beat_until.is_some());
        keys.into_iter().for_each(|key| self.change(&key, None, By::Expiry));
    }

    pub(crate) fn keys_where(&self, matches: impl Fn(&Entry) -> bool) -> Vec<Key> {
        self.entries.iter().filter(|(_, entry)| matches(entry)).map(|(key, _)| key.clone()).collect()
    }

    /// One line of what happened, for whoever reads a failure.
    pub(crate) fn note(&mut self, line: fmt::Arguments<'_>) {
        let at = Instant::now().duration_since(self.start);
        let line = format!("{:>9.3} {line}", at.as_secs_f64());
        if self.live {
            eprintln!("{line}");
        }
        self.trace.push(line);
    }

    fn next_expiry(&self) -> Option<Instant> {
        let sessions = self.sessions.values().map(|lease| lease.until);
        sessions.chain(self.entries.values().filter_map(|entry| entry.beat_until)).min()
    }

    /// How long an entry that turned unhealthy still stands before the store removes it.
    const REAP: Duration = Duration::from_secs(60);

    fn expire(&mut self, now: Instant) {
        let ended: Vec<SessionId> =
            self.sessions.iter().filter(|(_, lease)| lease.until <= now).map(|(id, _)| *id).collect();
        ended.into_iter().for_each(|id| self.close(id, By::Expiry));
        for key in self.keys_where(|entry| entry.beat_until.is_some_and(|until| until <= now)) {
            let entry = self.entries[&key].clone();
            let after = entry.healthy.then(|| Entry { healthy: false, beat_until: Some(now + Self::REAP), ..entry });
            self.change(&key, after, By::Expiry);
        }
    }
}

impl Entry {
    /// The entry of `record`, which nothing keeps alive.
    pub(crate) fn unowned(record: &Record) -> Self {
        Self {
            instance: Arc::new(Instance::from(record.info())),
            value: record.value().into(),
            owner: None,
            token: None,
            session: None,
            version: 0,
            data_version: 0,
            beat_until: None,
            healthy: true,
        }
    }

    /// The same entry, hanging on a session.
    pub(crate) fn of_session(self, client: ClientId, session: SessionId) -> Self {
        Self { owner: Some(client), session: Some(session), ..self }
    }

    /// The same entry, with a token and a TTL of its own.
    pub(crate) fn of_token(self, client: ClientId, ours: &Lineage, beat_until: Instant) -> Self {
        Self { owner: Some(client), token: Some(ours.owner().clone()), beat_until: Some(beat_until), ..self }
    }
}
