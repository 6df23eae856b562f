//! The etcd adapter on three nodes, of which one dies, freezes, is cut off, restarts or loses its data. All the while an observer resolves, watches and writes:
//! what is resolved is never older than what was written before, and what is watched never goes back and is never empty.
//!
//! Needs what `scripts/test-all.sh` brings up; otherwise these show as ignored.

mod marker;
mod members;
mod minority;
mod scene;

use libtest_mimic::Arguments;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() {
    let tests = [members::tests(), minority::tests()];
    libtest_mimic::run(&Arguments::from_args(), tests.into_iter().flatten().collect()).exit();
}

/// Tests by the names of their functions, each of which runs on a runtime of its own.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) fn tests() -> Vec<libtest_mimic::Trial> {
            let backend = integration_tests::environment::Backend::Etcd;
            vec![$(integration_tests::trial(backend, stringify!($name), || Box::pin($name()))),*]
        }
    };
}
use tests;
