//! The conformance suite run on every adapter, and what belongs to no single crate: servers in containers that a test can kill, freeze and wipe
//! ([`EtcdServer`], [`EtcdCluster`], [`ConsulServer`], [`ConsulCluster`], [`ZooKeeperServer`], [`ZooKeeperEnsemble`]), a TCP proxy that breaks links
//! ([`FaultProxy`]), owners in processes of their own ([`OwnerProcess`]), and
//! the stores' harnesses built of them ([`harness`]).
//!
//! `scripts/test-all.sh` brings up what these need and says so through environment variables ([`environment`]); without them, tests of a
//! store show as ignored.

pub mod environment;
pub mod harness;
pub mod memory;
pub mod page;
pub mod rounds;

mod bench;
mod consul;
mod containers;
mod etcd;
mod eventually;
mod owner_process;
mod owner_scene;
mod proxy;
mod scene;
mod server;
mod standings;
mod trial;
mod wiretap;
mod zookeeper;

pub use self::bench::BenchError;
pub use self::consul::{Answer, Consul, ConsulCluster, ConsulServer, Door as ConsulDoor};
pub use self::containers::{Container, Network, docker};
pub use self::etcd::{Etcd, EtcdCluster, EtcdServer};
pub use self::eventually::{eventually, never};
pub use self::owner_process::OwnerProcess;
pub use self::owner_scene::OwnerScene;
pub use self::proxy::{Counts, Direction, Fault, FaultProxy};
pub use self::scene::Scene;
pub use self::server::{Kind, Server};
pub use self::standings::standings;
pub use self::trial::{Running, trial};
pub use self::wiretap::Wiretap;
pub use self::zookeeper::{Acl, Node, ZooKeeperDoor, ZooKeeperEnsemble, ZooKeeperServer, Zookeeper};

/// The programs of the README, as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[derive(Debug)]
pub struct Readme;
