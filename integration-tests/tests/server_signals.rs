//! What signals do to a server in a process of its own (clause S4).
#![cfg(unix)]

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::path::Path;
    use std::process::{ExitStatus, Stdio};
    use std::time::{Duration, Instant};

    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
    use tokio::net::TcpStream;
    use tokio::process::{Child, ChildStdout, Command};

    const SOON: Duration = Duration::from_secs(20);

    struct Process {
        child: Child,
        lines: Lines<BufReader<ChildStdout>>,
        address: SocketAddr,
    }

    impl Process {
        async fn start(drain: Duration, ready: &str) -> Self {
            let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_registry-server")));
            command.args([drain.as_millis().to_string().as_str(), ready]);
            let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let first = tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
            let address = first.strip_prefix("listening ").map(|address| address.parse().unwrap());
            Self { child, lines, address: address.unwrap_or_else(|| SocketAddr::from(([0; 4], 0))) }
        }

        async fn line(&mut self) -> String {
            let line = tokio::time::timeout(SOON, self.lines.next_line()).await.expect("a line in time");
            line.unwrap().unwrap_or_else(|| "(the end)".to_owned())
        }

        async fn expect(&mut self, lines: &[&str]) {
            for expected in lines {
                assert_eq!(self.line().await, *expected);
            }
        }

        async fn signal(&self, name: &str) {
            let id = self.child.id().expect("it lives").to_string();
            assert!(Command::new("kill").args([format!("-{name}"), id]).status().await.unwrap().success());
        }

        async fn end(mut self) -> ExitStatus {
            tokio::time::timeout(SOON, self.child.wait()).await.expect("it ends in time").unwrap()
        }
    }

    async fn connected(address: SocketAddr) -> BufReader<TcpStream> {
        let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        assert_eq!(line, "hello\n");
        stream
    }

    #[tokio::test]
    async fn each_signal_withdraws_drains_and_lets_requests_finish() {
        for signal in ["TERM", "INT"] {
            let drain = Duration::from_millis(300);
            let mut server = Process::start(drain, "probe").await;
            server.expect(&["register"]).await;
            let mut request = connected(server.address).await;
            let began = Instant::now();
            server.signal(signal).await;
            server.expect(&["deregister"]).await;
            // A client that has not heard of it yet.
            let late = connected(server.address).await;
            server.expect(&["told to stop"]).await;
            assert!(began.elapsed() >= drain, "told to stop {:?} after SIG{signal}", began.elapsed());
            drop(late);
            request.write_all(b"please finish\n").await.unwrap();
            let mut answer = String::new();
            request.read_line(&mut answer).await.unwrap();
            assert_eq!(answer, "bye\n", "a request that was under way is answered");
            server.expect(&["close", "ended ok"]).await;
            assert!(server.end().await.success());
        }
    }

    #[tokio::test]
    async fn a_second_signal_ends_it_at_once() {
        let mut server = Process::start(Duration::from_secs(600), "probe").await;
        server.expect(&["register"]).await;
        server.signal("TERM").await;
        server.expect(&["deregister"]).await;
        server.signal("INT").await;
        server.expect(&["ended: a second signal ended the shutdown"]).await;
        server.end().await;
    }

    #[tokio::test]
    async fn a_signal_before_the_first_register_deregisters_nothing() {
        let mut server = Process::start(Duration::from_secs(600), "never").await;
        server.signal("TERM").await;
        server.expect(&["told to stop", "close", "ended ok"]).await;
        server.end().await;
    }

    #[tokio::test]
    async fn an_unusable_environment_is_told_by_its_name() {
        let refusals = [("KITEX_PORT_TO_REGISTRY", "http"), ("KITEX_IP_TO_REGISTRY", "0.0.0.0")];
        for (name, value) in refusals {
            let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_registry-server")));
            let output = command.args(["0", "probe"]).env(name, value).output().await.unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.starts_with(&format!("ended: {name}: ")), "{text}");
        }
    }
}
