#![doc = include_str!("../README.md")]

mod arguments;
mod deployment;
mod ledger;
mod preflight;
mod table;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use registry_conformance::{Case, CaseResult, Suite, Timing};

use crate::arguments::Arguments;
use crate::deployment::Deployment;
use crate::preflight::Obstacle;

/// How many cases run at once: they mostly wait.
const CASES_AT_ONCE: usize = 10;

/// Cases that write more than a store in use should be asked to take.
const HEAVY: &[&str] = &["w3_after_10_000_changes_an_idle_consumer_gets_the_newest_in_one_item"];

fn main() -> ExitCode {
    let line = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => match check(&arguments) {
            Ok(true) => return ExitCode::SUCCESS,
            Ok(false) => return ExitCode::from(1),
            Err(reason) => reason,
        },
        Err(reason) => reason,
    };
    // Nothing is left to do with a standard error that is closed.
    let _ = writeln!(std::io::stderr(), "registry-check: {line}");
    ExitCode::from(2)
}

/// Whether every case passed and nothing is left behind; the error says in one line why there was nothing to judge.
fn check(arguments: &Arguments) -> Result<bool, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime could be built: {error}"))?;
    let deployment = Deployment::new(&arguments.url, arguments.ttl)?;
    let capabilities = match runtime.block_on(preflight::look(&deployment)) {
        Ok(capabilities) => capabilities,
        Err(obstacle) => {
            // What the preflight got as far as to leave; an obstacle that keeps it from being removed is the one that is told.
            runtime.block_on(deployment.clean_once());
            if arguments.json {
                print(&obstacle_as_json(arguments, &obstacle))?;
            }
            return Err(obstacle.to_string());
        }
    };
    let cases = registry_conformance::cases();
    let cases: Vec<Case> = cases.into_iter().filter(is_safe).filter(|case| arguments.wants(case)).collect();
    let timing = Timing::new(Duration::from_secs(arguments.ttl), 1.0);
    let deployment = Arc::new(deployment.with_capabilities(capabilities));
    let suite = Suite::with(deployment.clone(), timing, cases);
    let results = run(&suite);
    let cleaned = runtime.block_on(deployment.clean_all());
    let report = suite.report().to_json();
    print(&if arguments.json { report + "\n" } else { table::render(&arguments.shown(), &results) })?;
    if let Err(left) = &cleaned {
        // Nothing is left to do with a standard error that is closed.
        let _ = writeln!(std::io::stderr(), "registry-check: {left}");
    }
    Ok(cleaned.is_ok() && results.iter().all(|(case, result)| table::is_good(case, result)))
}

fn print(text: &str) -> Result<(), String> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("the result cannot be printed: {error}"))
}

fn obstacle_as_json(arguments: &Arguments, obstacle: &Obstacle) -> String {
    let kind = obstacle.kind.map(|kind| format!("{kind:?}"));
    let object = serde_json::json!({
        "url": arguments.shown(),
        "obstacle": { "step": obstacle.step, "kind": kind, "text": obstacle.to_string() },
    });
    format!("{object:#}\n")
}

/// Needs no hook, hence no fault, and is no load.
fn is_safe(case: &Case) -> bool {
    case.hooks().is_empty() && !HEAVY.contains(&case.name())
}

/// Runs the cases of the suite, some at once; the results are in their order.
fn run(suite: &Suite) -> Vec<(Case, CaseResult)> {
    let (queue, results) = (Mutex::new(suite.cases().iter().enumerate()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..CASES_AT_ONCE {
            scope.spawn(|| {
                while let Some((number, case)) = next(&queue) {
                    let Some(result) = suite.run_case(case.name()) else { continue };
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((number, *case, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(number, ..)| *number);
    results.into_iter().map(|(_, case, result)| (case, result)).collect()
}

fn next<T>(queue: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_that_is_left_out_as_a_load_exists() {
        let cases = registry_conformance::cases();
        assert!(HEAVY.iter().all(|heavy| cases.iter().any(|case| case.name() == *heavy)));
    }
}
