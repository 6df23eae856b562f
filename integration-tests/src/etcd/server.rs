//! One etcd node, and how nodes are started and asked.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bench;
use crate::environment::Backend;
use crate::server::{Kind, Server};

/// How long one answer may take.
const ANSWERS: Duration = Duration::from_secs(1);

/// One etcd node. It starts in about half a second; a wiped one has the same cluster id.
pub type EtcdServer = Server<Etcd>;

/// A node of etcd alone.
#[derive(Debug)]
pub struct Etcd;

impl EtcdServer {
    /// Where it listens, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }
}

impl Kind for Etcd {
    const BACKEND: Backend = Backend::Etcd;

    fn run_arguments(image: &str, port: u16) -> Vec<String> {
        run_arguments(image, port, &["--name=etcd".to_owned()])
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
}

/// What `docker run` is given to start a node that is published on this port; `who` it is are options of etcd.
pub(super) fn run_arguments(image: &str, port: u16, who: &[String]) -> Vec<String> {
    let publish = format!("127.0.0.1:{port}:2379");
    // Passwords are hashed often.
    let arguments = [
        "--publish",
        &publish,
        "--volume",
        "/etcd-data",
        image,
        "/usr/local/bin/etcd",
        "--data-dir=/etcd-data",
        "--listen-client-urls=http://0.0.0.0:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--log-level=warn",
        "--bcrypt-cost=4",
    ];
    arguments.into_iter().map(str::to_owned).chain(who.iter().cloned()).collect()
}
