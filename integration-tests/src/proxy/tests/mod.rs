//! Each fault, on an open connection and on a new one, against servers of a few lines.

mod counting;
mod faults;
mod holding;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::FaultProxy;

/// More than enough for what happens on one machine.
const SOON: Duration = Duration::from_secs(5);
/// Long enough for what would happen at once.
const WHILE: Duration = Duration::from_millis(100);

/// A server that sends back what it gets, and tells what it got.
struct Echo {
    address: SocketAddr,
    got: mpsc::UnboundedReceiver<String>,
}

async fn echo() -> Echo {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, got) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, sender.clone()));
        }
    });
    Echo { address, got }
}

async fn serve(mut stream: TcpStream, tell: mpsc::UnboundedSender<String>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        let _ = tell.send(String::from_utf8_lossy(&buffer[..count]).into_owned());
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}

/// A client behind the proxy, whose connection has carried `hello` both ways.
async fn greeted(proxy: &FaultProxy) -> TcpStream {
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    assert_eq!(answer(&mut client).await.unwrap(), "hello");
    client
}

/// The next that comes; empty when the other side has closed.
async fn answer(client: &mut TcpStream) -> io::Result<String> {
    let mut buffer = [0; 4096];
    let count = tokio::time::timeout(SOON, client.read(&mut buffer)).await.expect("an answer or an end")?;
    Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
}

async fn is_reset(client: &mut TcpStream) -> bool {
    answer(client).await.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

/// Whether a new connection is reset, be it before or after the client learns that it was accepted.
async fn is_refused(proxy: &FaultProxy) -> bool {
    match TcpStream::connect(proxy.address()).await {
        Ok(mut client) => is_reset(&mut client).await,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

/// The next that the server got.
async fn next(echo: &mut Echo) -> String {
    tokio::time::timeout(SOON, echo.got.recv()).await.expect("the server gets something").unwrap()
}
