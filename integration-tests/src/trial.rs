//! Tests that need a store, each on a runtime of its own.

use std::pin::Pin;

use libtest_mimic::{Completion, Failed, Trial};

use crate::environment::{Availability, Backend};

/// What a test's function returns.
pub type Running = Pin<Box<dyn Future<Output = Result<(), Box<dyn std::error::Error>>>>>;

/// A test of this name, after that of the store. Where the store is not available it shows as ignored, or fails.
pub fn trial(backend: Backend, name: &str, body: fn() -> Running) -> Trial {
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
