//! What is spent while there is no server: processes of their own whose server dies, and whose time on the processor is read.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use integration_tests::ZooKeeperServer;
use registry_core::{Registry as _, Resolver as _};
use registry_zookeeper::connect;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::Outcome;
use crate::bare::Bare;
use crate::table::{Pair, ROUNDS, highest, row};
use crate::work::{info, options};

const OURS: &str = "play-ours";
const BARE: &str = "play-bare";
const TTL: Duration = Duration::from_secs(10);
/// How many registrations each has.
const INSTANCES: usize = 100;
/// How long each look is.
const WINDOW: Duration = Duration::from_secs(5);
/// What the kernel counts processor time in (`USER_HZ`), which is the same on every Linux.
const TICK: f64 = 0.01;

pub(crate) fn is_role(word: &str) -> bool {
    [OURS, BARE].contains(&word)
}

/// The child process: registers, watches, says so and goes on for ever.
pub(crate) async fn play(role: &str, server: SocketAddr) -> Outcome {
    if role == OURS {
        let handle = connect(options(server, TTL)).await?;
        for place in 0..INSTANCES {
            handle.register(&info("absent", place, 10)).await?;
        }
        let watch = handle.watch(&"absent".try_into()?)?;
        watch.ready(INSTANCES, TTL).await.map_err(|_| "the watch is not ready")?;
        println!("ready");
        std::future::pending::<()>().await;
    }
    let bare = Bare::connect(server, TTL).await?;
    bare.folder("/bare-absent").await?;
    for place in 0..INSTANCES {
        bare.create(&format!("/bare-absent/{place}"), b"{}").await?;
    }
    bare.watch_all("/bare-absent").await?;
    println!("ready");
    std::future::pending().await
}

async fn start(role: &str, server: SocketAddr) -> Outcome<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([role, &server.to_string()]).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let output = child.stdout.take().ok_or("it has no standard output")?;
    let line = BufReader::new(output).lines().next_line().await?;
    (line.as_deref() == Some("ready")).then_some(child).ok_or_else(|| format!("{role} does not begin: {line:?}").into())
}

/// How long a process has run on processors, in seconds: user and system time of `/proc/…/stat`, its threads that ended included.
fn spent(child: &Child) -> Outcome<f64> {
    let id = child.id().ok_or("it has ended")?;
    let text = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The second field is a name in brackets; user and system time are the 14th and the 15th.
    let (_, rest) = text.rsplit_once(')').ok_or("no name in brackets")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(ticks as f64 * TICK)
}

/// The share of a core, in percent, over a number of windows.
async fn shares(ours: &Child, bare: &Child) -> Outcome<Vec<Pair>> {
    let mut pairs = Vec::new();
    for _ in 0..ROUNDS {
        let (start, before) = (Instant::now(), (spent(ours)?, spent(bare)?));
        tokio::time::sleep(WINDOW).await;
        let (after, took) = ((spent(ours)?, spent(bare)?), start.elapsed().as_secs_f64());
        pairs.push(((after.0 - before.0) / took * 100.0, (after.1 - before.1) / took * 100.0));
    }
    Ok(pairs)
}

pub(crate) async fn cpu(server: &ZooKeeperServer) -> Outcome {
    let (ours, bare) = (start(OURS, server.address()).await?, start(BARE, server.address()).await?);
    server.kill().await?;
    let pairs = shares(&ours, &bare).await?;
    let judged = |met: bool| if met { "below 2 %: **met**" } else { "below 2 %: **missed**" };
    row("share of a core while the server is away", "%", &pairs, judged(highest(&pairs) < 2.0));
    // The port is free as long as the server is dead.
    let listener = TcpListener::bind(server.address())?;
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            drop(stream);
        }
    });
    let pairs = shares(&ours, &bare).await?;
    row("share of a core while something accepts and closes", "%", &pairs, judged(highest(&pairs) < 2.0));
    Ok(())
}
