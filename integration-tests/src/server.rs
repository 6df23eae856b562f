//! Servers that belong to one test.

use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::bench::BenchError;
use crate::containers::{Container, Network, docker};
use crate::environment::Backend;

/// Within what time a server must answer after it was started.
pub(crate) const STARTS: Duration = Duration::from_secs(60);
/// How often a server that starts is asked.
const ASK: Duration = Duration::from_millis(20);
/// How often it is looked whether it has ended instead, which costs more.
const LOOK: Duration = Duration::from_secs(1);
/// How many ports are tried.
const TRIES: u32 = 5;

/// What is peculiar to one store's servers.
pub trait Kind: Send + Sync + 'static {
    /// Which store it is.
    const BACKEND: Backend;

    /// What `docker run` is given to start one of this image, published on this port of the loopback.
    fn run_arguments(image: &str, port: u16) -> Vec<String>;

    /// Whether the one at this address serves reads and writes. Answers within a second or so, whatever the server does.
    fn is_healthy(address: SocketAddr) -> impl Future<Output = bool> + Send;
}

/// One node in a container of its own: killed, frozen or wiped, it disturbs nobody else. Its address stays the same through all that.
///
/// It is started of the image that [`Backend::image`] names, and removed with its data when this is dropped or the process ends.
#[derive(Debug)]
pub struct Server<K> {
    container: Container,
    image: String,
    port: u16,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Server<K> {
    /// Starts one and returns when it answers.
    ///
    /// # Errors
    /// When no image is named or no container can be started.
    pub async fn start() -> Result<Self, BenchError> {
        let image = K::BACKEND.image().map_err(BenchError::new)?;
        let (container, port) =
            run_on_a_free_port(K::BACKEND.name(), None, |port| K::run_arguments(&image, port)).await?;
        let server = Self { container, image, port, kind: PhantomData };
        server.wait_healthy().await?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
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

    /// Freezes it: connections stay, nothing is answered, the clock of its leases and sessions runs on.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn freeze(&self) -> Result<(), BenchError> {
        self.container.freeze().await
    }

    /// Ends [`freeze`](Self::freeze), and returns when it answers.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn thaw(&self) -> Result<(), BenchError> {
        self.container.thaw().await?;
        self.wait_healthy().await
    }

    /// Replaces it by one with empty data, running or not, at the same address, and returns when that answers. What the store calls itself stays
    /// the same, as it does when an operator wipes a node.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn wipe(&self) -> Result<(), BenchError> {
        self.container.replace(K::run_arguments(&self.image, self.port)).await?;
        self.wait_healthy().await
    }

    /// Waits until it serves reads and writes.
    ///
    /// # Errors
    /// When it ends instead, or takes longer than a minute.
    pub async fn wait_healthy(&self) -> Result<(), BenchError> {
        let (container, address) = (&self.container, self.address());
        become_healthy(&[container], K::BACKEND.name(), || K::is_healthy(address)).await
    }
}

/// Waits until these containers' server, or servers, are as `healthy` wants it.
///
/// # Errors
/// When one of them ends instead, or it takes longer than a minute; with the end of its log.
pub(crate) async fn become_healthy<F: Future<Output = bool> + Send>(
    containers: &[&Container],
    name: &str,
    healthy: impl Fn() -> F + Send,
) -> Result<(), BenchError> {
    let began = Instant::now();
    let mut looked = began;
    while !healthy().await {
        tokio::time::sleep(ASK).await;
        if looked.elapsed() < LOOK {
            continue;
        }
        looked = Instant::now();
        let late = began.elapsed() > STARTS;
        for container in containers {
            if late || !container.is_running().await? {
                let log = docker(["logs", "--tail", "20", container.name()]).await?;
                let container = container.name();
                return Err(BenchError::new(format!("{name} in {container} does not become healthy: {log}")));
            }
        }
    }
    Ok(())
}

/// Starts a container that is published on a port of the loopback, and returns both; with a place on this network, if any.
///
/// # Errors
/// When no port is free or the container cannot be started.
pub(crate) async fn run_on_a_free_port(
    name: &str,
    place: Option<(&Network, u8)>,
    arguments: impl Fn(u16) -> Vec<String>,
) -> Result<(Container, u16), BenchError> {
    let mut tries = 0;
    loop {
        let port = free_port()?;
        let name = format!("registry-test-{name}-{}-{port}", std::process::id());
        let run = match place {
            Some(place) => Container::run_on(place, name, arguments(port)).await,
            None => Container::run(name, arguments(port)).await,
        };
        match run {
            Ok(container) => return Ok((container, port)),
            // Somebody else was quicker.
            Err(error) if tries < TRIES && error.to_string().contains("port is already allocated") => tries += 1,
            Err(error) => return Err(error),
        }
    }
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
