//! Deliberately broken adapters, each a copy of a named bug: a case of the suite must catch every one of them, and accuse the correct
//! adapter never.
//!
//! `cargo test -p integration-tests --test mutants [-- FILTER]`; the filter chooses by the name of the mutant or of its case.

mod combined;
mod credentials;
mod discovery;
mod input;
mod liveness;
mod mutant;
mod registration;
mod relay;
mod server;
mod twist;
mod watch;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use integration_tests::memory::MemoryHarness;
use registry_conformance::{Clause, Verdict, run_case};

use self::mutant::Mutant;

/// How many mutants are to show only when several things come together.
const COMBINATIONS: usize = 10;

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let began = Instant::now();
    let mutants: Vec<Mutant> = [
        registration::MUTANTS,
        liveness::MUTANTS,
        discovery::MUTANTS,
        watch::MUTANTS,
        input::MUTANTS,
        server::MUTANTS,
        credentials::MUTANTS,
        combined::MUTANTS,
    ]
    .concat();
    let spared = clauses_without_a_mutant(&mutants);
    let combinations = mutants.iter().filter(|mutant| mutant.under.is_some()).count();
    let chosen: Vec<Mutant> = mutants.into_iter().filter(|mutant| mutant.is_called(&filter)).collect();
    let caught = each(&chosen, is_caught).into_iter().filter(|caught| *caught).count();
    let runs = correct_runs(&chosen);
    let accused = each(&runs, |case| !passes(case)).into_iter().filter(|accused| *accused).count();
    say(&format!(
        "{caught} of {} caught, {accused} of {} correct adapters accused, in {:.1} s; {combinations} of all mutants show only under a combination",
        chosen.len(),
        runs.len(),
        began.elapsed().as_secs_f64()
    ));
    if !spared.is_empty() {
        say(&format!("no mutant for {}", spared.join(", ")));
    }
    if combinations < COMBINATIONS {
        say(&format!("at least {COMBINATIONS} mutants are to show only under a combination"));
    }
    if combinations < COMBINATIONS || !spared.is_empty() || chosen.is_empty() || caught < chosen.len() || accused > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// The clauses for which no mutant stands: a case is named after the clause that it is about.
fn clauses_without_a_mutant(mutants: &[Mutant]) -> Vec<&'static str> {
    let has_one =
        |clause: &str| mutants.iter().any(|mutant| mutant.case.starts_with(&format!("{}_", clause.to_lowercase())));
    Clause::all().into_iter().map(|clause| clause.0).filter(|clause| !has_one(clause)).collect()
}

/// Whether the mutant's case fails by its own assertion.
fn is_caught(mutant: &Mutant) -> bool {
    let (case, harness) = (mutant.case, Arc::new((mutant.harness)()));
    let (caught, why) = match run_case(harness, case) {
        Ok(Some(result)) => match result.verdict {
            Verdict::Failed { assertion: true, .. } => (true, String::new()),
            Verdict::Failed { text, .. } => (false, format!("not by its own assertion:\n{text}")),
            Verdict::Passed => (false, "the case passes".to_owned()),
            Verdict::NotApplicable(reason) => (false, format!("the case does not apply: {reason}")),
        },
        Ok(None) => (false, "there is no such case".to_owned()),
        Err(error) => (false, error),
    };
    let word = if caught { "caught" } else { "NOT CAUGHT" };
    let under = mutant.under.map(|combination| format!(" under {combination},")).unwrap_or_default();
    say(&format!("{word}: {} ({}),{under} by {case} {why}", mutant.bug, mutant.seen_in));
    caught
}

/// The cases that caught something, as often as each is to pass on the correct adapter.
fn correct_runs(mutants: &[Mutant]) -> Vec<&'static str> {
    let cases: BTreeMap<&str, usize> = mutants.iter().map(|mutant| (mutant.case, mutant.correct_runs)).collect();
    cases.into_iter().flat_map(|(case, runs)| std::iter::repeat_n(case, runs)).collect()
}

fn passes(case: &&'static str) -> bool {
    match run_case(Arc::new(MemoryHarness::new()), case) {
        Ok(Some(result)) if result.verdict == Verdict::Passed => true,
        other => {
            say(&format!("ACCUSED: the correct adapter by {case}: {other:?}"));
            false
        }
    }
}

/// Calls `what` for each of them, on as many threads as the machine has processors.
fn each<T: Sync, R: Send>(all: &[T], what: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = what(one);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn say(line: &str) {
    // A closed standard output is no reason not to test.
    let _ = writeln!(std::io::stdout(), "{}", line.trim_end());
}
