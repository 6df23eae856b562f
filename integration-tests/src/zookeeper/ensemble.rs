//! Three ZooKeeper nodes that belong to one test.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use super::server::{self, run_arguments};
use crate::bench::BenchError;
use crate::containers::{Container, Network};
use crate::environment::Backend;
use crate::server::{become_healthy, run_on_a_free_port};

/// How many nodes there are.
const MEMBERS: u8 = 3;

/// Three nodes that form an ensemble, each published on loopback. The members talk to each other on a network of their own, so that one can be cut off
/// from the others while clients still reach it.
///
/// Members are named by their place, from 0 on.
#[derive(Debug)]
pub struct ZooKeeperEnsemble {
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

impl ZooKeeperEnsemble {
    /// Starts three and returns when they have a leader.
    ///
    /// # Errors
    /// When no image is named or a container cannot be started.
    pub async fn start() -> Result<Self, BenchError> {
        let image = Backend::Zookeeper.image().map_err(BenchError::new)?;
        let network = Network::start("zookeeper").await?;
        let mut ensemble = Self { image, members: Vec::new(), network };
        for id in 1..=MEMBERS {
            let name = format!("zookeeper-{id}");
            let place = Some((&ensemble.network, host(id)));
            let (container, port) = run_on_a_free_port(&name, place, |port| ensemble.run_arguments(id, port)).await?;
            ensemble.members.push(Member { container, port });
        }
        ensemble.wait_whole().await?;
        Ok(ensemble)
    }

    /// What `docker run` is given to start this member.
    fn run_arguments(&self, id: u8, port: u16) -> Vec<String> {
        let server = |id| format!("server.{id}={}:2888:3888;2181", self.network.address(host(id)));
        let servers = (1..=MEMBERS).map(server).collect::<Vec<_>>().join(" ");
        run_arguments(&self.image, port, &[("ZOO_MY_ID", &*id.to_string()), ("ZOO_SERVERS", &servers)])
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
            if server::mode(self.address(member)).await.is_some_and(|mode| mode == "leader") {
                return Ok(member);
            }
        }
        Err(BenchError::new("the ensemble has no leader"))
    }

    /// Whether this member leads or follows, and so serves clients.
    pub async fn serves(&self, member: usize) -> bool {
        server::mode(self.address(member)).await.is_some()
    }

    /// The member that the client of this session is connected to.
    ///
    /// # Errors
    /// When there is none.
    pub async fn member_of(&self, session: u64) -> Result<usize, BenchError> {
        for member in 0..self.members.len() {
            let connected = server::connected(self.address(member)).await;
            if connected.is_ok_and(|sessions| sessions.contains(&session)) {
                return Ok(member);
            }
        }
        Err(BenchError::new(format!("no member has a client with session {session:x}")))
    }

    /// SIGKILL. Its data stays.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn kill(&self, member: usize) -> Result<(), BenchError> {
        self.members[member].container.kill().await
    }

    /// SIGKILL to all. Their data stays.
    ///
    /// # Errors
    /// When one is not running.
    pub async fn kill_all(&self) -> Result<(), BenchError> {
        for member in &self.members {
            member.container.kill().await?;
        }
        Ok(())
    }

    /// Starts all with their data after [`kill_all`](Self::kill_all), and returns when they are together again.
    ///
    /// # Errors
    /// When they do not become so.
    pub async fn restart_all(&self) -> Result<(), BenchError> {
        for member in &self.members {
            member.container.start().await?;
        }
        self.wait_whole().await
    }

    /// Freezes all.
    ///
    /// # Errors
    /// When one is not running.
    pub async fn freeze_all(&self) -> Result<(), BenchError> {
        for member in &self.members {
            member.container.freeze().await?;
        }
        Ok(())
    }

    /// Ends [`freeze_all`](Self::freeze_all), and returns when they are together again.
    ///
    /// # Errors
    /// When they do not become so.
    pub async fn thaw_all(&self) -> Result<(), BenchError> {
        for member in &self.members {
            member.container.thaw().await?;
        }
        self.wait_whole().await
    }

    /// Replaces all, running or not, by new ones with empty data at the same addresses, and returns when they are together.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn wipe(&self) -> Result<(), BenchError> {
        // A new one would learn everything from an old one that still runs.
        for member in &self.members {
            if member.container.is_running().await? {
                member.container.kill().await?;
            }
        }
        for (id, member) in (1..).zip(&self.members) {
            let place = (&self.network, host(id));
            member.container.replace_on(place, self.run_arguments(id, member.port)).await?;
        }
        self.wait_whole().await
    }

    /// The sessions that live, whether their clients are connected or not.
    ///
    /// # Errors
    /// When there is no leader, who knows them.
    pub async fn sessions(&self) -> Result<Vec<u64>, BenchError> {
        server::sessions(self.address(self.leader().await?)).await
    }

    /// The paths that somebody watches, and how many connections do, each.
    ///
    /// # Errors
    /// When a member does not answer.
    pub async fn watches(&self) -> Result<BTreeMap<String, usize>, BenchError> {
        let mut all = BTreeMap::new();
        for address in self.addresses() {
            for (path, count) in server::watches(address).await? {
                *all.entry(path).or_default() += count;
            }
        }
        Ok(all)
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
        let id = u8::try_from(member + 1).expect("invariant: there are three");
        self.network.connect(&self.members[member].container, host(id)).await?;
        self.wait_whole().await
    }

    /// Waits until one leads and the others follow.
    ///
    /// # Errors
    /// When a member ends instead, or it takes longer than a minute.
    pub async fn wait_whole(&self) -> Result<(), BenchError> {
        let containers: Vec<_> = self.members.iter().map(|member| &member.container).collect();
        let addresses = self.addresses();
        let whole = || {
            let addresses = addresses.clone();
            async move {
                let mut leaders = 0;
                for address in addresses {
                    match server::mode(address).await.as_deref() {
                        Some("leader") => leaders += 1,
                        Some("follower") => {}
                        _ => return false,
                    }
                }
                leaders == 1
            }
        };
        become_healthy(&containers, "ZooKeeper", whole).await
    }
}

/// A member's place on the network: the first addresses belong to the engine.
fn host(id: u8) -> u8 {
    id + 10
}
