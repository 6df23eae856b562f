//! Handles on one or several ZooKeeper servers, and who holds what.

use std::net::SocketAddr;
use std::time::Duration;

use integration_tests::{Scene, ZooKeeperDoor};
use registry_conformance::Timing;
use registry_core::Info;
use registry_zookeeper::{Options, connect};

pub(crate) type Failure = Box<dyn std::error::Error>;

pub(crate) fn timing() -> Result<Timing, String> {
    Timing::from_environment(Duration::from_secs(4))
}

/// Where the entry stands.
pub(crate) fn path(info: &Info) -> String {
    format!("/{}/{}", info.service(), info.address())
}

/// Options for the servers at these addresses, with the suite's timings.
pub(crate) fn options(addresses: &[SocketAddr], timing: &Timing) -> Options {
    let hosts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    Options::new(hosts.join(",")).with_handle(timing.options())
}

/// An owner that is given some servers, and a watcher that is given others.
pub(crate) async fn scene(owner: &[SocketAddr], watcher: &[SocketAddr]) -> Result<Scene, Failure> {
    let timing = timing()?;
    let (owner, watcher) = (connect(options(owner, &timing)).await?, connect(options(watcher, &timing)).await?);
    Scene::open(timing, owner, watcher).await
}

/// The session that an entry hangs on.
pub(crate) async fn holder(server: SocketAddr, info: &Info) -> Result<Option<u64>, Failure> {
    let mut door = ZooKeeperDoor::open(server).await?;
    let owner = door.get(&path(info)).await?.and_then(|node| node.owner);
    door.close().await?;
    Ok(owner)
}
