//! What users do, each scenario with every fault at every request of every handle that takes part.
//!
//! Handles by number: 0 is the owner, 1 the second owner, 2 the watcher; which of them meets the fault is the victim.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use registry_core::store::Key;

use crate::faults::{Cut, Fault};
use crate::invariants::{Past, Violation};
use crate::profiles::{Profile, key_of};
use crate::sim::{AUDITED, Op, Plan, RECOVERY, Sim, TTL, info};
use crate::world::{Availability, By, Entry};

const OWNER: usize = 0;
const SECOND: usize = 1;
const WATCHER: usize = 2;

type Run<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// One scenario.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    run: for<'a> fn(&'a mut Sim) -> Run<'a>,
}

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        pub(crate) const ALL: &[Scenario] = &[
            $(Scenario { name: stringify!($name), run: |sim| Box::pin($name(sim)) }),*
        ];
    };
}

scenarios![
    registers,
    updates,
    deregisters,
    deregisters_twice,
    registers_again,
    is_taken_over,
    is_taken_over_and_back,
    is_taken_over_after_a_crash,
    closes,
    closes_with_nothing,
    crashes,
    announces,
    is_wiped,
    is_frozen,
    fails_to_register,
    fails_to_update,
    fails_to_deregister,
    drops_an_update,
    is_cut_off,
    is_removed_by_hand,
    is_changed_by_hand,
    is_replaced_by_hand,
    holds_many,
    calls_at_once,
];

async fn registers(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
}

async fn updates(sim: &mut Sim) {
    for weight in [10, 11, 12] {
        sim.register(OWNER, &info(1, weight)).await;
    }
}

async fn deregisters(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    sim.deregister(OWNER, &info(1, 10)).await;
}

async fn deregisters_twice(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    sim.deregister(OWNER, &info(1, 10)).await;
    sim.pause(200).await;
    sim.deregister(OWNER, &info(1, 10)).await;
}

async fn registers_again(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    sim.deregister(OWNER, &info(1, 10)).await;
    sim.register(OWNER, &info(1, 11)).await;
    sim.deregister(OWNER, &info(1, 11)).await;
}

async fn is_taken_over(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    sim.register(SECOND, &info(1, 20)).await;
    sim.deregister(OWNER, &info(1, 10)).await;
}

async fn is_taken_over_and_back(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    sim.register(SECOND, &info(1, 20)).await;
    sim.register(OWNER, &info(1, 11)).await;
    sim.register(SECOND, &info(1, 21)).await;
    sim.deregister(SECOND, &info(1, 21)).await;
}

async fn is_taken_over_after_a_crash(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    sim.crash(OWNER).await;
    sim.register(SECOND, &info(1, 20)).await;
}

async fn closes(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    sim.register(OWNER, &info(2, 10)).await;
    sim.register(SECOND, &info(1, 20)).await;
    sim.close(OWNER).await;
}

async fn closes_with_nothing(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    sim.deregister(OWNER, &info(1, 10)).await;
    sim.close(OWNER).await;
}

async fn crashes(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    sim.register(SECOND, &info(2, 20)).await;
    sim.crash(OWNER).await;
}

async fn announces(sim: &mut Sim) {
    sim.world.set_availability(Availability::Down);
    sim.call(OWNER, Op::Announce(info(1, 10))).await;
    sim.pause(3_000).await;
    sim.world.restart(false);
    sim.pause(3_000).await;
}

async fn is_wiped(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    sim.register(SECOND, &info(2, 20)).await;
    sim.world.restart(true);
    sim.pause(3_000).await;
}

async fn is_frozen(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    sim.world.set_availability(Availability::Frozen);
    sim.start(OWNER, Op::Register(info(1, 11)));
    sim.pause(9_000).await;
    sim.world.set_availability(Availability::Up);
    sim.join(OWNER).await;
    sim.pause(1_000).await;
}

/// Longer than any call lasts, and shorter than the TTL: everything that was sent arrives in the end.
const FROZEN: u64 = 5_300;

async fn frozen(sim: &mut Sim, op: Op) {
    sim.world.set_availability(Availability::Frozen);
    sim.start(OWNER, op);
    sim.pause(FROZEN).await;
    sim.world.set_availability(Availability::Up);
    sim.join(OWNER).await;
    sim.pause(500).await;
}

async fn fails_to_register(sim: &mut Sim) {
    frozen(sim, Op::Register(info(1, 10))).await;
}

async fn fails_to_update(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    frozen(sim, Op::Register(info(1, 11))).await;
}

async fn fails_to_deregister(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    frozen(sim, Op::Deregister(info(1, 10))).await;
}

async fn drops_an_update(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    sim.world.set_availability(Availability::Frozen);
    sim.start(OWNER, Op::Register(info(1, 11)));
    sim.pause(300).await;
    sim.members[OWNER].client.drop_call.notify_waiters();
    sim.pause(300).await;
    sim.world.set_availability(Availability::Up);
    sim.pause(500).await;
}

async fn is_cut_off(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    sim.members[OWNER].client.set_cut(Some(Cut::Silent));
    sim.pause(4_000).await;
    sim.deregister(OWNER, &info(1, 10)).await;
    sim.register(SECOND, &info(1, 20)).await;
    sim.members[OWNER].client.set_cut(None);
    sim.pause(4_000).await;
}

async fn is_removed_by_hand(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    sim.back_door(&key_of(&info(1, 10)), |_| None);
    sim.pause(3_000).await;
}

