//! etcd servers that belong to one test.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bench::{self, BenchError};
use crate::containers::{Container, docker};
use crate::environment::Backend;

/// Within what time a server must answer after it was started.
const STARTS: Duration = Duration::from_secs(60);
/// How long one answer may take.
const ANSWERS: Duration = Duration::from_secs(1);
/// How often a server that starts is asked.
const ASK: Duration = Duration::from_millis(20);
/// How many ports are tried.
const TRIES: u32 = 5;

/// One etcd node in a container of its own: killed, frozen or wiped, it disturbs nobody else. Its address stays the same through all that.
///
/// It starts in about half a second, of the image that [`Backend::image`] names, and is removed with its data when this is dropped
/// or the process ends.
#[derive(Debug)]
pub struct EtcdServer {
    container: Container,
    image: String,
    port: u16,
}

impl EtcdServer {
    /// Starts one and returns when it answers.
    ///
    /// # Errors
    /// When no image is named or no container can be started.
    pub async fn start() -> Result<Self, BenchError> {
        let image = Backend::Etcd.image().map_err(BenchError::new)?;
        let mut tries = 0;
        let (container, port) = loop {
            let port = free_port()?;
            let name = format!("registry-test-etcd-{}-{port}", std::process::id());
            match Container::run(name, run_arguments(&image, port)).await {
                Ok(container) => break (container, port),
                // Somebody else was quicker.
                Err(error) if tries < TRIES && error.to_string().contains("port is already allocated") => tries += 1,
                Err(error) => return Err(error),
            }
        };
        let server = Self { container, image, port };
        server.wait_healthy().await?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The container, for what is not here.
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// SIGKILL. Its data stays.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn kill(&self) -> Result<(), BenchError> {
        self.container.kill().await
    }

    /// Starts it with its data after [`kill`](Self::kill), and returns when it answers.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&self) -> Result<(), BenchError> {
        self.container.start().await?;
        self.wait_healthy().await
    }

    /// SIGSTOP: connections stay, nothing is answered, the clock of its leases runs on.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn freeze(&self) -> Result<(), BenchError> {
        self.container.signal("STOP").await
    }

    /// SIGCONT: ends [`freeze`](Self::freeze), and returns when it answers.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn thaw(&self) -> Result<(), BenchError> {
        self.container.signal("CONT").await?;
        self.wait_healthy().await
    }

    /// Replaces it by one with empty data, running or not, at the same address, and returns when that answers. Its cluster id stays the same, as
    /// it does when an operator wipes a node.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn wipe(&self) -> Result<(), BenchError> {
        self.container.replace(run_arguments(&self.image, self.port)).await?;
        self.wait_healthy().await
    }

    /// Waits until it has a leader and serves reads.
    ///
    /// # Errors
    /// When it ends instead, or takes longer than a minute.
    pub async fn wait_healthy(&self) -> Result<(), BenchError> {
        let began = Instant::now();
        while !is_healthy(self.address()).await {
            if began.elapsed() > STARTS || !self.container.is_running().await? {
                let log = docker(["logs", "--tail", "20", self.container.name()]).await?;
                return Err(BenchError::new(format!("etcd at {} does not become healthy: {log}", self.address())));
            }
            tokio::time::sleep(ASK).await;
        }
        Ok(())
    }
}

/// Whether etcd's health check, which reads through the leader, passes.
async fn is_healthy(address: SocketAddr) -> bool {
    let ask = async move {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let asked = bench::on_bench(async move { tokio::time::timeout(ANSWERS, ask).await }).await;
    matches!(asked, Ok(Ok(answer)) if answer.contains(r#""health":"true""#))
}

fn run_arguments(image: &str, port: u16) -> Vec<String> {
    let publish = format!("127.0.0.1:{port}:2379");
    // Syncing to disk costs time and nothing here survives the machine anyway; SIGKILL loses no written data. Passwords are hashed often.
    let arguments = [
        "--publish",
        &publish,
        "--volume",
        "/etcd-data",
        image,
        "/usr/local/bin/etcd",
        "--name=etcd",
        "--data-dir=/etcd-data",
        "--listen-client-urls=http://0.0.0.0:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--log-level=warn",
        "--unsafe-no-fsync",
        "--bcrypt-cost=4",
    ];
    arguments.map(str::to_owned).to_vec()
}

/// A port that is free, below those that the system gives to outgoing connections: while a server is down, one of these must not take its
/// port, and a client that connects to it again and again must not meet itself.
fn free_port() -> Result<u16, BenchError> {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 10_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes begin at different places.
    let start = std::process::id().wrapping_mul(7919);
    for _ in 0..COUNT {
        let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + number).expect("invariant: at most 29999");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(BenchError::new("no port between 20000 and 29999 is free"))
}
