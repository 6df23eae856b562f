//! Seeded random schedules: two owners and two watchers, whatever users do, whatever a store shows.
//!
//! A schedule is a pure function of its seed. `PROOF_SEED=17 cargo test -p registry-core --test proof random` runs one and prints what happened.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;

use crate::faults::Cut;
use crate::invariants::Violation;
use crate::profiles::Profile;
use crate::runtime;
use crate::scenarios::Bound;
use crate::sim::{Op, Sim, info};
use crate::world::Availability;

/// How many schedules run by default.
const SCHEDULES: u64 = 10_000;

/// On so many threads.
const THREADS: usize = 2;

/// One schedule: who exists, what happens, and in the end the judgement.
async fn schedule(seed: u64) -> Result<Vec<String>, (Violation, Vec<String>)> {
    let mut random = Rng::with_seed(seed);
    let profile = Profile::ALL[random.usize(..3)];
    let mut sim = Sim::new(profile, seed, None);
    let mut owners = [sim.open().await, sim.open().await];
    let watchers = [sim.open().await, sim.open().await];
    sim.watch(watchers[0]);
    sim.watch(watchers[1]);
    let one_in = [0, 10, 30, 100][random.usize(..4)];
    for member in &sim.members {
        member.client.set_random(one_in);
    }
    for _ in 0..random.u32(3..14) {
        step(&mut sim, &mut owners, &mut random, one_in).await;
        let pause = [0, 3, 50, 1_000, 4_000][random.usize(..5)];
        tokio::time::sleep(Duration::from_millis(random.u64(0..=pause))).await;
    }
    let bound = if profile == Profile::Atomic || one_in == 0 { Bound::AuditWhereContested } else { Bound::Audit };
    let judged = sim.judge(bound).await;
    let world = sim.world.clone();
    let left = sim.finish().await;
    let judged = judged.and(left.map_or(Ok(()), |what| Err(Violation { clause: "R9", what })));
    let trace = world.lock().trace.clone();
    match judged {
        Ok(()) => Ok(trace),
        Err(violation) => Err((violation, trace)),
    }
}

/// One random thing.
async fn step(sim: &mut Sim, owners: &mut [usize; 2], random: &mut Rng, one_in: u32) {
    let place = random.usize(..2);
    let owner = owners[place];
    let instance = info(random.u16(1..=2), random.u32(10..40));
    match random.u8(0..32) {
        0..=9 => sim.start(owner, Op::Register(instance)),
        10..=14 => sim.start(owner, Op::Deregister(instance)),
        15 => sim.start(owner, Op::Announce(instance)),
        16 | 17 => sim.members[owner].client.drop_call.notify_waiters(),
        18 => {
            sim.close(owner).await;
            reopen(sim, &mut owners[place], one_in).await;
        }
        19 => {
            sim.crash(owner).await;
            reopen(sim, &mut owners[place], one_in).await;
        }
        20 | 21 => {
            let member = random.usize(..sim.members.len());
            let cut = if random.bool() { Cut::Silent } else { Cut::Refused };
            sim.members[member].client.set_cut(Some(cut));
        }
        22..=24 => sim.members.iter().for_each(|member| member.client.set_cut(None)),
        25 => sim.world.set_availability([Availability::Frozen, Availability::Down][random.usize(..2)]),
        26 | 27 => sim.world.set_availability(Availability::Up),
        28 => sim.world.restart(random.bool()),
        29 => {
            let client = sim.members[owner].client.id;
            sim.world.with(|state| state.lose(client));
        }
        _ => sim.join(owner).await,
    }
}

async fn reopen(sim: &mut Sim, owner: &mut usize, one_in: u32) {
    *owner = sim.open().await;
    sim.members[*owner].client.set_random(one_in);
}

/// Runs a schedule. The error says what broke and how to see it again.
fn once(seed: u64, traced: bool) -> Result<(), String> {
    let again = format!("PROOF_SEED={seed} cargo test -p registry-core --test proof random");
    let judged = runtime::run(&again, schedule(seed));
    judged.map(drop).map_err(|(violation, trace)| {
        let trace = if traced { format!("\n{}", trace.join("\n")) } else { String::new() };
        format!("{}: {}\n    {again}{trace}", violation.clause, violation.what)
    })
}

#[test]
fn random_schedules_keep_the_contract() {
    if let Some(seed) = std::env::var("PROOF_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return once(seed, true).unwrap_or_else(|what| panic!("{what}"));
    }
    let wanted = std::env::var("PROOF_SCHEDULES").ok().and_then(|wanted| wanted.parse().ok());
    let wanted = wanted.unwrap_or(SCHEDULES);
    let next = AtomicU64::new(1);
    let broken = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > wanted {
                        return;
                    }
                    broken.lock().unwrap().extend(once(seed, false).err());
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap();
    println!("{wanted} schedules");
    assert!(broken.is_empty(), "{} of {wanted} schedules broke:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn a_seed_replays_to_the_same_trace() {
    let run = |seed| runtime::run(&format!("seed {seed}"), schedule(seed));
    let trace = |seed| run(seed).unwrap_or_else(|(_, trace)| trace);
    for seed in 1..=30 {
        let (first, second) = (trace(seed), trace(seed));
        let differing = first.iter().zip(&second).find(|(first, second)| first != second);
        assert_eq!(differing, None, "seed {seed}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}
