use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{SOON, answer, echo, greeted, next};
use crate::eventually::eventually;
use crate::proxy::{Counts, Direction, Fault, FaultProxy};

#[tokio::test]
async fn connections_and_bytes_are_counted() {
    let echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let first = greeted(&proxy).await;
    let _second = greeted(&proxy).await;
    let expected = Counts { accepted: 2, refused: 0, open: 2, to_server: 10, to_client: 10, waiting: 0, messages: 0 };
    eventually(SOON, "both are counted", async || (proxy.counts() == expected).then_some(())).await;
    drop(first);
    let expected = Counts { open: 1, ..expected };
    eventually(SOON, "one connection less", async || (proxy.counts() == expected).then_some(())).await;
}

#[tokio::test]
async fn several_proxies_in_front_of_one_server_have_faults_and_counts_of_their_own() {
    let echo = echo().await;
    let cut = FaultProxy::start(echo.address).await.unwrap();
    let whole = FaultProxy::start(echo.address).await.unwrap();
    cut.set(Fault::Lose(Direction::Both));
    greeted(&whole).await;
    assert_eq!((cut.counts().accepted, whole.counts().accepted), (0, 1));
}

#[tokio::test]
async fn a_secret_is_found_also_when_it_is_cut_in_two() {
    let mut echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    proxy.look_for("open sesame");
    proxy.look_for("hellol");
    let mut client = greeted(&proxy).await;
    assert_eq!(next(&mut echo).await, "hello");
    assert_eq!(proxy.found(), [""; 0], "answer and request are read apart");
    client.write_all(b"now open ses").await.unwrap();
    assert_eq!(next(&mut echo).await, "now open ses");
    client.write_all(b"ame please").await.unwrap();
    assert_eq!(next(&mut echo).await, "ame please");
    assert_eq!(proxy.found(), ["open sesame"]);
}

#[tokio::test]
async fn lost_bytes_are_searched_too() {
    let echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    proxy.look_for("open sesame");
    let mut client = greeted(&proxy).await;
    proxy.set(Fault::Lose(Direction::Both));
    client.write_all(b"open sesame").await.unwrap();
    eventually(SOON, "the secret is found", async || (proxy.found() == ["open sesame"]).then_some(())).await;
}

#[tokio::test]
async fn messages_of_http2_are_counted_however_they_are_cut() {
    let echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    for (kind, payload) in [(4, 0), (1, 20), (0, 300), (0, 0), (6, 8), (0, 1)] {
        bytes.extend([0, (payload >> 8) as u8, payload as u8, kind, 0, 0, 0, 0, 1]);
        bytes.extend(vec![0; payload]);
    }
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    for part in bytes.chunks(7) {
        client.write_all(part).await.unwrap();
        answer(&mut client).await.unwrap();
    }
    assert_eq!(proxy.counts().messages, 2, "data frames with a payload");
}

#[tokio::test]
async fn requests_to_zookeeper_are_counted_without_pings() {
    let echo = echo().await;
    let proxy = FaultProxy::start(echo.address).await.unwrap();
    let mut bytes = Vec::new();
    for (number, kind, rest) in [(0, 0, 37), (1, 4, 20), (-2, 11, 0), (2, -11, 0), (-2, 11, 0)] {
        bytes.extend(i32::to_be_bytes(8 + rest));
        bytes.extend(i32::to_be_bytes(number));
        bytes.extend(i32::to_be_bytes(kind));
        bytes.extend(vec![0; rest as usize]);
    }
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    for part in bytes.chunks(7) {
        client.write_all(part).await.unwrap();
        answer(&mut client).await.unwrap();
    }
    assert_eq!(proxy.counts().messages, 3, "the session's begin and end, and a read");
}
