//! What the ZooKeeper adapter costs beside the bare client, on a server of its own: prints a table. `docs/benchmarks.md` says how to run it.
//!
//! Each row does the same work through a handle and by hand on `zookeeper-async`, in alternating rounds, and gives median and spread (lowest and highest
//! round) of the ratio per round, because machines are noisy.

#![allow(clippy::print_stdout, reason = "a program that prints a table")]

mod absence;
mod bare;
mod table;
mod work;

use std::error::Error;

use integration_tests::ZooKeeperServer;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, address, ..] = &arguments[..]
        && absence::is_role(role)
    {
        return runtime.block_on(absence::play(role, address.parse()?));
    }
    if std::env::var_os("REGISTRY_TEST_ZOOKEEPER_IMAGE").is_none() {
        println!("REGISTRY_TEST_ZOOKEEPER_IMAGE is not set: `scripts/backends.sh env` says it");
        return Ok(());
    }
    // The parts that are named, or all of them.
    let named: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| *name == part);
    table::head();
    runtime.block_on(async {
        let server = ZooKeeperServer::start().await?;
        if wanted("registrations") {
            work::registrations(&server).await?;
        }
        if wanted("latency") {
            work::latency(&server).await?;
        }
        if wanted("change") {
            work::one_change(&server).await?;
        }
        if wanted("steady") {
            work::steady(&server).await?;
        }
        if wanted("expiry") {
            work::expiry(&server).await?;
        }
        if wanted("absence") {
            absence::cpu(&server).await?;
        }
        Ok(())
    })
}
