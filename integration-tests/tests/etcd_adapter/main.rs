//! The etcd adapter, operation by operation, on a real etcd.
//!
//! `REGISTRY_TEST_ETCD` names it (`http://127.0.0.1:2379`). Without it the tests show as ignored, or, with `REGISTRY_TEST_REQUIRE=etcd`, fail.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod bench;
mod connecting;
mod entries;
mod handles;
mod outages;
mod owners;
mod plaintext;
mod secured;
mod sessions;
mod views;

use libtest_mimic::Arguments;

fn main() {
    let arguments = Arguments::from_args();
    let tests = [
        entries::tests(),
        sessions::tests(),
        views::tests(),
        connecting::tests(),
        handles::tests(),
        outages::tests(),
        owners::tests(),
        plaintext::tests(),
        secured::tests(),
    ];
    libtest_mimic::run(&arguments, tests.into_iter().flatten().collect()).exit();
}
