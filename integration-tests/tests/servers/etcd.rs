//! etcd servers of one's own.

use std::net::TcpStream;
use std::time::Duration;

use etcd_client::Client;
use integration_tests::{EtcdServer, docker, eventually, never};

use crate::{Outcome, tests};

tests![Etcd:
    a_killed_server_refuses_connections_and_comes_back_with_its_data_at_its_address,
    a_frozen_server_keeps_connections_and_answers_nothing_until_it_thaws,
    a_wiped_server_is_empty_at_the_same_address,
    two_servers_know_nothing_of_each_other,
    a_server_is_removed_when_it_is_dropped,
];

const SOON: Duration = Duration::from_secs(20);

async fn client(server: &EtcdServer) -> Result<Client, etcd_client::Error> {
    Client::connect([server.url()], None).await
}

async fn value(server: &EtcdServer) -> Result<Option<String>, etcd_client::Error> {
    let answer = client(server).await?.get("key", None).await?;
    answer.kvs().first().map(|pair| pair.value_str().map(str::to_owned)).transpose()
}

async fn a_killed_server_refuses_connections_and_comes_back_with_its_data_at_its_address() -> Outcome {
    let server = EtcdServer::start().await?;
    client(&server).await?.put("key", "value", None).await?;
    server.kill().await?;
    eventually(SOON, "connections are refused", async || TcpStream::connect(server.address()).err()).await;
    assert!(!server.container().is_running().await?);
    server.restart().await?;
    assert_eq!(value(&server).await?.as_deref(), Some("value"));
    Ok(())
}

async fn a_frozen_server_keeps_connections_and_answers_nothing_until_it_thaws() -> Outcome {
    let server = EtcdServer::start().await?;
    let mut client = client(&server).await?;
    client.put("key", "value", None).await?;
    server.freeze().await?;
    never(Duration::from_millis(300), "a frozen server answers", client.get("key", None)).await;
    assert!(server.container().is_running().await?);
    server.thaw().await?;
    assert_eq!(client.get("key", None).await?.kvs().len(), 1);
    Ok(())
}

async fn a_wiped_server_is_empty_at_the_same_address() -> Outcome {
    let server = EtcdServer::start().await?;
    let before = server.address();
    client(&server).await?.put("key", "value", None).await?;
    server.wipe().await?;
    assert_eq!((server.address(), value(&server).await?), (before, None));
    Ok(())
}

async fn two_servers_know_nothing_of_each_other() -> Outcome {
    let (one, other) = (EtcdServer::start().await?, EtcdServer::start().await?);
    client(&one).await?.put("key", "value", None).await?;
    one.freeze().await?;
    assert_eq!(value(&other).await?, None);
    Ok(())
}

async fn a_server_is_removed_when_it_is_dropped() -> Outcome {
    let server = EtcdServer::start().await?;
    let name = server.container().name().to_owned();
    drop(server);
    let listed = async || docker(["ps", "--all", "--quiet", "--filter", &format!("name=^{name}$")]).await;
    eventually(SOON, "it is gone", async || listed().await.ok().filter(String::is_empty)).await;
    Ok(())
}
