//! Each program that takes another store than memory, on each store: as a person runs it, and judged by how it ends.
//!
//! Needs what `scripts/test-all.sh` brings up; otherwise these show as ignored.

use std::error::Error;
use std::time::Duration;

use integration_tests::environment::Backend;
use integration_tests::trial;
use libtest_mimic::{Arguments, Trial};
use tokio::process::Command;

/// How long a program may take. Each takes a few seconds.
const LIMIT: Duration = Duration::from_secs(60);

type Outcome = Result<(), Box<dyn Error>>;

/// The tests of one store: a test's body is a function without captures, so that the store cannot be handed to it.
macro_rules! on {
    ($backend:expr) => {
        [
            trial($backend, "any_backend", || Box::pin(any_backend($backend))),
            trial($backend, "web", || Box::pin(no_request_fails(env!("CARGO_BIN_EXE_web"), $backend))),
            trial($backend, "grpc", || Box::pin(no_request_fails(env!("CARGO_BIN_EXE_grpc"), $backend))),
            trial($backend, "volo", || Box::pin(no_request_fails(env!("CARGO_BIN_EXE_volo"), $backend))),
        ]
    };
}

fn main() {
    let tests = [on!(Backend::Etcd), on!(Backend::Zookeeper), on!(Backend::Consul)];
    libtest_mimic::run(&Arguments::from_args(), tests.into_iter().flatten().collect::<Vec<Trial>>()).exit();
}

async fn any_backend(backend: Backend) -> Outcome {
    ends_well(env!("CARGO_BIN_EXE_any_backend"), &[backend.name(), &address(backend)?]).await.map(drop)
}

async fn no_request_fails(program: &str, backend: Backend) -> Outcome {
    let url = format!("{}://{}", backend.name(), address(backend)?);
    let said = ends_well(program, &[&url]).await?;
    if said.ends_with("No request failed.\n") { Ok(()) } else { Err(said.into()) }
}

/// Where the shared server of a store is.
fn address(backend: Backend) -> Result<String, String> {
    let url = backend.url()?;
    Ok(url.split_once("://").map_or(url.as_str(), |(_, address)| address).to_owned())
}

/// Runs a program, which exits with 0, and returns what it says.
async fn ends_well(program: &str, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = Command::new(program).args(arguments).kill_on_drop(true).output();
    let output = tokio::time::timeout(LIMIT, output).await.map_err(|_| format!("not done in {LIMIT:?}"))??;
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        Ok(said.into_owned())
    } else {
        Err(format!("{}\n{said}\n{complained}", output.status).into())
    }
}
