//! A process that closes its handle and ends.

use std::time::Duration;

use integration_tests::{Direction, Fault, FaultProxy, OwnerProcess, Scene, ZooKeeperDoor, ZooKeeperServer};

use crate::scene::{path, timing};
use crate::{Outcome, tests};

tests![a_close_right_before_the_process_ends_is_carried_out];

async fn a_close_right_before_the_process_ends_is_carried_out() -> Outcome {
    let (server, timing) = (ZooKeeperServer::start().await?, timing()?);
    for number in 0..10 {
        let (proxy, info) = (FaultProxy::start(server.address()).await?, Scene::info(number));
        let url = format!("zookeeper://{}?ttl={}ms", proxy.address(), timing.ttl().as_millis());
        let mut owner = OwnerProcess::announcing(&url, &info).await?;
        owner.line_with(" registered", timing.recovery()).await?;
        let mut door = ZooKeeperDoor::open(server.address()).await?;
        let session = door.get(&path(&info)).await?.and_then(|node| node.owner).ok_or("it is not registered")?;
        // What the client sends arrives after it has ended, if it does not wait for an answer.
        proxy.set(Fault::Latency(Direction::ToServer, Duration::from_millis(300)));
        owner.close(timing.call_ends() + Duration::from_secs(2)).await?;
        assert_eq!(door.get(&path(&info)).await?, None, "time {number}: the entry stands after the process has ended");
        assert!(!server.sessions().await?.contains(&session), "time {number}: its session lives");
        door.close().await?;
    }
    Ok(())
}
