//! Random fault rounds on a real etcd: two owners and two watchers, each through a proxy of its own, while links break, the server dies or
//! freezes, leases are revoked and entries change behind the owners' backs. After each round everything must be as wanted again.
//!
//! | variable | |
//! |---|---|
//! | `REGISTRY_TEST_ROUNDS` | how many rounds, 7 by default; ask for 40 or more before a release |
//! | `REGISTRY_TEST_SEED` | the seed that a failure printed: the same schedule again; without it a new one |
//!
//! Needs what `scripts/test-all.sh` brings up; otherwise it shows as ignored.

#![expect(clippy::print_stderr, reason = "the seed must be seen also when a round hangs")]

mod holders;
mod judge;
mod plan;
mod stage;

use integration_tests::environment::{Availability, Backend};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use self::plan::Plan;
use self::stage::Stage;

/// Unless more are asked for: they take about half a minute.
const ROUNDS: u64 = 7;

fn main() {
    let trials = vec![
        trial("all_is_as_wanted_after_each_round_of_random_faults", random_rounds),
        Trial::test("a_seed_repeats_its_schedule", a_seed_repeats_its_schedule),
        Trial::test("the_last_caller_holds_an_address", holders::the_last_caller_holds_an_address),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trial(name: &str, body: fn(u64) -> Result<(), String>) -> Trial {
    Trial::ignorable_test(name, move || match Backend::Etcd.availability() {
        Availability::Ready => {
            let rounds = number("REGISTRY_TEST_ROUNDS")?.unwrap_or(ROUNDS);
            body(rounds).map(|()| Completion::Completed).map_err(Failed::from)
        }
        Availability::Ignored(reason) => Ok(Completion::ignored_with(reason)),
        Availability::Failed(reason) => Err(Failed::from(reason)),
    })
}

fn a_seed_repeats_its_schedule() -> Result<(), Failed> {
    let schedule = |seed| (0..40).map(|round| format!("{:?}", Plan::new(seed, round))).collect::<Vec<_>>();
    assert_eq!(schedule(7), schedule(7));
    assert_ne!(schedule(7), schedule(8));
    Ok(())
}

fn random_rounds(rounds: u64) -> Result<(), String> {
    let seed = number("REGISTRY_TEST_SEED")?.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("{rounds} rounds; REGISTRY_TEST_SEED={seed} repeats the schedule");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(run(seed, rounds))
}

async fn run(seed: u64, rounds: u64) -> Result<(), String> {
    let tasks = judge::tasks();
    let set_up = async {
        let mut stage = Stage::open().await.map_err(|error| error.to_string())?;
        judge::recovers(&stage).await?;
        // The first renewal of each handle opens a stream, and with it a task.
        stage.tasks = judge::tasks() + plan::HANDLES;
        Ok::<_, String>(stage)
    };
    let mut stage = set_up.await.map_err(|reason| format!("seed {seed}, before the first round: {reason}"))?;
    for round in 0..rounds {
        let plan = Plan::new(seed, round);
        eprintln!("round {round}: {:?} for {:?}", plan.fault, plan.lasts);
        if let Err(reason) = play(&mut stage, &plan, round).await {
            let log = stage.log.borrow().join("\n  ");
            return Err(format!("seed {seed}, round {round}: {reason}\nwhat happened:\n  {log}"));
        }
    }
    judge::nothing_leaks(stage, tasks).await.map_err(|reason| format!("seed {seed}, after the last round: {reason}"))
}

async fn play(stage: &mut Stage, plan: &Plan, round: u64) -> Result<(), String> {
    stage.play(plan).await?;
    judge::recovers(stage).await?;
    stage.holders.note(judge::holders(stage));
    stage.change(round).await?;
    judge::follows(stage).await
}

fn number(variable: &str) -> Result<Option<u64>, String> {
    match std::env::var(variable) {
        Ok(text) => text.parse().map(Some).map_err(|_| format!("{variable} is no number: {text}")),
        Err(_) => Ok(None),
    }
}
