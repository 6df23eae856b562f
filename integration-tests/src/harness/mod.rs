//! The suite's harnesses for the stores, with servers that cases break, and how they are run where a store may be missing.

pub mod consul;
mod credentials;
pub mod etcd;
mod link;
mod pool;
mod spy;
mod version;
pub mod zookeeper;

use std::io::Write as _;
use std::process::exit;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use registry_conformance::{Harness, HookError, Suite};

use crate::bench::BenchError;
use crate::environment::Availability;

/// The main function of a test with `harness = false`: the suite on a store, when that is available; otherwise its cases show as ignored,
/// or fail, with the reason.
pub fn run(harness: impl Harness, availability: Availability) -> ! {
    let reason = match availability {
        Availability::Ready => registry_conformance::main(harness),
        Availability::Ignored(reason) => Ok(reason),
        Availability::Failed(reason) => Err(reason),
    };
    match Suite::new(Arc::new(harness)) {
        Ok(suite) => {
            let trials = suite.cases().iter().map(|case| missing(case.name(), reason.clone())).collect();
            libtest_mimic::run(&Arguments::from_args(), trials).exit()
        }
        Err(reason) => {
            // Nothing is left to do with a standard error that is closed.
            let _ = writeln!(std::io::stderr(), "the conformance suite cannot run: {reason}");
            exit(101)
        }
    }
}

fn missing(case: &str, reason: Result<String, String>) -> Trial {
    Trial::ignorable_test(case, move || reason.map(Completion::ignored_with).map_err(Failed::from))
}

impl From<BenchError> for HookError {
    fn from(error: BenchError) -> Self {
        Self(error.to_string())
    }
}
