//! One ZooKeeper node, and what a node is asked in four letters.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::door;
use crate::bench::{self, BenchError};
use crate::environment::Backend;
use crate::server::{Kind, Server};

/// How long one answer may take.
const ANSWERS: Duration = Duration::from_secs(1);

/// One ZooKeeper node, which grants sessions from one second on. It starts in about two seconds.
pub type ZooKeeperServer = Server<Zookeeper>;

/// A node of ZooKeeper alone.
#[derive(Debug)]
pub struct Zookeeper;

impl Kind for Zookeeper {
    const BACKEND: Backend = Backend::Zookeeper;

    fn run_arguments(image: &str, port: u16) -> Vec<String> {
        run_arguments(image, port, &[])
    }

    async fn is_healthy(address: SocketAddr) -> bool {
        mode(address).await.is_some_and(|mode| mode == "standalone")
    }
}

impl ZooKeeperServer {
    /// The sessions that live, whether their clients are connected or not.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn sessions(&self) -> Result<Vec<u64>, BenchError> {
        sessions(self.address()).await
    }

    /// The paths that somebody watches, and how many connections do, each.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn watches(&self) -> Result<BTreeMap<String, usize>, BenchError> {
        watches(self.address()).await
    }
}

/// What `docker run` is given to start a node that is published on this port of the loopback.
pub(super) fn run_arguments(image: &str, port: u16, more: &[(&str, &str)]) -> Vec<String> {
    let flags = format!(
        "-Xmx192m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
         -Dzookeeper.DigestAuthenticationProvider.superDigest={}",
        door::SUPER_DIGEST
    );
    let environment = [
        ("ZOO_TICK_TIME", "500"),
        ("ZOO_INIT_LIMIT", "20"),
        ("ZOO_SYNC_LIMIT", "10"),
        ("ZOO_MAX_CLIENT_CNXNS", "0"),
        ("ZOO_ADMINSERVER_ENABLED", "false"),
        ("ZOO_4LW_COMMANDS_WHITELIST", "srvr,cons,dump,wchc"),
        ("ZOO_CFG_EXTRA", "maxSessionTimeout=60000 quorumListenOnAllIPs=true"),
        ("ZOO_LOG_LEVEL", "warn"),
        ("JVMFLAGS", &flags),
    ];
    let publish = format!("127.0.0.1:{port}:2181");
    let mut arguments = vec!["--publish".to_owned(), publish];
    for volume in ["/data", "/datalog", "/logs"] {
        arguments.extend(["--volume".to_owned(), volume.to_owned()]);
    }
    for (name, value) in environment.iter().chain(more) {
        arguments.extend(["--env".to_owned(), format!("{name}={value}")]);
    }
    arguments.push(image.to_owned());
    arguments
}

/// What a node is that serves: `standalone`, `leader` or `follower`.
pub(super) async fn mode(address: SocketAddr) -> Option<String> {
    let answer = four_letters(address, "srvr").await.ok()?;
    answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
}

/// The sessions that this node knows to live. Followers of an ensemble know those of their own clients alone.
pub(super) async fn sessions(address: SocketAddr) -> Result<Vec<u64>, BenchError> {
    // Sessions are listed by when they would expire, below a line `… expire at …:`, and again, with a colon, where they own ephemeral nodes.
    let answer = four_letters(address, "dump").await?;
    Ok(answer.lines().filter_map(|line| session(line.strip_prefix('\t')?)).collect())
}

/// The paths that clients of this node watch, and how many connections do, each.
pub(super) async fn watches(address: SocketAddr) -> Result<BTreeMap<String, usize>, BenchError> {
    // The answer has a line for each session and below it, indented, one for each path.
    let answer = four_letters(address, "wchc").await?;
    let mut watches = BTreeMap::new();
    for path in answer.lines().filter_map(|line| line.strip_prefix('\t')) {
        *watches.entry(path.to_owned()).or_default() += 1;
    }
    Ok(watches)
}

/// The sessions whose clients are connected to this node now.
pub(super) async fn connected(address: SocketAddr) -> Result<Vec<u64>, BenchError> {
    let answer = four_letters(address, "cons").await?;
    let ids = answer.split([',', '(', ')']).filter_map(|word| word.strip_prefix("sid="));
    Ok(ids.filter_map(session).collect())
}

fn session(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim_end().strip_prefix("0x")?, 16).ok()
}

/// Asks a node in one of its four-letter words.
async fn four_letters(address: SocketAddr, word: &'static str) -> Result<String, BenchError> {
    let ask = async move {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(word.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let failed = |why: String| BenchError::new(format!("`{word}` to ZooKeeper at {address}: {why}"));
    match bench::on_bench(async move { tokio::time::timeout(ANSWERS, ask).await }).await {
        Ok(Ok(answer)) if answer.contains("not executed because") => Err(failed(answer)),
        Ok(answer) => answer.map_err(|error| failed(error.to_string())),
        Err(_) => Err(failed(format!("no answer within {ANSWERS:?}"))),
    }
}
