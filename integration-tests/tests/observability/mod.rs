//! What the tests of clause L6 share.

use std::future::Future;
use std::time::Duration;

use registry_core::{Handle, Info, ServiceName};
use registry_memory::{Link, MemoryStore, Options};

/// Runs a scenario on a paused clock and on this thread alone, so that thread-local recorders and subscribers see all of it.
pub(crate) fn on_a_paused_clock(scenario: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(scenario);
}

pub(crate) async fn connect(store: &MemoryStore, link: &Link) -> Handle {
    registry_memory::connect(Options::new(store.clone()).with_link(link.clone()))
        .await
        .expect("the memory store answers")
}

pub(crate) fn info(port: u16, weight: u32) -> Info {
    Info::builder("demo").address(format!("10.0.0.5:{port}")).weight(weight).build().expect("valid")
}

pub(crate) fn service() -> ServiceName {
    ServiceName::new("demo").expect("valid")
}

/// Waits in virtual time until `holds`.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 1,000 s: {what}");
}
