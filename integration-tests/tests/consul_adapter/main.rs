//! The Consul adapter, operation by operation, on a real agent.
//!
//! `REGISTRY_TEST_CONSUL` names it (`http://127.0.0.1:8500`). Without it the tests show as ignored, or, with `REGISTRY_TEST_REQUIRE=consul`, fail.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod bench;
mod connecting;
mod door;
mod entries;
mod owners;
mod plaintext;
mod processes;
mod secured;
mod soak;
mod views;

use libtest_mimic::Arguments;

fn main() {
    let arguments = Arguments::from_args();
    let tests = [
        entries::tests(),
        owners::tests(),
        processes::tests(),
        plaintext::tests(),
        views::tests(),
        connecting::tests(),
        secured::tests(),
        soak::tests().into_iter().map(|trial| trial.with_ignored_flag(true)).collect(),
    ];
    libtest_mimic::run(&arguments, tests.into_iter().flatten().collect()).exit();
}
