//! The runtime that proxies and commands run on, apart from that of the test.

use std::fmt;
use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};

/// A tool of the bench that did not work: says nothing about the adapter under test.
#[derive(Debug)]
pub struct BenchError(String);

impl BenchError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BenchError {}

/// Runs the future on the bench's runtime: a test that keeps its own runtime busy, pauses its clock or counts its tasks is not in the way.
pub(crate) async fn on_bench<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    match runtime().spawn(future).await {
        Ok(value) => value,
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

/// The bench's runtime: one thread for the whole process, which it outlives.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("bench").enable_all().build();
        runtime.expect("invariant: a thread can be started")
    });
    &RUNTIME
}
