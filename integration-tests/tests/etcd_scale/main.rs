//! Much at a time on one etcd: concurrent calls of two handles, 10,000 registrations, 100 watchers of 10,000 instances, 1,000 watched services. Correct, and bounded
//! in memory: what is allocated is counted on the test's thread, where everything of its handles runs.
//!
//! `REGISTRY_TEST_SCALE=4` runs all of it four times as large. Needs what `scripts/test-all.sh` brings up; otherwise these show as ignored.

mod bench;
mod churn;
mod instances;
mod services;

use libtest_mimic::Arguments;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() {
    let tests = [churn::tests(), instances::tests(), services::tests()];
    let mut arguments = Arguments::from_args();
    // One after the other: each of them can use all cores.
    arguments.test_threads = arguments.test_threads.or(Some(1));
    libtest_mimic::run(&arguments, tests.into_iter().flatten().collect()).exit();
}

/// Tests by the names of their functions, each of which gets a bench of its own.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) fn tests() -> Vec<libtest_mimic::Trial> {
            vec![$($crate::bench::trial(stringify!($name), $name)),*]
        }
    };
}
use tests;
