//! Three etcd nodes that belong to one test.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use etcd_client::{Client, StatusResponse};

use super::server::{Etcd, run_arguments};
use crate::bench::{self, BenchError};
use crate::containers::{Container, Network};
use crate::environment::Backend;
use crate::server::{Kind, STARTS, become_healthy, run_on_a_free_port};

/// How many nodes there are.
const MEMBERS: u8 = 3;
/// How long one answer of a node may take. A change of the members waits for the others to be well.
const ANSWERS: Duration = Duration::from_secs(2);
/// How often a change of the members is asked for.
const ASK: Duration = Duration::from_millis(100);

/// Three nodes that form a cluster, each published on loopback. The members talk to each other on a network of their own, so that one can be cut off from the
/// others while clients still reach it.
///
/// Members are named by their place, from 0 on.
#[derive(Debug)]
pub struct EtcdCluster {
    image: String,
    members: Vec<Member>,
    // After the members: a network goes when nobody is on it.
    network: Network,
}

#[derive(Debug)]
struct Member {
    container: Container,
    port: u16,
}

impl EtcdCluster {
    /// Starts three and returns when they have a leader.
    ///
    /// # Errors
    /// When no image is named or a container cannot be started.
    pub async fn start() -> Result<Self, BenchError> {
        let image = Backend::Etcd.image().map_err(BenchError::new)?;
        let mut cluster = Self { image, members: Vec::new(), network: Network::start("etcd").await? };
        for member in 0..usize::from(MEMBERS) {
            let arguments = |port| cluster.arguments(member, port, "new");
            let place = Some((&cluster.network, host(member)));
            let (container, port) = run_on_a_free_port(&name(member), place, arguments).await?;
            cluster.members.push(Member { container, port });
        }
        cluster.wait_whole().await?;
        Ok(cluster)
    }

    /// Where the members listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        (0..self.members.len()).map(|member| self.address(member)).collect()
    }

    /// Where this member listens.
    pub fn address(&self, member: usize) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.members[member].port).into()
    }

    /// The member that leads the others.
    ///
    /// # Errors
    /// When there is none.
    pub async fn leader(&self) -> Result<usize, BenchError> {
        for member in 0..self.members.len() {
            let status = status(self.address(member)).await;
            if status.is_ok_and(|status| status.header().is_some_and(|head| head.member_id() == status.leader())) {
                return Ok(member);
            }
        }
        Err(BenchError::new("the cluster has no leader"))
    }

    /// Whether this member reaches the leader, and so serves what has to be true.
    pub async fn serves(&self, member: usize) -> bool {
        Etcd::is_healthy(self.address(member)).await
    }

    /// SIGKILL. Its data stays.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn kill(&self, member: usize) -> Result<(), BenchError> {
        self.members[member].container.kill().await
    }

    /// Starts it with its data after [`kill`](Self::kill), and returns when all members are together again.
    ///
    /// # Errors
    /// When they do not become so.
    pub async fn restart(&self, member: usize) -> Result<(), BenchError> {
        self.members[member].container.start().await?;
        self.wait_whole().await
    }

    /// Freezes one: connections stay, nothing is answered.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn freeze(&self, member: usize) -> Result<(), BenchError> {
        self.members[member].container.freeze().await
    }

    /// Ends [`freeze`](Self::freeze), and returns when all members are together again.
    ///
    /// # Errors
    /// When they do not become so.
    pub async fn thaw(&self, member: usize) -> Result<(), BenchError> {
        self.members[member].container.thaw().await?;
        self.wait_whole().await
    }

    /// Cuts it off from the other members; clients still reach it.
    ///
    /// # Errors
    /// When it is cut off already.
    pub async fn cut(&self, member: usize) -> Result<(), BenchError> {
        self.network.disconnect(&self.members[member].container).await
    }

    /// Ends [`cut`](Self::cut), and returns when all members are together again.
    ///
    /// # Errors
    /// When they do not become so.
    pub async fn heal(&self, member: usize) -> Result<(), BenchError> {
        self.network.connect(&self.members[member].container, host(member)).await?;
        self.wait_whole().await
    }

    /// Takes it out of the cluster, as an operator does with a node whose disk is lost, empties it, adds it anew and starts it. Returns when all members are
    /// together again.
    ///
    /// # Errors
    /// When they do not become so.
    pub async fn wipe(&self, member: usize) -> Result<(), BenchError> {
        let Member { container, port } = &self.members[member];
        container.recreate(self.arguments(member, *port, "existing")).await?;
        self.network.connect(container, host(member)).await?;
        let (other, peer) = (self.address((member + 1) % self.members.len()), self.peer(member));
        readd(other, peer).await?;
        self.restart(member).await
    }

    /// Waits until all members reach one leader.
    ///
    /// # Errors
    /// When a member ends instead, or it takes longer than a minute.
    pub async fn wait_whole(&self) -> Result<(), BenchError> {
        let containers: Vec<_> = self.members.iter().map(|member| &member.container).collect();
        let addresses = self.addresses();
        let whole = || {
            let addresses = addresses.clone();
            async move {
                for address in addresses {
                    if !Etcd::is_healthy(address).await {
                        return false;
                    }
                }
                true
            }
        };
        become_healthy(&containers, "etcd", whole).await
    }

    fn arguments(&self, member: usize, port: u16, state: &str) -> Vec<String> {
        let all = (0..usize::from(MEMBERS)).map(|member| format!("{}={}", name(member), self.peer(member)));
        let who = [
            format!("--name={}", name(member)),
            "--listen-peer-urls=http://0.0.0.0:2380".to_owned(),
            format!("--initial-advertise-peer-urls={}", self.peer(member)),
            format!("--initial-cluster={}", all.collect::<Vec<_>>().join(",")),
            format!("--initial-cluster-state={state}"),
        ];
        run_arguments(&self.image, port, &who)
    }

    /// Where the other members reach it.
    fn peer(&self, member: usize) -> String {
        format!("http://{}:2380", self.network.address(host(member)))
    }
}

