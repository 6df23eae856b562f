//! One run: a world, its handles, what their users called and what their watches delivered.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use registry_core::store::Key;
use registry_core::{
    Error, Handle, HandleOptions, Info, Outcome, RegistrationState, Registry, Resolver, ServiceName, Snapshot, Watch,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::faults::{Client, Fault};
use crate::invariants::{Judged, Violation};
use crate::profiles::{Profile, SimStore, key_of};
use crate::world::{ClientId, Server, World};

pub(crate) const TTL: Duration = Duration::from_secs(6);
pub(crate) const OPERATION: Duration = Duration::from_secs(5);
pub(crate) const ATTEMPT: Duration = Duration::from_secs(2);
/// Twice the TTL, as by default.
pub(crate) const AUDIT: Duration = Duration::from_secs(12);

/// The contract's recovery bound: 5 s, one renewal interval and its answer limit; the writes of so few entries take milliseconds.
pub(crate) const RECOVERY: Duration = Duration::from_millis(5_000 + 2_000 + 2_000 + 200);

/// The longest audit interval, jitter included, and the recovery of what it finds.
pub(crate) const AUDITED: Duration = Duration::from_millis(13_200 + 9_200);

/// By when a displaced owner knows: the longest audit interval, and one attempt.
const LEARNT: Duration = Duration::from_millis(13_200 + 2_000);

/// A fault planned for one request of one handle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) victim: usize,
    pub(crate) k: u64,
    pub(crate) fault: Fault,
}

pub(crate) struct Sim {
    pub(crate) profile: Profile,
    pub(crate) world: Arc<World>,
    pub(crate) members: Vec<Member>,
    pub(crate) watches: Vec<Watching>,
    journal: Arc<Mutex<Vec<Call>>>,
    plan: Option<Plan>,
    seed: u64,
    server: Server,
}

/// One handle, until it is closed or crashes.
pub(crate) struct Member {
    pub(crate) client: Arc<Client>,
    pub(crate) handle: Option<Handle>,
    calls: Vec<JoinHandle<()>>,
}

/// What one watch delivered.
pub(crate) struct Watching {
    pub(crate) member: usize,
    pub(crate) began: Instant,
    pub(crate) items: Arc<Mutex<Vec<Item>>>,
    pub(crate) newest: Watch,
    collector: JoinHandle<()>,
}

#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) at: Instant,
    /// How long the world's history was when it was delivered.
    pub(crate) history: usize,
    pub(crate) snapshot: Arc<Snapshot>,
}

/// What a user asks a handle for.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Register(Info),
    Announce(Info),
    Deregister(Info),
    Close,
    /// The handle is dropped.
    Crash,
}

/// One call of a user, in the order of first polls.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) client: ClientId,
    pub(crate) op: Op,
    pub(crate) began: Instant,
    pub(crate) history_before: usize,
    pub(crate) end: Option<End>,
}

#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) at: Instant,
    pub(crate) history: usize,
    pub(crate) result: Ended,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Ok,
    /// It failed and changed nothing.
    Refused,
    /// It failed with an unknown outcome.
    Unsure,
    /// Its future was dropped.
    Dropped,
}

impl Call {
    /// The key that it is about; `None` for all.
    pub(crate) fn key(&self) -> Option<Key> {
        match &self.op {
            Op::Register(info) | Op::Announce(info) | Op::Deregister(info) => Some(key_of(info)),
            Op::Close | Op::Crash => None,
        }
    }

    pub(crate) fn is_about(&self, client: ClientId, key: &Key) -> bool {
        self.client == client && self.key().is_none_or(|own| own == *key)
    }

    pub(crate) fn ended_by(&self, at: Instant) -> Option<&Ended> {
        self.end.as_ref().filter(|end| end.at <= at).map(|end| &end.result)
    }
}

impl Sim {
    pub(crate) fn new(profile: Profile, seed: u64, plan: Option<Plan>) -> Self {
        fastrand::seed(seed);
        let (world, server) = World::start();
        let (members, watches, journal) = (Vec::new(), Vec::new(), Arc::default());
        Self { profile, world, members, watches, journal, plan, seed, server }
    }

    /// Opens a further handle. It opens also while the store is away.
    pub(crate) async fn open(&mut self) -> usize {
        let id = self.members.len();
        let client = Client::new(id, self.world.clone(), self.seed);
        if let Some(plan) = self.plan.filter(|plan| plan.victim == id) {
            client.plan(plan.k, plan.fault);
        }
        let store = Arc::new(SimStore { profile: self.profile, client: client.clone() });
        let mut options = HandleOptions::with_ttl(TTL);
        options.lazy = true;
        options.operation_timeout = OPERATION;
        options.attempt_timeout = ATTEMPT;
        options.audit_interval = AUDIT;
        self.note(format_args!("handle {id}: opens"));
        let handle = Handle::open(store, options).await.expect("a lazy handle opens");
        self.members.push(Member { client, handle: Some(handle), calls: Vec::new() });
        id
    }

