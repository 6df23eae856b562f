//! One server of one case, and the links to it.

use std::sync::Arc;

use async_trait::async_trait;
use registry_conformance::HandleId;

use crate::bench::BenchError;
use crate::consul::{ConsulServer, Door};
use crate::harness::link::{Link, Links};
use crate::harness::pool::Stand;

/// How many handles have their tokens from the start, so that they can be opened while the server is away.
pub(super) const TOKENS_AT_ONCE: u32 = 8;

/// What a handle may do: everything with services, and what its agent wants to be asked.
pub(super) const ALL: &str =
    r#"service_prefix "" { policy = "write" } node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }"#;

/// The same without writing.
pub(super) const READING: &str =
    r#"service_prefix "" { policy = "read" } node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }"#;

/// The token of a handle.
pub(super) fn token(handle: u32) -> String {
    format!("7c1f0e52-0000-4000-8000-{handle:012x}")
}

/// The name of the policy of a handle.
pub(super) fn policy(handle: u32) -> String {
    format!("handle-{handle}")
}

/// A server with tokens, and a proxy for each handle.
pub(super) struct ConsulStand {
    pub(super) server: ConsulServer,
    links: Links,
}

impl ConsulStand {
    /// The link of a handle, whose token is then known to the server. It may be broken before the handle opens.
    pub(super) async fn link(&self, handle: HandleId) -> Result<Arc<Link>, BenchError> {
        if let Some(link) = self.links.of(handle) {
            return Ok(link);
        }
        if handle.0 >= TOKENS_AT_ONCE {
            enter(&self.server.door(), handle.0).await?;
        }
        self.links.add(handle, self.server.address()).await
    }

    /// The handles that there are or can be opened without the server.
    pub(super) fn handles(&self) -> Vec<u32> {
        let known = self.links.handles().into_iter().map(|handle| handle.0);
        (0..TOKENS_AT_ONCE).chain(known.filter(|number| *number >= TOKENS_AT_ONCE)).collect()
    }

    /// Empties the store. No client gets to it before it has its tokens again.
    pub(super) async fn wipe(&self) -> Result<(), BenchError> {
        let barred = self.links.bar();
        self.server.wipe().await?;
        for handle in self.handles() {
            enter(&self.server.door(), handle).await?;
        }
        Links::restore(barred);
        Ok(())
    }
}

#[async_trait]
impl Stand for ConsulStand {
    async fn start() -> Result<Self, BenchError> {
        let server = ConsulServer::start().await?;
        for handle in 0..TOKENS_AT_ONCE {
            enter(&server.door(), handle).await?;
        }
        Ok(Self { server, links: Links::default() })
    }

    async fn clean(&self) -> Result<(), BenchError> {
        let handles = self.handles();
        self.links.clear();
        let door = self.server.door();
        for (id, service) in door.services().await? {
            if service["Service"] != "consul" {
                door.deregister(&id).await?;
            }
        }
        for handle in handles {
            door.set_policy(&policy(handle), ALL).await?;
            allow(&door, handle).await?;
        }
        Ok(())
    }
}

/// Gives the token of a handle back, if it was revoked.
pub(super) async fn allow(door: &Door, handle: u32) -> Result<(), BenchError> {
    let known = door.get(&format!("/v1/acl/token/{}", token(handle))).await?;
    if known.status == 200 { Ok(()) } else { door.add_token(&token(handle), &policy(handle)).await }
}

/// A token for a handle, which may do everything.
async fn enter(door: &Door, handle: u32) -> Result<(), BenchError> {
    door.set_policy(&policy(handle), ALL).await?;
    allow(door, handle).await
}
