//! The hooks of the suite on Consul.
//!
//! Five are not offered. `raw_put`: an entry without a token is a successor's on Consul (R7), never an unowned one. `compact`: Consul keeps no history of
//! changes. `watches` and `sessions`: an agent does not tell how many queries wait, and knows no sessions. `deny_entry`: a
//! token may write all instances of a service, or none.

use std::sync::Arc;

use async_trait::async_trait;
use registry_conformance::{Access, HandleId, Hook, HookError, Hooks};
use registry_consul::Options;
use registry_core::store::Store as _;
use registry_core::{Info, ServiceName};
use serde_json::{Value, json};

use super::stand::{self, ConsulStand};
use crate::harness::credentials::CredentialFiles;
use crate::harness::link::Link;
use crate::harness::pool::Pool;

/// The hooks of one namespace.
pub(super) struct ConsulHooks {
    pool: Arc<Pool<ConsulStand>>,
    files: CredentialFiles,
    namespace: String,
}

impl ConsulHooks {
    pub(super) fn new(pool: Arc<Pool<ConsulStand>>, files: CredentialFiles, namespace: &str) -> Self {
        Self { pool, files, namespace: namespace.to_owned() }
    }

    async fn stand(&self) -> Result<Arc<ConsulStand>, HookError> {
        Ok(self.pool.stand(&self.namespace).await?)
    }

    async fn link(&self, handle: HandleId) -> Result<Arc<Link>, HookError> {
        Ok(self.stand().await?.link(handle).await?)
    }
}

#[async_trait]
impl Hooks for ConsulHooks {
    fn offered(&self) -> Vec<Hook> {
        vec![
            Hook::RawBytes,
            Hook::RawRemove,
            Hook::RawChange,
            Hook::Expire,
            Hook::Cut,
            Hook::LoseAnswers,
            Hook::DelayWrites,
            Hook::Overtake,
            Hook::Freeze,
            Hook::Kill,
            Hook::Wipe,
            Hook::Deny,
            Hook::BadCredentials,
            Hook::MendCredentials,
            Hook::CountRequests,
        ]
    }

    /// A service without a port whose address and tags are those bytes, as far as JSON has them.
    async fn raw_bytes(&self, service: &ServiceName, name: &str, bytes: &[u8]) -> Result<(), HookError> {
        let text = String::from_utf8_lossy(bytes);
        let definition = json!({
            "ID": format!("{service}:{name}"), "Name": service.as_str(), "Address": text, "Tags": [text],
            "Meta": { "start_time": text.chars().take(512).collect::<String>() },
        });
        Ok(self.stand().await?.server.door().register(&definition).await?)
    }

    async fn raw_remove(&self, info: &Info) -> Result<(), HookError> {
        Ok(self.stand().await?.server.door().deregister(&id(info)?).await?)
    }

    /// The agent keeps the check of a service that is registered again without one.
    async fn raw_change(&self, info: &Info) -> Result<(), HookError> {
        let door = self.stand().await?.server.door();
        let standing = door.service(&id(info)?).await?;
        let standing = standing.ok_or_else(|| HookError(format!("{} does not stand", info.address())))?;
        let mut definition = definition(info)?;
        definition["Meta"]["owner"] = standing["Meta"]["owner"].clone();
        Ok(door.register(&definition).await?)
    }

    /// The agent forgets all that the handle registered, as it does when it reaps it.
    async fn expire(&self, handle: HandleId) -> Result<(), HookError> {
        let owner = self.link(handle).await?.sessions.owner();
        let owner = owner.ok_or_else(|| HookError(format!("handle {} has no session yet", handle.0)))?;
        let door = self.stand().await?.server.door();
        for (id, service) in door.services().await? {
            if service["Meta"]["owner"] == owner.as_str() {
                door.deregister(&id).await?;
            }
        }
        Ok(())
    }

    async fn cut(&self, handle: HandleId) -> Result<(), HookError> {
        self.link(handle).await?.cut();
        Ok(())
    }

    async fn heal(&self, handle: HandleId) -> Result<(), HookError> {
        self.link(handle).await?.heal().await
    }

    async fn lose_answers(&self, handle: HandleId) -> Result<(), HookError> {
        self.link(handle).await?.lose_answers();
        Ok(())
    }

    async fn delay_writes(&self, handle: HandleId) -> Result<(), HookError> {
        self.link(handle).await?.delay_writes();
        Ok(())
    }

    async fn overtake(&self, handle: HandleId) -> Result<(), HookError> {
        self.link(handle).await?.proxy.overtake();
        Ok(())
    }

    async fn freeze(&self) -> Result<(), HookError> {
        Ok(self.stand().await?.server.freeze().await?)
    }

    async fn thaw(&self) -> Result<(), HookError> {
        Ok(self.stand().await?.server.thaw().await?)
    }

    async fn kill(&self) -> Result<(), HookError> {
        Ok(self.stand().await?.server.kill().await?)
    }

    async fn restart(&self) -> Result<(), HookError> {
        Ok(self.stand().await?.server.restart().await?)
    }

    async fn wipe(&self) -> Result<(), HookError> {
        Ok(self.stand().await?.wipe().await?)
    }

    /// Who may not read is shown an empty list; who may write may read. So the token is revoked for want of reading.
    async fn deny(&self, handle: HandleId, access: Access) -> Result<(), HookError> {
        let door = self.stand().await?.server.door();
        match access {
            Access::Read => door.revoke_token(&stand::token(handle.0)).await?,
            Access::Write => door.set_policy(&stand::policy(handle.0), stand::READING).await?,
        }
        Ok(())
    }

    async fn allow(&self, handle: HandleId) -> Result<(), HookError> {
        let door = self.stand().await?.server.door();
        door.set_policy(&stand::policy(handle.0), stand::ALL).await?;
        Ok(stand::allow(&door, handle.0).await?)
    }

    async fn mend_credentials(&self, handle: HandleId) -> Result<(), HookError> {
        Ok(self.files.mend(&self.namespace, handle)?)
    }

    async fn requests(&self, handle: HandleId) -> Result<u64, HookError> {
        Ok(self.link(handle).await?.requests())
    }
}

/// What the adapter registers for `info`, without a check.
fn definition(info: &Info) -> Result<Value, HookError> {
    let client = Options::default().client().map_err(|error| HookError(error.to_string()))?;
    let record = client.encode(info).map_err(|error| HookError(error.to_string()))?;
    serde_json::from_slice(record.value()).map_err(|error| HookError(error.to_string()))
}

fn id(info: &Info) -> Result<String, HookError> {
    Ok(definition(info)?["ID"].as_str().unwrap_or_default().to_owned())
}
