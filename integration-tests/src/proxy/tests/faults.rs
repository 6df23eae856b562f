use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use super::{SOON, WHILE, answer, echo, greeted, is_refused, is_reset, next};
use crate::eventually::{eventually, never};
use crate::proxy::{Direction, Fault, FaultProxy};

#[tokio::test]
async fn latency_delays_each_way_and_does_not_add_up() {
    let echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut client = greeted(&proxy).await;
    let latency = Duration::from_millis(60);
    proxy.set(Fault::Latency(Direction::Both, latency));
    let began = Instant::now();
    let mut got = String::new();
    for part in ["one ", "two ", "three ", "four ", "five "] {
        client.write_all(part.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
    }
    while got != "one two three four five " {
        got += &answer(&mut client).await.unwrap();
    }
    let took = began.elapsed();
    assert!(took >= latency * 2, "there and back took {took:?}");
    assert!(took < latency * 8, "five in a row took {took:?}");
}

#[tokio::test]
async fn nothing_passes_a_cut_and_the_connection_is_reset_when_it_is_mended() {
    let mut echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut client = greeted(&proxy).await;
    assert_eq!(next(&mut echo).await, "hello");
    proxy.set(Fault::Lose(Direction::Both));
    client.write_all(b"lost").await.unwrap();
    never(WHILE, "the server gets something through a cut", echo.got.recv()).await;
    never(WHILE, "the client gets something through a cut", answer(&mut client)).await;
    proxy.heal();
    assert!(is_reset(&mut client).await);
    never(WHILE, "a request outlives the cut", echo.got.recv()).await;
}

#[tokio::test]
async fn an_idle_connection_survives_a_cut() {
    let echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut client = greeted(&proxy).await;
    proxy.set(Fault::Lose(Direction::Both));
    proxy.heal();
    client.write_all(b"still here").await.unwrap();
    assert_eq!(answer(&mut client).await.unwrap(), "still here");
}

#[tokio::test]
async fn a_connection_made_during_a_cut_never_reaches_the_server() {
    let mut echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    proxy.set(Fault::Lose(Direction::Both));
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"lost").await.unwrap();
    never(WHILE, "the server gets something through a cut", echo.got.recv()).await;
    proxy.heal();
    assert!(is_reset(&mut client).await);
    never(WHILE, "a request outlives the cut", echo.got.recv()).await;
}

#[tokio::test]
async fn neither_end_sees_the_other_close_through_a_cut() {
    let mut echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let client = greeted(&proxy).await;
    assert_eq!(next(&mut echo).await, "hello");
    proxy.set(Fault::Lose(Direction::Both));
    drop(client);
    never(WHILE, "the server sees the client close", echo.got.recv()).await;
    proxy.heal();
    eventually(SOON, "the connection is gone", async || (proxy.counts().open == 0).then_some(())).await;
}

#[tokio::test]
async fn a_request_whose_answer_is_lost_has_reached_the_server() {
    let mut echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut client = greeted(&proxy).await;
    assert_eq!(next(&mut echo).await, "hello");
    proxy.set(Fault::Lose(Direction::ToClient));
    client.write_all(b"carried out").await.unwrap();
    assert_eq!(next(&mut echo).await, "carried out");
    never(WHILE, "the answer arrives", answer(&mut client)).await;
    proxy.heal();
    assert!(is_reset(&mut client).await);
}

#[tokio::test]
async fn requests_alone_can_be_lost() {
    let mut echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut client = greeted(&proxy).await;
    assert_eq!(next(&mut echo).await, "hello");
    proxy.set(Fault::Lose(Direction::ToServer));
    client.write_all(b"lost").await.unwrap();
    never(WHILE, "the server gets something", echo.got.recv()).await;
}

#[tokio::test]
async fn a_reset_breaks_open_connections_and_new_ones() {
    let echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut client = greeted(&proxy).await;
    proxy.set(Fault::Reset);
    assert!(is_reset(&mut client).await);
    assert!(is_refused(&proxy).await);
    proxy.heal();
    greeted(&proxy).await;
}

#[tokio::test]
async fn connections_can_be_reset_once() {
    let echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut client = greeted(&proxy).await;
    proxy.reset_connections();
    assert!(is_reset(&mut client).await);
    greeted(&proxy).await;
}

#[tokio::test]
async fn accept_and_close_closes_open_connections_and_new_ones() {
    let echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut client = greeted(&proxy).await;
    proxy.set(Fault::AcceptAndClose);
    assert_eq!(answer(&mut client).await.unwrap(), "");
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(answer(&mut client).await.unwrap(), "");
}

#[tokio::test]
async fn a_refused_connection_to_the_server_is_a_reset_for_the_client() {
    // Bound, so that nobody else listens there, and not listening itself.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let proxy = FaultProxy::start(nobody.local_addr().unwrap()).await.unwrap();
    assert!(is_refused(&proxy).await);
    assert_eq!(proxy.counts().refused, 1);
}

#[tokio::test]
async fn new_connections_go_where_the_proxy_was_pointed_to() {
    let (first, mut second) = (echo().await, echo().await);
    let proxy = FaultProxy::start(first.address).await.unwrap();
    let mut old = greeted(&proxy).await;
    proxy.retarget(second.address);
    greeted(&proxy).await;
    assert_eq!(next(&mut second).await, "hello");
    old.write_all(b"still the first").await.unwrap();
    assert_eq!(answer(&mut old).await.unwrap(), "still the first");
}
