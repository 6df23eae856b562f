//! Each program that takes a URL, on each store: as a person runs it, and judged by how it ends.
//!
//! Needs what `scripts/test-all.sh` brings up; otherwise these show as ignored.

use std::error::Error;
use std::time::Duration;

use integration_tests::environment::Backend;
use integration_tests::trial;
use libtest_mimic::Arguments;
use tokio::process::Command;

/// How long a program may take. Each takes a few seconds.
const LIMIT: Duration = Duration::from_secs(60);

type Outcome = Result<(), Box<dyn Error>>;

fn main() {
    let tests = vec![
        trial(Backend::Etcd, "web", || Box::pin(ends_well(env!("CARGO_BIN_EXE_web"), Backend::Etcd))),
        trial(Backend::Etcd, "grpc", || Box::pin(ends_well(env!("CARGO_BIN_EXE_grpc"), Backend::Etcd))),
        trial(Backend::Etcd, "volo", || Box::pin(ends_well(env!("CARGO_BIN_EXE_volo"), Backend::Etcd))),
        trial(Backend::Zookeeper, "web", || Box::pin(ends_well(env!("CARGO_BIN_EXE_web"), Backend::Zookeeper))),
        trial(Backend::Zookeeper, "grpc", || Box::pin(ends_well(env!("CARGO_BIN_EXE_grpc"), Backend::Zookeeper))),
        trial(Backend::Zookeeper, "volo", || Box::pin(ends_well(env!("CARGO_BIN_EXE_volo"), Backend::Zookeeper))),
        trial(Backend::Consul, "web", || Box::pin(ends_well(env!("CARGO_BIN_EXE_web"), Backend::Consul))),
        trial(Backend::Consul, "grpc", || Box::pin(ends_well(env!("CARGO_BIN_EXE_grpc"), Backend::Consul))),
        trial(Backend::Consul, "volo", || Box::pin(ends_well(env!("CARGO_BIN_EXE_volo"), Backend::Consul))),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

/// Runs a program on the shared server of a store; it says that no request failed, and exits with 0.
async fn ends_well(program: &str, backend: Backend) -> Outcome {
    let address = backend.url()?;
    let address = address.split_once("://").map_or(address.as_str(), |(_, rest)| rest);
    let url = format!("{}://{address}", backend.name());
    let output = Command::new(program).arg(&url).kill_on_drop(true).output();
    let output = tokio::time::timeout(LIMIT, output).await.map_err(|_| format!("{url}: not done in {LIMIT:?}"))??;
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() && said.ends_with("No request failed.\n") {
        return Ok(());
    }
    Err(format!("{url}: {}\n{said}\n{complained}", output.status).into())
}
