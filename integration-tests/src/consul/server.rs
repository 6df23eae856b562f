//! One Consul server, which is its own agent.

use std::net::SocketAddr;

use super::Door;
use crate::environment::Backend;
use crate::server::{Kind, Server};

/// Who may do everything on the servers of tests. No output may show it.
pub(crate) const ROOT_TOKEN: &str = "5e5a3e00-7c1f-4e52-8a11-0c5f00f1dead";

/// One Consul server with tokens, which refuses whatever no token allows. It starts in about a second and a half.
pub type ConsulServer = Server<Consul>;

/// A server of Consul alone.
#[derive(Debug)]
pub struct Consul;

impl ConsulServer {
    /// Where it listens, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The token of who may do everything, which it knows from its start, also when it was wiped. No output may show it.
    pub fn root_token(&self) -> &'static str {
        ROOT_TOKEN
    }

    /// A way in as root.
    pub fn door(&self) -> Door {
        Door::new(self.address(), Some(ROOT_TOKEN))
    }
}

impl Kind for Consul {
    const BACKEND: Backend = Backend::Consul;

    fn run_arguments(image: &str, port: u16) -> Vec<String> {
        let publish = format!("127.0.0.1:{port}:8500");
        let tokens = format!(
            r#"-hcl=acl {{ enabled = true default_policy = "deny" tokens {{ master = "{ROOT_TOKEN}" agent = "{ROOT_TOKEN}" }} }}"#
        );
        let arguments = [
            "--publish",
            &publish,
            "--volume",
            "/consul/data",
            "--entrypoint",
            "/bin/consul",
            image,
            "agent",
            "-server",
            "-bootstrap-expect=1",
            "-node=consul",
            "-data-dir=/consul/data",
            "-client=0.0.0.0",
            "-log-level=warn",
            // One multiple of the timeouts of Raft, as is recommended for production; all clients come from one address.
            "-hcl=disable_update_check = true performance { raft_multiplier = 1 } limits { http_max_conns_per_client = 10000 }",
            &tokens,
        ];
        arguments.map(str::to_owned).to_vec()
    }

    /// Whether it has a leader that knows the root token, and its own node takes services.
    async fn is_healthy(address: SocketAddr) -> bool {
        Door::new(address, Some(ROOT_TOKEN)).is_healthy().await
    }
}
