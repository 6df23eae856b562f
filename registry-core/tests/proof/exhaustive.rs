//! Every fault at every request: for k = 1, 2, … until the scenario runs untouched.

use crate::faults::Fault;
use crate::profiles::Profile;
use crate::runtime;
use crate::scenarios::{self, Scenario};
use crate::sim::Plan;

/// More requests than any scenario makes: a scenario that reaches them runs for ever.
const ENOUGH: u64 = 2_000;

/// All schedules of one profile and one fault. Panics with what broke, and how to see it again.
fn every_schedule(profile: Profile, fault: Fault) {
    if let Ok(wanted) = std::env::var("PROOF_SCHEDULE") {
        return replay(&wanted, profile, fault);
    }
    let mut schedules = 0;
    let mut broken = Vec::new();
    for scenario in scenarios::ALL {
        for victim in 0..3 {
            for k in 1.. {
                assert!(k < ENOUGH, "{} never runs untouched: {profile:?}, {fault:?}, handle {victim}", scenario.name);
                schedules += 1;
                let (met, judged) = once(*scenario, profile, Plan { victim, k, fault });
                broken.extend(judged.err().map(|(what, _)| what));
                if !met {
                    break;
                }
            }
        }
    }
    println!("{profile:?}, {fault:?}: {schedules} schedules");
    assert!(broken.is_empty(), "{} of {schedules} schedules broke:\n{}", broken.len(), broken.join("\n"));
}

/// Runs the one schedule that was asked for, in the test that it belongs to, and prints what happened.
fn replay(wanted: &str, profile: Profile, fault: Fault) {
    for scenario in scenarios::ALL {
        for victim in 0..3 {
            for k in 1..ENOUGH {
                let plan = Plan { victim, k, fault };
                if name(*scenario, profile, plan) != wanted {
                    continue;
                }
                match once(*scenario, profile, plan) {
                    (met, Ok(())) => println!("kept the contract; fault met: {met}"),
                    (_, Err((what, trace))) => panic!("{what}\n{}", trace.join("\n")),
                }
            }
        }
    }
}

fn name(scenario: Scenario, profile: Profile, plan: Plan) -> String {
    format!("{} {profile:?} {} {} {:?}", scenario.name, plan.victim, plan.k, plan.fault)
}

/// Runs one schedule: whether its fault was met, and what broke.
fn once(scenario: Scenario, profile: Profile, plan: Plan) -> (bool, Result<(), (String, Vec<String>)>) {
    let name = name(scenario, profile, plan);
    let again = format!("PROOF_SCHEDULE='{name}' cargo test -p registry-core --test proof exhaustive");
    let (met, judged) = runtime::run(&again, scenarios::run(scenario, profile, plan));
    let explained =
        judged.map_err(|(violation, trace)| (format!("{}: {}\n    {again}", violation.clause, violation.what), trace));
    (met, explained)
}

macro_rules! profiles {
    ($($name:ident: $profile:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn a_lost_session() {
                every_schedule($profile, Fault::LoseSession);
            }

            #[test]
            fn a_refused_request() {
                every_schedule($profile, Fault::Fail);
            }

            #[test]
            fn an_unsure_failure_unapplied() {
                every_schedule($profile, Fault::FailUnsure);
            }

            #[test]
            fn an_unsure_failure_applied() {
                every_schedule($profile, Fault::FailApplied);
            }

            #[test]
            fn no_answer_unapplied() {
                every_schedule($profile, Fault::Hang);
            }

            #[test]
            fn no_answer_applied() {
                every_schedule($profile, Fault::HangApplied);
            }

            #[test]
            fn a_request_that_arrives_late() {
                every_schedule($profile, Fault::LATE);
            }

            #[test]
            fn a_request_that_arrives_long_after() {
                every_schedule($profile, Fault::LONG_AFTER);
            }

            #[test]
            fn a_dropped_call() {
                every_schedule($profile, Fault::DropCall);
            }
        }
    )*};
}

profiles! {
    atomic: Profile::Atomic;
    lagging: Profile::Lagging;
    blind: Profile::Blind;
}