async fn is_changed_by_hand(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    let foreign = Sim::record(&info(1, 99));
    sim.back_door(&key_of(&info(1, 10)), |entry| {
        Some(Entry { instance: foreign.instance, value: foreign.value, ..entry? })
    });
    sim.pause(3_000).await;
}

async fn is_replaced_by_hand(sim: &mut Sim) {
    sim.register(OWNER, &info(1, 10)).await;
    let unowned = Sim::record(&info(1, 99));
    // On a store like Consul an entry without a token is somebody else's.
    if sim.profile != Profile::Blind {
        sim.back_door(&key_of(&info(1, 10)), |_| Some(unowned));
    }
    sim.pause(3_000).await;
}

async fn holds_many(sim: &mut Sim) {
    for identity in 1..=4 {
        sim.start(OWNER, Op::Register(info(identity, 10)));
    }
    sim.join(OWNER).await;
    sim.deregister(OWNER, &info(2, 10)).await;
    sim.register(OWNER, &info(3, 11)).await;
}

async fn calls_at_once(sim: &mut Sim) {
    sim.start(OWNER, Op::Register(info(1, 10)));
    sim.start(OWNER, Op::Deregister(info(1, 10)));
    sim.start(OWNER, Op::Register(info(1, 11)));
    sim.start(SECOND, Op::Register(info(1, 20)));
    sim.join(OWNER).await;
    sim.join(SECOND).await;
}

impl Sim {
    pub(crate) async fn pause(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// Changes an entry around all adapters.
    fn back_door(&self, key: &Key, change: impl FnOnce(Option<Entry>) -> Option<Entry>) {
        self.world.with(|state| {
            let after = change(state.entries.get(key).cloned());
            state.change(key, after, By::BackDoor);
        });
    }

    fn record(info: &registry_core::Info) -> Entry {
        Entry::unowned(&registry_core::store::Record::new(key_of(info), format!("{info:?}").into_bytes(), info))
    }

    /// Everything that happened so far.
    pub(crate) fn past(&self) -> Past {
        let state = self.world.lock();
        Past {
            profile: self.profile,
            calls: self.journal().clone(),
            asks: state.asks.clone(),
            history: state.history.clone(),
            now: tokio::time::Instant::now(),
        }
    }

    /// Waits until the last request has arrived, then as long as the contract gives, and judges all.
    pub(crate) async fn judge(&mut self, bound: Bound) -> Result<(), Violation> {
        self.heal();
        if let Some(last) = self.world.last_arrival() {
            tokio::time::sleep_until(last).await;
        }
        for member in 0..self.members.len() {
            self.join(member).await;
        }
        tokio::time::sleep(RECOVERY).await;
        self.past().judge()?;
        match bound {
            Bound::Recovery => self.past().judge_end()?,
            Bound::AuditWhereContested => self.past().judge_recovered()?,
            Bound::Audit => {}
        }
        if bound != Bound::Recovery {
            tokio::time::sleep(AUDITED - RECOVERY).await;
            self.judge_displaced()?;
            self.past().judge_end()?;
        }
        // Watches have the grace of W4 on top, and what they lag behind.
        tokio::time::sleep(TTL + Duration::from_secs(1)).await;
        let past = self.past();
        if !past.is_quiet_for(TTL) {
            let what = format!("the world still changes long after the last fault, {bound:?}");
            return Err(Violation { clause: "L3", what });
        }
        for watching in &self.watches {
            let items = watching.items.lock().unwrap();
            past.judge_newest(&watching.newest.latest(), items.last())?;
            past.judge_items(watching.began, &items)?;
        }
        past.judge()?;
        past.judge_end()?;
        self.judge_status()
    }

    /// What holds where no planned fault was met.
    fn judge_untouched(&self) -> Result<(), Violation> {
        let past = self.past();
        if !self.world.lock().disturbed {
            past.judge_calm()?;
        }
        self.watches.iter().try_for_each(|watching| past.judge_seamless(&watching.items.lock().unwrap()))
    }
}

/// By when the world is what the users want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Within the recovery bound.
    Recovery,
    /// The same, but of an identity that two owners were asked for: that the other one has gone may take an audit to learn.
    AuditWhereContested,
    /// After an audit: a late write on a store without fences may be found by it only.
    Audit,
}

/// Runs a scenario with one planned fault: whether the fault was met, and what broke, with the trace.
pub(crate) async fn run(
    scenario: Scenario,
    profile: Profile,
    plan: Plan,
) -> (bool, Result<(), (Violation, Vec<String>)>) {
    let mut sim = Sim::new(profile, plan.k, Some(plan));
    sim.open().await;
    sim.open().await;
    sim.open().await;
    sim.watch(WATCHER);
    sim.pause(50).await;
    (scenario.run)(&mut sim).await;
    let met = !sim.is_untouched();
    let late = matches!(plan.fault, Fault::Late(_)) && profile != Profile::Atomic;
    let bound = if late || scenario.name.contains("by_hand") {
        Bound::Audit
    } else if sim.past().is_contested() {
        Bound::AuditWhereContested
    } else {
        Bound::Recovery
    };
    let judged = sim.judge(bound).await.and_then(|()| if met { Ok(()) } else { sim.judge_untouched() });
    let world = sim.world.clone();
    let left = sim.finish().await;
    let judged = judged.and(left.map_or(Ok(()), |what| Err(Violation { clause: "R9", what })));
    (met, judged.map_err(|violation| (violation, world.lock().trace.clone())))
}