/// Replaces the member of this peer address by a new one, through another member.
async fn readd(other: SocketAddr, peer: String) -> Result<(), BenchError> {
    bench::on_bench(async move {
        let began = Instant::now();
        loop {
            match tokio::time::timeout(ANSWERS, readd_once(other, &peer)).await {
                Ok(Ok(())) => return Ok(()),
                // The others may not be sure of each other yet.
                failed if began.elapsed() > STARTS => {
                    return Err(BenchError::new(format!("{peer} cannot be added anew: {failed:?}")));
                }
                _ => tokio::time::sleep(ASK).await,
            }
        }
    })
    .await
}

async fn readd_once(other: SocketAddr, peer: &str) -> Result<(), etcd_client::Error> {
    let mut client = Client::connect([format!("http://{other}")], None).await?;
    let listed = client.member_list().await?;
    let old = listed.members().iter().find(|member| member.peer_urls().iter().any(|url| url == peer));
    // One without a name was added before and has not started yet.
    if let Some(old) = old.filter(|old| !old.name().is_empty()) {
        client.member_remove(old.id()).await?;
    } else if old.is_some() {
        return Ok(());
    }
    client.member_add([peer], None).await.map(drop)
}

async fn status(address: SocketAddr) -> Result<StatusResponse, BenchError> {
    bench::on_bench(async move {
        let ask = async { Client::connect([format!("http://{address}")], None).await?.status().await };
        match tokio::time::timeout(ANSWERS, ask).await {
            Ok(answered) => answered.map_err(|error| BenchError::new(format!("asking {address}: {error}"))),
            Err(_) => Err(BenchError::new(format!("{address} does not answer within {ANSWERS:?}"))),
        }
    })
    .await
}

fn name(member: usize) -> String {
    format!("etcd-{}", member + 1)
}

/// A member's place on the network: the first addresses belong to the engine.
fn host(member: usize) -> u8 {
    u8::try_from(member).expect("invariant: there are three") + 11
}
