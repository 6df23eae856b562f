//! An owner in a process of its own, to be frozen and killed.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use registry_core::Info;
use registry_core::store::unix_millis;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::bench::{self, BenchError};

/// The program `registry-owner` at work: it keeps one instance registered and prints a line at each change of its status.
///
/// Dropping this kills it.
#[derive(Debug)]
pub struct OwnerProcess {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl OwnerProcess {
    /// Starts one that announces `service` at `address` on the store that `url` names.
    ///
    /// # Errors
    /// When the program cannot be started: `cargo build -p integration-tests --bins` makes it.
    pub async fn start(url: &str, service: &str, address: &str) -> Result<Self, BenchError> {
        Self::spawn(vec![url.to_owned(), service.to_owned(), address.to_owned()]).await
    }

    /// Starts one that announces this instance, field by field, on the store that `url` names.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn announcing(url: &str, info: &Info) -> Result<Self, BenchError> {
        let mut arguments = vec![url.to_owned(), info.service().to_string(), info.address().as_str().to_owned()];
        arguments.push(format!("weight={}", info.weight()));
        arguments.push(format!("payload_codec={}", info.payload_codec()));
        arguments.push(format!("warm_up={}", info.warm_up().as_millis()));
        arguments.extend(info.start_time().map(|start| format!("start_time={}", unix_millis(start))));
        arguments.extend(info.tags().iter().map(|(key, value)| format!("tag.{key}={value}")));
        Self::spawn(arguments).await
    }

    async fn spawn(arguments: Vec<String>) -> Result<Self, BenchError> {
        let mut command = Command::new(program()?);
        // In a group of its own a frozen owner is ended by the system when the test has died without a word.
        command.args(arguments).kill_on_drop(true).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let spawned = bench::on_bench(async move { command.spawn() }).await;
        let mut child = spawned.map_err(|error| BenchError::new(format!("registry-owner: {error}")))?;
        let (input, output) = child.stdin.take().zip(child.stdout.take()).expect("invariant: both are piped");
        Ok(Self { child, input, lines: BufReader::new(output).lines() })
    }

    /// Waits for a line that contains this, and returns it. Lines that went before are gone.
    ///
    /// # Errors
    /// When there is none in time; the lines that came instead are in the error.
    pub async fn line_with(&mut self, part: &str, within: Duration) -> Result<String, BenchError> {
        let mut others = Vec::new();
        let looking = async {
            while let Ok(Some(line)) = self.lines.next_line().await {
                if line.contains(part) {
                    return Some(line);
                }
                others.push(line);
            }
            None
        };
        let found = tokio::time::timeout(within, looking).await.ok().flatten();
        found.ok_or_else(|| {
            BenchError::new(format!("registry-owner prints no line with `{part}` within {within:?}, but {others:?}"))
        })
    }

    /// SIGSTOP: it does nothing any more, its connections stay.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn freeze(&self) -> Result<(), BenchError> {
        self.signal("STOP").await
    }

    /// SIGCONT: ends [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// When it has ended.
    pub async fn thaw(&self) -> Result<(), BenchError> {
        self.signal("CONT").await
    }

    /// SIGKILL: the crash of an owner, frozen or not. Returns when it is gone.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn kill(mut self) -> Result<(), BenchError> {
        let killed = bench::on_bench(async move { self.child.kill().await }).await;
        killed.map_err(|error| BenchError::new(format!("registry-owner: {error}")))
    }

    /// Has it close its handle and end by itself.
    ///
    /// # Errors
    /// When `close` failed there, or it does not end in time.
    pub async fn close(mut self, within: Duration) -> Result<(), BenchError> {
        let ending = async move {
            self.input.write_all(b"close\n").await?;
            self.child.wait().await
        };
        match bench::on_bench(async move { tokio::time::timeout(within, ending).await }).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            ended => Err(BenchError::new(format!("registry-owner does not close within {within:?}: {ended:?}"))),
        }
    }

    /// There is no safe call for it in the standard library, and the command is everywhere.
    async fn signal(&self, signal: &str) -> Result<(), BenchError> {
        let id = self.child.id().ok_or_else(|| BenchError::new("registry-owner has ended"))?;
        let (flag, id) = (format!("-{signal}"), id.to_string());
        let status = bench::on_bench(async move { Command::new("kill").args([flag, id]).status().await }).await;
        match status {
            Ok(status) if status.success() => Ok(()),
            failed => Err(BenchError::new(format!("kill -{signal}: {failed:?}"))),
        }
    }
}

/// Beside the test's own program, or one folder up: tests are in `deps`.
fn program() -> Result<PathBuf, BenchError> {
    let own = std::env::current_exe().map_err(|error| BenchError::new(error.to_string()))?;
    let mut candidates = own.ancestors().skip(1).take(2).map(|folder| folder.join("registry-owner"));
    let found = candidates.find(|path| path.is_file());
    found.ok_or_else(|| BenchError::new("registry-owner is not built: cargo build -p integration-tests --bins"))
}
