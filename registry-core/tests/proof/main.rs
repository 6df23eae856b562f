//! The proof of keeper and watcher: every fault that a store can show, in paused time, against a simulated store.
//!
//! | file | holds |
//! |---|---|
//! | `world` | the store's side: entries, sessions, and the whole history of both |
//! | `faults` | the way of a handle to the world, where each request meets its fault |
//! | `profiles` | core's store operations over a world: like etcd, like `ZooKeeper`, like Consul |
//! | `sim` | one run: a world, its handles, what their users called and what their watches delivered |
//! | `scenarios` | what users do in the exhaustive schedules |
//! | `invariants` | what must be true of a run, clause by clause |
//! | `exhaustive` | every fault at every request of every scenario |
//! | `leaks` | what is left of a handle that was closed or dropped |
//! | `random` | seeded random schedules |

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a proof tells how many schedules it ran, and a replay its trace; a poisoned lock fails it"
)]

mod exhaustive;
mod faults;
mod invariants;
mod leaks;
mod profiles;
mod random;
mod runtime;
mod scenarios;
mod sim;
mod world;
