//! The ZooKeeper adapter, operation by operation, on a real ZooKeeper.
//!
//! `REGISTRY_TEST_ZOOKEEPER` names it (`127.0.0.1:2181`). Without it the tests show as ignored, or, with `REGISTRY_TEST_REQUIRE=zookeeper`, fail.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod bench;
mod connecting;
mod entries;
mod load;
mod sessions;
mod views;

use libtest_mimic::Arguments;

fn main() {
    let arguments = Arguments::from_args();
    let tests = [entries::tests(), sessions::tests(), views::tests(), connecting::tests(), load::tests()];
    libtest_mimic::run(&arguments, tests.into_iter().flatten().collect()).exit();
}
