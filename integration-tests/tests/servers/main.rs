//! The bench itself: servers that can be killed, frozen and wiped, owners in processes, and etcd's users.
//!
//! Needs what `scripts/test-all.sh` brings up; otherwise these show as ignored.

mod etcd;
mod owners;
mod secured;

use std::future::Future;
use std::pin::Pin;

use integration_tests::environment::{Availability, Backend};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

type Outcome = Result<(), Box<dyn std::error::Error>>;
type Body = fn() -> Pin<Box<dyn Future<Output = Outcome>>>;

fn main() {
    let tests = [etcd::tests(), owners::tests(), secured::tests()];
    libtest_mimic::run(&Arguments::from_args(), tests.into_iter().flatten().collect()).exit();
}

/// Tests by the names of their functions, each of which runs on a runtime of its own.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) fn tests() -> Vec<libtest_mimic::Trial> {
            vec![$($crate::trial(stringify!($name), || Box::pin($name()))),*]
        }
    };
}
use tests;

fn trial(name: &str, body: Body) -> Trial {
    Trial::ignorable_test(name, move || match Backend::Etcd.availability() {
        Availability::Ready => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let outcome = runtime.block_on(body());
            outcome.map(|()| Completion::Completed).map_err(|error| Failed::from(error.to_string()))
        }
        Availability::Ignored(reason) => Ok(Completion::ignored_with(reason)),
        Availability::Failed(reason) => Err(Failed::from(reason)),
    })
}
