//! ZooKeeper servers of one's own, and the way into them.

use std::net::TcpStream;
use std::time::Duration;

use integration_tests::{Acl, ZooKeeperDoor, ZooKeeperEnsemble, ZooKeeperServer, eventually, never};

use crate::{Outcome, tests};

tests![Zookeeper:
    a_killed_server_comes_back_with_its_data_at_its_address,
    a_frozen_server_answers_nothing_until_it_thaws,
    a_wiped_server_is_empty_at_the_same_address,
    a_session_that_is_expired_takes_its_nodes_with_it,
    a_session_is_known_until_it_is_closed,
    a_node_is_replaced_changed_and_removed,
    what_nobody_may_do_the_door_may,
    an_ensemble_keeps_its_data_without_one_member,
    an_ensemble_chooses_another_leader_when_one_is_cut_off,
];

const SOON: Duration = Duration::from_secs(30);

async fn a_killed_server_comes_back_with_its_data_at_its_address() -> Outcome {
    let server = ZooKeeperServer::start().await?;
    ZooKeeperDoor::open(server.address()).await?.create("/key", b"value", Acl::OPEN).await?;
    server.kill().await?;
    eventually(SOON, "connections are refused", async || TcpStream::connect(server.address()).err()).await;
    server.restart().await?;
    let node = ZooKeeperDoor::open(server.address()).await?.get("/key").await?;
    assert_eq!(node.map(|node| (node.data, node.owner)), Some((b"value".to_vec(), None)));
    Ok(())
}

async fn a_frozen_server_answers_nothing_until_it_thaws() -> Outcome {
    let server = ZooKeeperServer::start().await?;
    server.freeze().await?;
    never(Duration::from_millis(300), "a frozen server answers", ZooKeeperDoor::open(server.address())).await;
    server.thaw().await?;
    assert_eq!(ZooKeeperDoor::open(server.address()).await?.children("/").await?, ["zookeeper"]);
    Ok(())
}

async fn a_wiped_server_is_empty_at_the_same_address() -> Outcome {
    let server = ZooKeeperServer::start().await?;
    let before = server.address();
    ZooKeeperDoor::open(before).await?.create("/key", b"value", Acl::OPEN).await?;
    server.wipe().await?;
    assert_eq!(server.address(), before);
    assert_eq!(ZooKeeperDoor::open(before).await?.get("/key").await?, None);
    Ok(())
}

async fn a_session_that_is_expired_takes_its_nodes_with_it() -> Outcome {
    let server = ZooKeeperServer::start().await?;
    let (mut owner, mut other) =
        (ZooKeeperDoor::open(server.address()).await?, ZooKeeperDoor::open(server.address()).await?);
    assert!(owner.create_ephemeral("/key", b"value").await?);
    assert_eq!(other.get("/key").await?.and_then(|node| node.owner), Some(owner.session()));
    assert!(ZooKeeperDoor::expire(server.address(), owner.session()).await?);
    assert_eq!(other.get("/key").await?, None);
    assert!(owner.get("/key").await.is_err(), "the connection of an expired session ends");
    assert!(!ZooKeeperDoor::expire(server.address(), owner.session()).await?, "it is gone already");
    Ok(())
}

async fn a_session_is_known_until_it_is_closed() -> Outcome {
    let server = ZooKeeperServer::start().await?;
    let door = ZooKeeperDoor::open(server.address()).await?;
    assert_eq!(server.sessions().await?, [door.session()]);
    door.close().await?;
    assert!(server.sessions().await?.is_empty());
    assert!(server.watches().await?.is_empty());
    Ok(())
}

async fn a_node_is_replaced_changed_and_removed() -> Outcome {
    let server = ZooKeeperServer::start().await?;
    let mut door = ZooKeeperDoor::open(server.address()).await?;
    door.create_parents("/a/b/key").await?;
    assert!(door.create_ephemeral("/a/b/key", b"first").await?);
    door.replace("/a/b/key", b"second", Acl::OPEN).await?;
    assert!(door.set("/a/b/key", b"third").await?);
    let node = door.get("/a/b/key").await?;
    assert_eq!(node.map(|node| (node.data, node.version, node.owner)), Some((b"third".to_vec(), 1, None)));
    assert_eq!(door.tree("/a").await?, ["/a", "/a/b", "/a/b/key"]);
    assert!(door.delete("/a/b/key").await?);
    assert!(!door.delete("/a/b/key").await?);
    assert!(!door.set("/a/b/key", b"").await?);
    Ok(())
}

async fn what_nobody_may_do_the_door_may() -> Outcome {
    let server = ZooKeeperServer::start().await?;
    let mut door = ZooKeeperDoor::open(server.address()).await?;
    assert!(door.create("/key", b"", Acl::NOBODY).await?);
    assert!(door.set("/key", b"value").await?);
    assert!(door.set_acl("/key", Acl::OPEN).await?);
    Ok(())
}

async fn an_ensemble_keeps_its_data_without_one_member() -> Outcome {
    let ensemble = ZooKeeperEnsemble::start().await?;
    let leader = ensemble.leader().await?;
    let other = (leader + 1) % 3;
    let mut door = ZooKeeperDoor::open(ensemble.address(other)).await?;
    assert_eq!(ensemble.member_of(door.session()).await?, other);
    door.create("/key", b"value", Acl::OPEN).await?;
    ensemble.freeze((leader + 2) % 3).await?;
    assert!(door.set("/key", b"changed").await?);
    ensemble.thaw((leader + 2) % 3).await?;
    ensemble.kill(leader).await?;
    ensemble.restart(leader).await?;
    let node = ZooKeeperDoor::open(ensemble.address(leader)).await?.get("/key").await?;
    assert_eq!(node.map(|node| node.data), Some(b"changed".to_vec()));
    Ok(())
}

async fn an_ensemble_chooses_another_leader_when_one_is_cut_off() -> Outcome {
    let ensemble = ZooKeeperEnsemble::start().await?;
    let before = ensemble.leader().await?;
    ensemble.cut(before).await?;
    let another = async || ensemble.leader().await.ok().filter(|leader| *leader != before);
    let leader = eventually(SOON, "another member leads", another).await;
    assert!(ZooKeeperDoor::open(ensemble.address(leader)).await?.create("/key", b"value", Acl::OPEN).await?);
    ensemble.heal(before).await?;
    let node = ZooKeeperDoor::open(ensemble.address(before)).await?.get("/key").await?;
    assert_eq!(node.map(|node| node.data), Some(b"value".to_vec()));
    Ok(())
}