    /// Watches [`service`] through a handle.
    pub(crate) fn watch(&mut self, member: usize) {
        let handle = self.members[member].handle.as_ref().expect("only live handles watch");
        let watch = handle.watch(&service()).expect("a live handle watches");
        let (newest, items, world) = (watch.clone(), Arc::<Mutex<Vec<Item>>>::default(), self.world.clone());
        let (delivered, mut watch) = (items.clone(), watch);
        let collector = tokio::spawn(async move {
            while let Some(change) = watch.next().await {
                let mut state = world.lock();
                let line: Vec<_> =
                    change.snapshot.instances().iter().map(|i| (i.address().port(), i.weight())).collect();
                state.note(format_args!("watch of handle {member}: {line:?}"));
                let item = Item { at: Instant::now(), history: state.history.len(), snapshot: change.snapshot };
                delivered.lock().unwrap().push(item);
            }
        });
        self.watches.push(Watching { member, began: Instant::now(), items, newest, collector });
    }

    /// Starts a call; its first poll is the next one.
    pub(crate) fn start(&mut self, member: usize, op: Op) {
        let Some(handle) = self.members[member].handle.clone() else { return };
        let client = self.members[member].client.clone();
        let (journal, world) = (self.journal.clone(), self.world.clone());
        let call = tokio::spawn(async move {
            let record = Recording::begin(journal, world, client.id, op.clone());
            let dropped = client.drop_call.notified();
            let called = async {
                match &op {
                    Op::Register(info) => handle.register(info).await,
                    Op::Announce(info) => handle.announce(info),
                    Op::Deregister(info) => handle.deregister(info).await,
                    Op::Close => handle.close().await,
                    Op::Crash => Ok(()),
                }
            };
            tokio::select! {
                biased;
                () = dropped => {}
                result = called => record.end(result.as_ref().map(|_| ())),
            }
        });
        self.members[member].calls.push(call);
    }

    /// Makes a call and waits for its end, whatever it is.
    pub(crate) async fn call(&mut self, member: usize, op: Op) {
        self.start(member, op);
        self.join(member).await;
    }

    /// Waits for the end of all calls of a handle.
    pub(crate) async fn join(&mut self, member: usize) {
        for call in self.members[member].calls.drain(..) {
            call.await.expect("no call panics");
        }
    }

    pub(crate) async fn register(&mut self, member: usize, info: &Info) {
        self.call(member, Op::Register(info.clone())).await;
    }

    pub(crate) async fn deregister(&mut self, member: usize, info: &Info) {
        self.call(member, Op::Deregister(info.clone())).await;
    }

    /// Closes a handle and lets go of it.
    pub(crate) async fn close(&mut self, member: usize) {
        self.call(member, Op::Close).await;
        self.forget(member);
    }

    /// The owner dies: its calls are gone, and so is its handle.
    pub(crate) async fn crash(&mut self, member: usize) {
        for call in self.members[member].calls.drain(..) {
            call.abort();
            let _ = call.await;
        }
        self.call_nothing(member, Op::Crash);
        self.forget(member);
    }

    fn call_nothing(&self, member: usize, op: Op) {
        let client = self.members[member].client.id;
        Recording::begin(self.journal.clone(), self.world.clone(), client, op).end(Ok(()));
    }

    fn forget(&mut self, member: usize) {
        for watching in self.watches.extract_if(.., |watching| watching.member == member) {
            watching.collector.abort();
        }
        self.members[member].handle = None;
    }

