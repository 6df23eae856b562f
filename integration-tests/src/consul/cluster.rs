//! Three Consul servers and a client agent that belong to one test.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::json;

use super::Door;
use crate::bench::BenchError;
use crate::containers::{Container, Network};
use crate::environment::Backend;
use crate::server::{become_healthy, run_on_a_free_port};

/// How many servers there are.
const SERVERS: u8 = 3;
/// The agent's place on the network; servers are at 11 and above.
const AGENT: u8 = 20;
/// The agent's node, by which servers know it. One that is wiped keeps it, as in production: servers refuse a new id under an old name until they
/// have noticed that the old node is dead.
const AGENT_ID: &str = "7c1f0e52-0000-4000-8000-0000000000a9";
/// What the test registers itself, to learn whether the agent's word reaches the servers.
const PROBE: &str = "probe";

/// Three servers without tokens, and the agent of the machine that registers. They talk to each other on a network of their own; each is published on
/// loopback.
///
/// Servers are named by their place, from 0 on.
#[derive(Debug)]
pub struct ConsulCluster {
    servers: Vec<Node>,
    agent: Node,
    image: String,
    // After the nodes: a network goes when nobody is on it.
    network: Network,
}

#[derive(Debug)]
struct Node {
    container: Container,
    port: u16,
}

impl Node {
    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn door(&self) -> Door {
        Door::new(self.address(), None)
    }
}

impl ConsulCluster {
    /// Starts all four, and returns when what is registered at the agent is found at a server.
    ///
    /// # Errors
    /// When no image is named or a container cannot be started.
    pub async fn start() -> Result<Self, BenchError> {
        let image = Backend::Consul.image().map_err(BenchError::new)?;
        let network = Network::start("consul").await?;
        let mut servers = Vec::new();
        for number in 1..=SERVERS {
            servers.push(run(&network, &format!("consul-{number}"), host(number), &image).await?);
        }
        let agent = run(&network, "consul-agent", AGENT, &image).await?;
        let cluster = Self { servers, agent, image, network };
        cluster.wait_whole().await?;
        Ok(cluster)
    }

    /// Where the client agent listens.
    pub fn agent(&self) -> SocketAddr {
        self.agent.address()
    }

    /// The server that leads the others.
    ///
    /// # Errors
    /// When there is none.
    pub async fn leader(&self) -> Result<usize, BenchError> {
        for (number, server) in (1..=SERVERS).zip(&self.servers) {
            let leader = server.door().get("/v1/status/leader").await?.body;
            let own = format!("{}:", self.network.address(host(number)));
            if leader.as_str().is_some_and(|leader| leader.starts_with(&own)) {
                return Ok(usize::from(number - 1));
            }
        }
        Err(BenchError::new("the servers have no leader"))
    }

