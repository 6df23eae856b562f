use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{SOON, WHILE, answer, echo, greeted, is_reset, next};
use crate::eventually::{eventually, never};
use crate::proxy::{Direction, Fault, FaultProxy};

#[tokio::test]
async fn held_requests_arrive_in_order_when_released() {
    let mut echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut client = greeted(&proxy).await;
    assert_eq!(next(&mut echo).await, "hello");
    proxy.set(Fault::Hold(Direction::ToServer));
    client.write_all(b"late").await.unwrap();
    never(WHILE, "a held request arrives", echo.got.recv()).await;
    proxy.heal();
    assert_eq!(next(&mut echo).await, "late");
    assert_eq!(answer(&mut client).await.unwrap(), "late");
}

#[tokio::test]
async fn a_held_request_arrives_although_its_client_has_left() {
    let mut echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut client = greeted(&proxy).await;
    assert_eq!(next(&mut echo).await, "hello");
    proxy.set(Fault::Hold(Direction::ToServer));
    client.write_all(b"given up").await.unwrap();
    drop(client);
    never(WHILE, "a held request arrives", echo.got.recv()).await;
    proxy.heal();
    assert_eq!(next(&mut echo).await, "given up");
    assert_eq!(next(&mut echo).await, "", "then the client's end");
}

#[tokio::test]
async fn a_held_request_arrives_although_its_client_has_reset_the_connection() {
    let mut echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut client = greeted(&proxy).await;
    assert_eq!(next(&mut echo).await, "hello");
    proxy.set(Fault::Hold(Direction::ToServer));
    client.write_all(b"given up").await.unwrap();
    eventually(SOON, "the proxy has it", async || (proxy.counts().to_server >= 13).then_some(())).await;
    client.set_zero_linger().unwrap();
    drop(client);
    proxy.heal();
    assert_eq!(next(&mut echo).await, "given up");
}

#[tokio::test]
async fn a_held_request_on_a_new_connection_arrives_when_released() {
    let mut echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    proxy.set(Fault::Hold(Direction::ToServer));
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"late").await.unwrap();
    never(WHILE, "a held request arrives", echo.got.recv()).await;
    proxy.heal();
    assert_eq!(next(&mut echo).await, "late");
}

#[tokio::test]
async fn held_answers_arrive_when_released() {
    let mut echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut client = greeted(&proxy).await;
    assert_eq!(next(&mut echo).await, "hello");
    proxy.set(Fault::Hold(Direction::ToClient));
    client.write_all(b"late").await.unwrap();
    assert_eq!(next(&mut echo).await, "late");
    never(WHILE, "a held answer arrives", answer(&mut client)).await;
    proxy.heal();
    assert_eq!(answer(&mut client).await.unwrap(), "late");
}

#[tokio::test]
async fn what_is_held_can_still_be_lost() {
    let mut echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut client = greeted(&proxy).await;
    assert_eq!(next(&mut echo).await, "hello");
    proxy.set(Fault::Hold(Direction::ToServer));
    client.write_all(b"late").await.unwrap();
    eventually(SOON, "the proxy has it", async || (proxy.counts().to_server >= 9).then_some(())).await;
    proxy.set(Fault::Lose(Direction::ToServer));
    never(WHILE, "a lost request arrives", echo.got.recv()).await;
    proxy.heal();
    assert!(is_reset(&mut client).await);
}

#[tokio::test]
async fn a_sender_whose_bytes_are_held_is_stalled_in_the_end() {
    let echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut client = greeted(&proxy).await;
    proxy.set(Fault::Hold(Direction::ToServer));
    let flood = async {
        let block = vec![b'x'; 64 * 1024];
        loop {
            client.write_all(&block).await.unwrap();
        }
    };
    let stalled = async {
        let mut before = 0;
        while before != proxy.counts().to_server || before == 5 {
            before = proxy.counts().to_server;
            tokio::time::timeout(WHILE, std::future::pending::<()>()).await.unwrap_err();
        }
        before
    };
    let held = tokio::select! { held = stalled => held, () = flood => 0 };
    assert!((100_000..2_000_000).contains(&held), "{held} bytes were taken");
}

#[tokio::test]
async fn a_connection_that_passes_carries_megabytes_unchanged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(listener.local_addr().unwrap()).await.unwrap();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let mut got = Vec::new();
    let sending = async {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(sending, server.read_to_end(&mut got));
    read.unwrap();
    assert!(got == sent, "{} bytes of {} arrived, or other ones", got.len(), sent.len());
}

#[tokio::test]
async fn a_new_connection_can_overtake_what_is_held() {
    let mut echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut client = greeted(&proxy).await;
    assert_eq!(next(&mut echo).await, "hello");
    proxy.set(Fault::Hold(Direction::ToServer));
    client.write_all(b"first, arrives last").await.unwrap();
    eventually(SOON, "it is held", async || (proxy.counts().waiting == 1).then_some(())).await;
    proxy.overtake();
    assert_eq!(answer(&mut client).await.unwrap(), "", "the client sees the old connection close");
    drop(client);
    greeted(&proxy).await;
    assert_eq!(next(&mut echo).await, "hello");
    assert_eq!(next(&mut echo).await, "", "the end of the second connection");
    never(WHILE, "a held request arrives", echo.got.recv()).await;
    proxy.heal();
    assert_eq!(next(&mut echo).await, "first, arrives last");
}
