//! One server in a process of its own, for tests that end it by signals.
//!
//! `registry-server DRAIN_MS READY` listens on a free port of the loopback and runs the life cycle on a registry in this process. `READY` is `probe`, or
//! `never` for a server that never says that it accepts. It prints a line for each thing that happens: `listening ADDRESS`, each call of the
//! registry (`register`, `deregister`, `close`), `told to stop`, and at last `ended RESULT`. To each connection it sends `hello`, reads a line, and
//! sends `bye`.

use std::error::Error;
use std::io::Write as _;
use std::time::Duration;

use async_trait::async_trait;
use registry_connect::server::{Server, ServerBasicInfo, Stop};
use registry_connect::{Handle, HandleStatus, Info, RegistrationStatus, Registry, connect};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [drain, ready] = &arguments[..] else { return Err("usage: registry-server DRAIN_MS probe|never".into()) };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut server = Server::new()
        .with_registry(Telling(connect("memory://signals").await?))
        .with_server_basic_info(ServerBasicInfo::new("demo"))
        .with_listener(&listener)
        .with_drain(Duration::from_millis(drain.parse()?));
    if ready == "never" {
        server = server.ready_when(std::future::pending());
    }
    let ended = server.run(async |stop| {
        // The signals are listened to by now.
        tell(&format!("listening {address}"));
        serve(listener, stop).await
    });
    match ended.await {
        Ok(Ok(())) => tell("ended ok"),
        Ok(Err(error)) => tell(&format!("ended with {error}")),
        Err(error) => tell(&format!("ended: {error}")),
    }
    Ok(())
}

/// Accepts until the word to stop, and then lets every connection finish.
async fn serve(listener: TcpListener, mut stop: Stop) -> std::io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => connections.spawn(answer(accepted?.0)),
            () = &mut stop => break,
        };
    }
    tell("told to stop");
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

async fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"hello\n").await?;
    let mut line = String::new();
    if stream.read_line(&mut line).await? > 0 {
        stream.write_all(b"bye\n").await?;
    }
    Ok(())
}

fn tell(what: &str) {
    // Who listened may have gone.
    let _ = writeln!(std::io::stdout(), "{what}");
}

/// A registry that tells of every call.
struct Telling(Handle);

#[async_trait]
impl Registry for Telling {
    async fn register(&self, info: &Info) -> Result<(), registry_connect::Error> {
        self.0.register(info).await?;
        tell("register");
        Ok(())
    }
    async fn deregister(&self, info: &Info) -> Result<(), registry_connect::Error> {
        tell("deregister");
        self.0.deregister(info).await
    }
    fn announce(&self, info: &Info) -> Result<(), registry_connect::Error> {
        tell("announce");
        self.0.announce(info)
    }
    async fn close(&self) -> Result<(), registry_connect::Error> {
        tell("close");
        self.0.close().await
    }
    fn status(&self) -> watch::Receiver<HandleStatus> {
        self.0.status()
    }
    fn registration(&self, info: &Info) -> Option<watch::Receiver<RegistrationStatus>> {
        self.0.registration(info)
    }
    fn registrations(&self) -> Vec<RegistrationStatus> {
        self.0.registrations()
    }
}
