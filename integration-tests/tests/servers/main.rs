//! The bench itself: servers that can be killed, frozen and wiped, owners in processes, and users.
//!
//! Needs what `scripts/test-all.sh` brings up; otherwise these show as ignored.

mod etcd;
mod owners;
mod secured;
mod zookeeper;

use std::future::Future;
use std::pin::Pin;

use integration_tests::environment::{Availability, Backend};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

type Outcome = Result<(), Box<dyn std::error::Error>>;
type Body = fn() -> Pin<Box<dyn Future<Output = Outcome>>>;

fn main() {
    let tests = [etcd::tests(), owners::tests(), secured::tests(), zookeeper::tests()];
    libtest_mimic::run(&Arguments::from_args(), tests.into_iter().flatten().collect()).exit();
}

/// Tests of a store by the names of their functions, each of which runs on a runtime of its own.
macro_rules! tests {
    ($backend:ident: $($name:ident),* $(,)?) => {
        pub(crate) fn tests() -> Vec<libtest_mimic::Trial> {
            let backend = integration_tests::environment::Backend::$backend;
            vec![$($crate::trial(backend, stringify!($name), || Box::pin($name()))),*]
        }
    };
}
use tests;

fn trial(backend: Backend, name: &str, body: Body) -> Trial {
    let name = format!("{}::{name}", backend.name());
    Trial::ignorable_test(name, move || match backend.availability() {
        Availability::Ready => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let outcome = runtime.block_on(body());
            outcome.map(|()| Completion::Completed).map_err(|error| Failed::from(error.to_string()))
        }
        Availability::Ignored(reason) => Ok(Completion::ignored_with(reason)),
        Availability::Failed(reason) => Err(Failed::from(reason)),
    })
}
