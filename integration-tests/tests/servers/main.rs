//! The bench itself: servers that can be killed, frozen and wiped, owners in processes, and users.
//!
//! Needs what `scripts/test-all.sh` brings up; otherwise these show as ignored.

mod etcd;
mod owners;
mod secured;
mod zookeeper;

use libtest_mimic::Arguments;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() {
    let tests = [etcd::tests(), owners::tests(), secured::tests(), zookeeper::tests()];
    libtest_mimic::run(&Arguments::from_args(), tests.into_iter().flatten().collect()).exit();
}

/// Tests of a store by the names of their functions, each of which runs on a runtime of its own.
macro_rules! tests {
    ($backend:ident: $($name:ident),* $(,)?) => {
        pub(crate) fn tests() -> Vec<libtest_mimic::Trial> {
            let backend = integration_tests::environment::Backend::$backend;
            vec![$(integration_tests::trial(backend, stringify!($name), || Box::pin($name()))),*]
        }
    };
}
use tests;