    pub(crate) fn journal(&self) -> MutexGuard<'_, Vec<Call>> {
        self.journal.lock().unwrap()
    }

    /// L6: whether each live handle says of its registrations what is true by now.
    pub(crate) fn judge_status(&self) -> Judged {
        let past = self.past();
        for member in &self.members {
            let Some(handle) = &member.handle else { continue };
            for key in past.keys() {
                let registration = handle.registrations().into_iter().find(|status| *status.key == *key.as_str());
                let holds = past.standing(&key, past.history.len()).is_some_and(|e| e.owner == Some(member.client.id));
                let expected = past
                    .wanted(member.client.id, &key, past.now)
                    .map(|_| if holds { RegistrationState::Registered } else { RegistrationState::Displaced });
                let said = registration.map(|status| status.state);
                if said != expected {
                    let what = format!("handle {} says {said:?} of {key} instead of {expected:?}", member.client.id.0);
                    return Err(Violation { clause: "L6", what });
                }
            }
        }
        Ok(())
    }

    /// R7: whether each handle whose identity another one has held for longer than an audit interval says so.
    pub(crate) fn judge_displaced(&self) -> Judged {
        let past = self.past();
        for (member, key) in
            self.members.iter().flat_map(|member| past.keys().into_iter().map(move |key| (member, key)))
        {
            let (Some(handle), client) = (&member.handle, member.client.id) else { continue };
            let last = past.history.iter().rev().find(|event| event.key == key);
            let by_other = last.filter(|event| event.at + LEARNT <= past.now);
            let by_other = by_other.and_then(|event| event.after.as_ref()).filter(|entry| entry.healthy);
            let displaced = by_other.is_some_and(|entry| entry.owner.is_some_and(|owner| owner != client));
            if !displaced || past.wanted(client, &key, past.now).is_none() {
                continue;
            }
            let status = handle.registrations().into_iter().find(|status| *status.key == *key.as_str());
            if status.is_none_or(|status| status.state != RegistrationState::Displaced) {
                let what = format!("handle {} does not know that it was displaced at {key}", client.0);
                return Err(Violation { clause: "R7", what });
            }
        }
        Ok(())
    }

    pub(crate) fn note(&self, line: std::fmt::Arguments<'_>) {
        self.world.lock().note(line);
    }

    /// Whether the planned fault was never met.
    pub(crate) fn is_untouched(&self) -> bool {
        self.plan.is_some_and(|plan| self.members.get(plan.victim).is_none_or(|member| member.client.is_untouched()))
    }

    /// No fault from now on.
    pub(crate) fn heal(&mut self) {
        for member in &self.members {
            member.client.plan(u64::MAX, Fault::Fail);
            member.client.set_random(0);
            member.client.set_cut(None);
        }
        self.world.set_availability(crate::world::Availability::Up);
    }

    /// Ends the run: nothing may be left of any handle a second later. Returns what is.
    pub(crate) async fn finish(mut self) -> Option<String> {
        for member in 0..self.members.len() {
            for call in self.members[member].calls.drain(..) {
                call.abort();
                let _ = call.await;
            }
            self.forget(member);
        }
        let until = Instant::now() + Duration::from_secs(1);
        tokio::time::sleep_until(until).await;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let live: usize = self.members.iter().map(|member| member.client.live()).sum();
        drop(self.server);
        (tasks > 1 || live > 0)
            .then(|| format!("{} tasks and {live} sessions and views are left", tasks.saturating_sub(1)))
    }
}

/// Notes the end of a call, also when its future is dropped.
struct Recording {
    journal: Arc<Mutex<Vec<Call>>>,
    world: Arc<World>,
    place: usize,
}

impl Recording {
    fn begin(journal: Arc<Mutex<Vec<Call>>>, world: Arc<World>, client: ClientId, op: Op) -> Self {
        let mut state = world.lock();
        state.note(format_args!("user {}: {}", client.0, said(&op)));
        let history_before = state.history.len();
        drop(state);
        let mut calls = journal.lock().unwrap();
        calls.push(Call { client, op, began: Instant::now(), history_before, end: None });
        let place = calls.len() - 1;
        drop(calls);
        Self { journal, world, place }
    }

    fn end(self, result: Result<(), &Error>) {
        let result = match result {
            Ok(()) => Ended::Ok,
            Err(error) if error.outcome() == Outcome::NotApplied => Ended::Refused,
            Err(_) => Ended::Unsure,
        };
        self.set(result);
    }

    fn set(&self, result: Ended) {
        let mut calls = self.journal.lock().unwrap();
        let call = &mut calls[self.place];
        if call.end.is_some() {
            return;
        }
        let mut state = self.world.lock();
        state.note(format_args!("user {}: {}: {result:?}", call.client.0, said(&call.op)));
        let history = state.history.len();
        drop(state);
        call.end = Some(End { at: Instant::now(), history, result });
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.set(Ended::Dropped);
    }
}

fn said(op: &Op) -> String {
    match op {
        Op::Register(info) => format!("register {} weight {}", key_of(info), info.weight()),
        Op::Announce(info) => format!("announce {} weight {}", key_of(info), info.weight()),
        Op::Deregister(info) => format!("deregister {}", key_of(info)),
        Op::Close => "close".into(),
        Op::Crash => "crash".into(),
    }
}

/// The service of all runs.
pub(crate) fn service() -> ServiceName {
    ServiceName::new("demo").expect("a valid name")
}

/// The info of one of the identities, told apart by its weight.
pub(crate) fn info(identity: u16, weight: u32) -> Info {
    let builder = Info::builder("demo").address(format!("10.0.0.1:{}", 7_000 + identity));
    builder.weight(weight).tag("weight", weight.to_string()).build().expect("a valid info")
}