    /// SIGKILL. Its data stays.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn kill_server(&self, server: usize) -> Result<(), BenchError> {
        self.servers[server].container.kill().await
    }

    /// Starts it with its data after [`kill_server`](Self::kill_server), and returns when all are together again.
    ///
    /// # Errors
    /// When they do not become so.
    pub async fn restart_server(&self, server: usize) -> Result<(), BenchError> {
        self.servers[server].container.start().await?;
        self.wait_whole().await
    }

    /// Freezes a server: connections stay, nothing is answered.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn freeze_server(&self, server: usize) -> Result<(), BenchError> {
        self.servers[server].container.freeze().await
    }

    /// Ends [`freeze_server`](Self::freeze_server), and returns when all are together again.
    ///
    /// # Errors
    /// When they do not become so.
    pub async fn thaw_server(&self, server: usize) -> Result<(), BenchError> {
        self.servers[server].container.thaw().await?;
        self.wait_whole().await
    }

    /// SIGKILL to the client agent. Its data stays: what was registered at it.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn kill_agent(&self) -> Result<(), BenchError> {
        self.agent.container.kill().await
    }

    /// Starts the agent with its data after [`kill_agent`](Self::kill_agent).
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn restart_agent(&self) -> Result<(), BenchError> {
        self.agent.container.start().await
    }

    /// Replaces the agent by one that knows nothing, at the same address, with the same node.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn wipe_agent(&self) -> Result<(), BenchError> {
        let arguments = run_arguments(&self.network, AGENT, &self.image, self.agent.port);
        self.agent.container.replace_on((&self.network, AGENT), arguments).await
    }

    /// Cuts the agent off from the servers; clients still reach it.
    ///
    /// # Errors
    /// When it is cut off already.
    pub async fn cut_agent(&self) -> Result<(), BenchError> {
        self.network.disconnect(&self.agent.container).await
    }

    /// Ends [`cut_agent`](Self::cut_agent).
    ///
    /// # Errors
    /// When it is not cut off.
    pub async fn heal_agent(&self) -> Result<(), BenchError> {
        self.network.connect(&self.agent.container, AGENT).await
    }

    /// Whether a server has the agent's node in the catalogue as one that lives.
    pub async fn knows_agent(&self) -> bool {
        let asked = self.servers[0].door().get("/v1/health/node/agent?stale").await;
        let passes = |check: &serde_json::Value| check["CheckID"] == "serfHealth" && check["Status"] == "passing";
        asked.is_ok_and(|answer| answer.body.as_array().is_some_and(|checks| checks.iter().any(passes)))
    }

    /// Whether the agent has something done by the servers now: an independent client's write that a quorum has taken.
    pub async fn takes_writes(&self) -> bool {
        let written = self.agent.door().put("/v1/kv/probe", Some(&json!("written"))).await;
        written.is_ok_and(|answer| answer.body == json!(true))
    }

    /// Waits until the agent takes services and the servers learn of them, and take it for alive: an independent client's registration is found at a server.
    ///
    /// # Errors
    /// When a container ends instead, or it takes longer than a minute.
    pub async fn wait_registering(&self) -> Result<(), BenchError> {
        let containers = [&self.agent.container];
        // Another each time, so that no earlier one is taken for it.
        let tag = format!("{:x}", fastrand::u64(..));
        let (agent, server) = (self.agent.door(), self.servers[0].door());
        let probe = json!({ "ID": PROBE, "Name": PROBE, "Address": "10.0.0.9", "Port": 9, "Tags": [tag] });
        let registered = || async {
            if agent.register(&probe).await.is_err() || !self.knows_agent().await {
                return false;
            }
            let found = server.get(&format!("/v1/catalog/service/{PROBE}?consistent")).await;
            found.is_ok_and(|answer| {
                answer.body.as_array().is_some_and(|all| all.iter().any(|one| one["ServiceTags"] == json!([tag])))
            })
        };
        become_healthy(&containers, "the Consul agent", registered).await?;
        agent.deregister(PROBE).await
    }

    /// Waits until every server follows the same leader, and the agent registers.
    ///
    /// # Errors
    /// As [`wait_registering`](Self::wait_registering).
    pub async fn wait_whole(&self) -> Result<(), BenchError> {
        let containers: Vec<_> = self.servers.iter().map(|server| &server.container).collect();
        let together = || async {
            let mut leaders = Vec::new();
            for server in &self.servers {
                let Ok(answer) = server.door().get("/v1/status/leader").await else { return false };
                leaders.push(answer.body);
            }
            leaders[0].as_str().is_some_and(|leader| !leader.is_empty()) && leaders.iter().all(|one| *one == leaders[0])
        };
        become_healthy(&containers, "Consul", together).await?;
        self.wait_registering().await
    }
}

async fn run(network: &Network, name: &str, place: u8, image: &str) -> Result<Node, BenchError> {
    let arguments = |port| run_arguments(network, place, image, port);
    let (container, port) = run_on_a_free_port(name, Some((network, place)), arguments).await?;
    Ok(Node { container, port })
}

/// What `docker run` is given to start a node at this place of the network, published on this port of the loopback.
fn run_arguments(network: &Network, place: u8, image: &str, port: u16) -> Vec<String> {
    let publish = format!("127.0.0.1:{port}:8500");
    let advertise = format!("-advertise={}", network.address(place));
    let head = ["--publish", &publish, "--volume", "/consul/data", "--entrypoint", "/bin/consul", image, "agent"];
    let own = [
        "-data-dir=/consul/data",
        "-client=0.0.0.0",
        // It has an address on the engine's own network, too.
        "-bind=0.0.0.0",
        &advertise,
        "-log-level=warn",
        "-retry-interval=1s",
        "-hcl=disable_update_check = true performance { raft_multiplier = 1 } limits { http_max_conns_per_client = 10000 }",
    ];
    let mut arguments: Vec<String> = head.into_iter().chain(own).map(str::to_owned).collect();
    arguments.extend((1..=SERVERS).map(|number| format!("-retry-join={}", network.address(host(number)))));
    if place == AGENT {
        arguments.extend(["-node=agent".to_owned(), format!("-node-id={AGENT_ID}")]);
    } else {
        arguments.extend([
            format!("-node=server-{place}"),
            "-server".to_owned(),
            format!("-bootstrap-expect={SERVERS}"),
        ]);
    }
    arguments
}

/// A server's place on the network: the first addresses belong to the engine.
fn host(number: u8) -> u8 {
    number + 10
}
