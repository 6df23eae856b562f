//! The proof of keeper and watcher: every fault that a store can show, in paused time, against a simulated store.
//!
//! | file | holds |
//! |---|---|
//! | `world` | the store's side: entries, sessions, and the whole history of both |
//! | `faults` | the way of a handle to the world, where each request meets its fault |
//! | `profiles` | core's store operations over a world, like etcd, like `ZooKeeper`, like Consul |

mod faults;
mod profiles;
mod world;
