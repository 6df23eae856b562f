//! Random fault rounds on a store: two owners and two watchers, each through a proxy of its own, while links break, the server dies or freezes,
//! sessions are ended, and entries change behind the owners' backs. After each round everything must be as wanted again.
//!
//! | variable | |
//! |---|---|
//! | `REGISTRY_TEST_ROUNDS` | how many rounds, for every store; ask for 40 or more before a release. Without it as many as the store's test says |
//! | `REGISTRY_TEST_SEED` | the seed that a failure printed: the same schedule again; without it a new one |

mod ground;
mod holders;
mod judge;
mod plan;
mod stage;

use std::io::Write as _;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

pub use self::ground::{Entry, Failure, Ground};
use self::plan::Plan;
use self::stage::Stage;
use crate::environment::Availability;

/// The main function of a test with `harness = false`: the rounds on a store, when that is available. `by_default` rounds are played unless
/// another number is asked for.
pub fn main<G: Ground>(by_default: u64) -> ! {
    let trials = vec![Trial::ignorable_test("all_is_as_wanted_after_each_round_of_random_faults", move || {
        match G::BACKEND.availability() {
            Availability::Ready => {
                let rounds = number("REGISTRY_TEST_ROUNDS")?.unwrap_or(by_default);
                rounds_on::<G>(rounds).map(|()| Completion::Completed).map_err(Failed::from)
            }
            Availability::Ignored(reason) => Ok(Completion::ignored_with(reason)),
            Availability::Failed(reason) => Err(Failed::from(reason)),
        }
    })];
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}

fn rounds_on<G: Ground>(rounds: u64) -> Result<(), String> {
    let seed = number("REGISTRY_TEST_SEED")?.unwrap_or_else(|| fastrand::u64(..));
    say(&format!("{rounds} rounds; REGISTRY_TEST_SEED={seed} repeats the schedule"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(run::<G>(seed, rounds))
}

async fn run<G: Ground>(seed: u64, rounds: u64) -> Result<(), String> {
    let tasks = judge::tasks();
    let set_up = async {
        let mut stage = Stage::<G>::open().await.map_err(|error| error.to_string())?;
        judge::recovers(&stage).await?;
        // The first renewal of each handle may open a stream, and with it a task.
        stage.tasks = judge::tasks() + plan::HANDLES;
        Ok::<_, String>(stage)
    };
    let mut stage = set_up.await.map_err(|reason| format!("seed {seed}, before the first round: {reason}"))?;
    for round in 0..rounds {
        let plan = Plan::new(seed, round, stage.timing.ttl());
        say(&format!("round {round}: {:?} for {:?}", plan.fault, plan.lasts));
        if let Err(reason) = play(&mut stage, &plan, round).await {
            let log = stage.log.borrow().join("\n  ");
            return Err(format!("seed {seed}, round {round}: {reason}\nwhat happened:\n  {log}"));
        }
    }
    judge::nothing_leaks(stage, tasks).await.map_err(|reason| format!("seed {seed}, after the last round: {reason}"))
}

async fn play<G: Ground>(stage: &mut Stage<G>, plan: &Plan, round: u64) -> Result<(), String> {
    stage.play(plan).await?;
    judge::recovers(stage).await?;
    stage.holders.note(judge::holders(stage));
    stage.change(round).await?;
    judge::follows(stage).await
}

/// The seed must be seen also when a round hangs.
fn say(what: &str) {
    // Nothing is left to do with a standard error that is closed.
    let _ = writeln!(std::io::stderr(), "{what}");
}

fn number(variable: &str) -> Result<Option<u64>, String> {
    match std::env::var(variable) {
        Ok(text) => text.parse().map(Some).map_err(|_| format!("{variable} is no number: {text}")),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_schedule() {
        let ttl = std::time::Duration::from_secs(2);
        let schedule = |seed| (0..40).map(|round| format!("{:?}", Plan::new(seed, round, ttl))).collect::<Vec<_>>();
        assert_eq!(schedule(7), schedule(7));
        assert_ne!(schedule(7), schedule(8));
    }
}
