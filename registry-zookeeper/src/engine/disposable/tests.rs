//! Rule 5, on the client itself: with more requests at once than its queue holds it hangs for good, with as many as we send it does not.
//!
//! Its queue holds 64, pings included, and what empties the queue sends the pings: a ping that is due while the queue is full and everything sent was
//! answered waits for itself. A stalled executor brings the two together.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use futures_util::future::join_all;
use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::transport::IN_FLIGHT;

/// As many callers as find its queue full.
const LIFTED: usize = 200;
/// How many requests each of them sends, one after the other.
const REQUESTS: usize = 5;
/// What the server grants; the client pings after two thirds of it.
const GRANTED: Duration = Duration::from_millis(3);
/// Longer than that.
const STALL: Duration = Duration::from_millis(5);
const STALLS: usize = 5;
/// One in some fifty brings the two together.
const ROUNDS: usize = 200;
/// When calls that were not answered never are: the server answers at once.
const NEVER: Duration = Duration::from_secs(3);

/// A server that grants a session and has no nodes.
fn server() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.accept().and_then(|(stream, _)| serve(stream)));
    address
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    const PING: i32 = 11;
    const NO_NODE: i32 = -101;
    stream.set_nodelay(true)?;
    receive(&mut stream)?;
    let granted = i32::try_from(GRANTED.as_millis()).unwrap();
    let password = [&16_i32.to_be_bytes()[..], &[0; 16]].concat();
    send(&mut stream, &[&0_i32.to_be_bytes(), &granted.to_be_bytes(), &7_i64.to_be_bytes(), &password, &[0]])?;
    loop {
        let request = receive(&mut stream)?;
        let error = if request[4..8] == PING.to_be_bytes() { 0 } else { NO_NODE };
        send(&mut stream, &[&request[..4], &1_i64.to_be_bytes(), &error.to_be_bytes()])?;
    }
}

fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

fn send(stream: &mut TcpStream, parts: &[&[u8]]) -> io::Result<()> {
    let frame = parts.concat();
    stream.write_all(&[&u32::try_from(frame.len()).unwrap().to_be_bytes()[..], &frame].concat())
}

/// The first round in which so many callers at once, on an executor that stalls among them, do not get their answers.
async fn hangs_in(rounds: usize, calls: usize) -> Option<usize> {
    let (events, _told) = unbounded_channel();
    let client = Disposable.connect(server(), Duration::from_secs(10), events).await.unwrap();
    client.exists("/", super::Watch::None).await.unwrap();
    for round in 0..rounds {
        let call = |client: Arc<dyn Connection>| async move {
            for _ in 0..REQUESTS {
                assert_eq!(client.exists("/", super::Watch::None).await, Ok(None));
            }
        };
        let asked = join_all((0..calls).map(|_| tokio::spawn(call(client.clone()))));
        let stall = async {
            for _ in 0..STALLS {
                tokio::task::yield_now().await;
                std::thread::sleep(STALL);
            }
        };
        let Ok((answers, ())) = tokio::time::timeout(NEVER, async { tokio::join!(asked, stall) }).await else {
            return Some(round);
        };
        assert!(answers.iter().all(Result::is_ok));
    }
    None
}

#[tokio::test]
async fn rule_5_with_the_limit_lifted_the_client_hangs() {
    assert!(hangs_in(ROUNDS * 20, LIFTED).await.is_some());
}

#[tokio::test]
async fn rule_5_within_the_limit_the_client_does_not_hang() {
    assert_eq!(hangs_in(ROUNDS, IN_FLIGHT).await, None);
}
