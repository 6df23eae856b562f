//! What the etcd adapter costs, each row against the bare `etcd-client` that does the same work: prints a table.
//!
//! ```sh
//! scripts/backends.sh all cargo bench -p integration-tests --bench etcd
//! scripts/backends.sh all cargo bench -p integration-tests --bench etcd -- register latency
//! ```
//!
//! Ours and the floor take turns; a row gives the medians, and median and spread (lowest and highest round) of the ratio per round. Each group of rows has a
//! server of its own. `REGISTRY_BENCH_ROUNDS` says how many rounds; at least 7, which is the default.

#![allow(clippy::print_stdout, reason = "a program that prints a table")]

mod bare;
mod change;
mod ground;
mod herd;
mod latency;
mod recovery;
mod register;
mod steady;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A group of rows, by the name that chooses it.
type Group = (&'static str, fn() -> Outcome);

fn main() -> Outcome {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let groups: [Group; 6] = [
        ("register", register::run),
        ("latency", latency::run),
        ("steady", steady::run),
        ("recovery", recovery::run),
        ("change", change::run),
        ("herd", herd::run),
    ];
    println!(
        "| what | ours (median) | bare client (median) | ratio: median (lowest to highest of {} rounds) | goal |",
        ground::rounds()
    );
    println!("|---|---|---|---|---|");
    for (name, group) in groups {
        if chosen.is_empty() || chosen.iter().any(|one| one == name) {
            group()?;
        }
    }
    Ok(())
}
