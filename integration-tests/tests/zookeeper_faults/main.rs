//! The ZooKeeper adapter under faults that the suite does not have: three nodes of which one dies, freezes or is cut off; links that accept and close;
//! owners in processes of their own; passwords that are changed; claimers that delete and create.
//!
//! Needs what `scripts/test-all.sh` brings up; otherwise these show as ignored.

mod closing;
mod ensemble;
mod links;
mod owners;
mod passwords;
mod scene;
mod takeover;

use libtest_mimic::Arguments;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() {
    let tests =
        [closing::tests(), ensemble::tests(), links::tests(), owners::tests(), passwords::tests(), takeover::tests()];
    libtest_mimic::run(&Arguments::from_args(), tests.into_iter().flatten().collect()).exit();
}

/// Tests by the names of their functions, each of which runs on a runtime of its own.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) fn tests() -> Vec<libtest_mimic::Trial> {
            let backend = integration_tests::environment::Backend::Zookeeper;
            vec![$(integration_tests::trial(backend, stringify!($name), || Box::pin($name()))),*]
        }
    };
}
use tests;
