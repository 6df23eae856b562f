//! Containers through the `docker` command, which every machine with an engine has; a call takes about 25 ms.

use std::io;
use std::net::Ipv4Addr;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::bench::{self, BenchError};
use crate::environment;

/// What a call may take. Pulling is not among them: `scripts/backends.sh` does that.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs `docker` with these arguments and returns what it prints.
///
/// # Errors
/// When it is not there, fails, or takes longer than a minute.
pub async fn docker<S: Into<String>>(arguments: impl IntoIterator<Item = S>) -> Result<String, BenchError> {
    let arguments: Vec<String> = arguments.into_iter().map(Into::into).collect();
    let shown = format!("docker {}", arguments.join(" "));
    let mut command = Command::new("docker");
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    // The child is waited for by the bench's runtime, not by one that a test may keep busy.
    let run = async move { tokio::time::timeout(LIMIT, command.output()).await };
    match bench::on_bench(run).await {
        Ok(output) => printed(&shown, output),
        Err(_) => Err(BenchError::new(format!("`{shown}` takes longer than {LIMIT:?}"))),
    }
}

fn printed(shown: &str, output: io::Result<Output>) -> Result<String, BenchError> {
    let output = output.map_err(|error| BenchError::new(format!("`{shown}`: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(BenchError::new(format!("`{shown}` failed: {}", reason.trim())))
}

/// A container of this test alone, with its data. It is removed when this is dropped, or when the process ends, however it ends.
#[derive(Debug)]
pub struct Container {
    name: String,
    /// Removes the container when its standard input ends.
    _remover: Child,
}

impl Container {
    /// Starts one; `arguments` are those of `docker run` from the options on.
    ///
    /// # Errors
    /// When `docker run` fails: the image is not here, or a port is taken.
    pub async fn run<S: Into<String>>(
        name: impl Into<String>,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Self, BenchError> {
        let container = Self::named(name).await?;
        container.make(&["run", "--detach"], arguments).await?;
        Ok(container)
    }

    /// The same, with a place on this network from its first moment on, besides the engine's own network: what it says to others there is not lost.
    ///
    /// # Errors
    /// As [`run`](Self::run), and when the place is taken.
    pub async fn run_on<S: Into<String>>(
        place: (&Network, u8),
        name: impl Into<String>,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Self, BenchError> {
        let container = Self::named(name).await?;
        container.make(&["create"], arguments).await?;
        place.0.connect(&container, place.1).await?;
        container.start().await?;
        Ok(container)
    }

    /// By which `docker` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Removes the container with its data and starts a new one of the same name.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn replace<S: Into<String>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<(), BenchError> {
        docker(["rm", "--force", "--volumes", &self.name]).await?;
        self.make(&["run", "--detach"], arguments).await
    }

    /// The same, with a place on this network from its first moment on.
    ///
    /// # Errors
    /// As [`run_on`](Self::run_on).
    pub async fn replace_on<S: Into<String>>(
        &self,
        place: (&Network, u8),
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<(), BenchError> {
        self.recreate(arguments).await?;
        place.0.connect(self, place.1).await?;
        self.start().await
    }

    /// Removes the container with its data and makes a new one of the same name, which [`start`](Self::start) starts: it can be connected to
    /// networks before that.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn recreate<S: Into<String>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<(), BenchError> {
        docker(["rm", "--force", "--volumes", &self.name]).await?;
        self.make(&["create"], arguments).await
    }

    /// SIGKILL. Connections break; the data stays.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn kill(&self) -> Result<(), BenchError> {
        self.signal("KILL").await
    }

    /// Sends its first process a signal, such as `TERM` or `KILL`.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn signal(&self, signal: &str) -> Result<(), BenchError> {
        docker(["kill", "--signal", signal, &self.name]).await.map(drop)
    }

    /// Starts it again after it was killed or stopped, with its data and on its ports.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(&self) -> Result<(), BenchError> {
        docker(["start", &self.name]).await.map(drop)
    }

    /// Stops it with SIGTERM, and with SIGKILL a second later, and starts it again.
    ///
    /// # Errors
    /// When it cannot be restarted.
    pub async fn restart(&self) -> Result<(), BenchError> {
        docker(["restart", "--time", "1", &self.name]).await.map(drop)
    }

    /// Freezes all its processes: connections stay, nothing is answered, clocks run on. When this returns, the last of their threads has stopped;
    /// after SIGSTOP they run on for as long as the one that gets it is not scheduled.
    ///
    /// # Errors
    /// When it is not running, or is frozen already.
    pub async fn freeze(&self) -> Result<(), BenchError> {
        docker(["pause", &self.name]).await.map(drop)
    }

    /// Ends [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// When it is not frozen.
    pub async fn thaw(&self) -> Result<(), BenchError> {
        docker(["unpause", &self.name]).await.map(drop)
    }

    /// Whether its first process runs, frozen or not.
    ///
    /// # Errors
    /// When there is no such container.
    pub async fn is_running(&self) -> Result<bool, BenchError> {
        Ok(docker(["inspect", "--format", "{{.State.Running}}", &self.name]).await? == "true")
    }

    /// Runs a command inside and returns what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub async fn exec<'a>(&'a self, command: impl IntoIterator<Item = &'a str>) -> Result<String, BenchError> {
        docker(["exec", &self.name].into_iter().chain(command)).await
    }

    /// Nothing yet but the name, and who removes what will bear it.
    async fn named(name: impl Into<String>) -> Result<Self, BenchError> {
        let name = name.into();
        let remover = remover("read -r _; exec docker rm --force --volumes \"$0\"", name.clone()).await?;
        Ok(Self { name, _remover: remover })
    }

    async fn make<S: Into<String>>(
        &self,
        command: &[&str],
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<(), BenchError> {
        let head = ["--pull", "never", "--label", "registry-test", "--name", &self.name];
        let head = command.iter().copied().chain(head).map(str::to_owned);
        let security = environment::security_opt().into_iter().flat_map(|option| ["--security-opt".to_owned(), option]);
        docker(head.chain(security).chain(arguments.into_iter().map(Into::into))).await.map(drop)
    }
}

/// A network of this test alone, that leads nowhere else. It is removed when this is dropped, or when the process ends, however it ends.
#[derive(Debug)]
pub struct Network {
    name: String,
    /// The first three bytes of its addresses.
    prefix: [u8; 3],
    /// Removes the network when its standard input ends.
    _remover: Child,
}

impl Network {
    /// Makes one; `purpose` is a part of its name.
    ///
    /// # Errors
    /// When no addresses are free.
    pub async fn start(purpose: &str) -> Result<Self, BenchError> {
        const TRIES: u32 = 20;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut last = None;
        for _ in 0..TRIES {
            // Processes begin at different places.
            let number = std::process::id().wrapping_mul(31).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let [low, high, ..] = number.to_le_bytes();
            let (name, prefix) =
                (format!("registry-test-{purpose}-{}-{high}-{low}", std::process::id()), [10, high, low]);
            let subnet = format!("{}.{}.{}.0/24", prefix[0], prefix[1], prefix[2]);
            let create = ["network", "create", "--internal", "--label", "registry-test", "--subnet", &subnet, &name];
            match docker(create).await {
                Ok(_) => {
                    // Its containers go at the same moment, and it can only go after them.
                    let script = "read -r _; for _ in $(seq 100); do docker network rm \"$0\" && exit; sleep 0.1; done";
                    let remover = remover(script, name.clone()).await?;
                    return Ok(Self { name, prefix, _remover: remover });
                }
                // Somebody else has these addresses.
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("invariant: it was tried"))
    }

    /// An address on it. Hosts below 10 may belong to the engine.
    pub fn address(&self, host: u8) -> Ipv4Addr {
        let [first, second, third] = self.prefix;
        Ipv4Addr::new(first, second, third, host)
    }

    /// Connects a container, running or not, which then has this address.
    ///
    /// # Errors
    /// When it is connected, or the address is taken.
    pub async fn connect(&self, container: &Container, host: u8) -> Result<(), BenchError> {
        let address = self.address(host).to_string();
        docker(["network", "connect", "--ip", &address, &self.name, container.name()]).await.map(drop)
    }

    /// Ends [`connect`](Self::connect): what was on its way is lost.
    ///
    /// # Errors
    /// When it is not connected.
    pub async fn disconnect(&self, container: &Container) -> Result<(), BenchError> {
        docker(["network", "disconnect", &self.name, container.name()]).await.map(drop)
    }
}

/// A child that waits for the end of its standard input, which comes when this process drops it or ends in whatever way, and then removes
/// what is named `$0` in the script. A group of its own keeps a Ctrl-C away from it.
async fn remover(script: &'static str, name: String) -> Result<Child, BenchError> {
    let spawned = bench::on_bench(async move {
        let mut command = Command::new("sh");
        command.args(["-c", script, &name]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        command.spawn()
    });
    spawned.await.map_err(|error| BenchError::new(format!("`sh`: {error}")))
}
