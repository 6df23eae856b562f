//! Every fault on ZooKeeper. It forgets no history, because it keeps none: a watch fires once and what follows is read.

use std::sync::Arc;

use async_trait::async_trait;
use registry_conformance::{Access, HandleId, Hook, HookError, Hooks};
use registry_core::store::SessionId;
use registry_core::{Info, ServiceName};

use super::stand::ZooKeeperStand;
use super::{access, encode, stand};
use crate::bench::BenchError;
use crate::harness::credentials::CredentialFiles;
use crate::harness::link::Link;
use crate::harness::pool::Pool;
use crate::zookeeper::Acl;

/// The hooks of one namespace.
pub(super) struct ZooKeeperHooks {
    pool: Arc<Pool<ZooKeeperStand>>,
    files: CredentialFiles,
    namespace: String,
}

impl ZooKeeperHooks {
    pub(super) fn new(pool: Arc<Pool<ZooKeeperStand>>, files: CredentialFiles, namespace: &str) -> Self {
        Self { pool, files, namespace: namespace.to_owned() }
    }

    async fn stand(&self) -> Result<Arc<ZooKeeperStand>, HookError> {
        Ok(stand(&self.pool, &self.namespace).await?)
    }

    async fn link(&self, handle: HandleId) -> Result<Arc<Link>, HookError> {
        Ok(self.stand().await?.link(handle).await?)
    }

    /// Puts a persistent node there, whatever stood there before.
    async fn replace(&self, path: String, data: Vec<u8>, acl: Acl) -> Result<(), HookError> {
        let stand = self.stand().await?;
        let replace = stand.through_the_door(move |door| {
            Box::pin(async move {
                door.create_parents(&path).await?;
                door.replace(&path, &data, acl).await
            })
        });
        Ok(replace.await?)
    }
}

#[async_trait]
impl Hooks for ZooKeeperHooks {
    fn offered(&self) -> Vec<Hook> {
        vec![
            Hook::RawPut,
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
            Hook::DenyEntry,
            Hook::BadCredentials,
            Hook::MendCredentials,
            Hook::CountWatches,
            Hook::CountSessions,
            Hook::CountRequests,
        ]
    }

    async fn raw_put(&self, info: &Info) -> Result<(), HookError> {
        let (path, data) = encode(&self.namespace, info)?;
        self.replace(path, data, Acl::OPEN).await
    }

    async fn raw_bytes(&self, service: &ServiceName, name: &str, bytes: &[u8]) -> Result<(), HookError> {
        self.replace(format!("/{}/{service}/{name}", self.namespace), bytes.to_vec(), Acl::OPEN).await
    }

    async fn raw_remove(&self, info: &Info) -> Result<(), HookError> {
        let (path, _) = encode(&self.namespace, info)?;
        let stand = self.stand().await?;
        let delete = stand.through_the_door(move |door| Box::pin(async move { door.delete(&path).await }));
        Ok(delete.await.map(drop)?)
    }

    async fn raw_change(&self, info: &Info) -> Result<(), HookError> {
        let (path, data) = encode(&self.namespace, info)?;
        let stand = self.stand().await?;
        let set = stand.through_the_door(move |door| {
            Box::pin(async move {
                let missing = || BenchError::new(format!("nothing stands at {path} to be changed"));
                if door.set(&path, &data).await? { Ok(()) } else { Err(missing()) }
            })
        });
        Ok(set.await?)
    }

    async fn expire(&self, handle: HandleId) -> Result<(), HookError> {
        let session = self.link(handle).await?.sessions.last();
        let session = session.ok_or_else(|| HookError(format!("handle {} has no session yet", handle.0)))?;
        Ok(self.stand().await?.expire(session.0).await?)
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

    async fn deny(&self, _: HandleId, access: Access) -> Result<(), HookError> {
        let namespace = self.namespace.clone();
        let stand = self.stand().await?;
        let deny =
            stand.through_the_door(move |door| Box::pin(async move { access::deny(door, &namespace, access).await }));
        Ok(deny.await?)
    }

    async fn allow(&self, _: HandleId) -> Result<(), HookError> {
        let namespace = self.namespace.clone();
        let stand = self.stand().await?;
        let allow = stand.through_the_door(move |door| Box::pin(async move { access::allow(door, &namespace).await }));
        Ok(allow.await?)
    }

    async fn deny_entry(&self, info: &Info) -> Result<(), HookError> {
        let (path, _) = encode(&self.namespace, info)?;
        // A node of ours stays when the owner's session ends; nobody may read it, write it or set its rights.
        self.replace(path, Vec::new(), Acl::NOBODY).await
    }

    async fn allow_entry(&self, info: &Info) -> Result<(), HookError> {
        self.raw_remove(info).await
    }

    /// One for each service and connection: the watches of a service's children. Its entries are watched, too, each with a watch of its own,
    /// which end with that one.
    async fn mend_credentials(&self, handle: HandleId) -> Result<(), HookError> {
        Ok(self.files.mend(&self.namespace, handle)?)
    }

    async fn watches(&self) -> Result<usize, HookError> {
        let watches = self.stand().await?.server.watches().await?;
        let of_a_service = |path: &str| path.strip_prefix('/').is_some_and(|rest| rest.matches('/').count() == 1);
        Ok(watches.iter().filter(|(path, _)| of_a_service(path)).map(|(_, count)| count).sum())
    }

    async fn sessions(&self) -> Result<usize, HookError> {
        // Of the handles alone: one that confirms the end of another is told to end itself, and not waited for.
        let stand = self.stand().await?;
        let living = stand.server.sessions().await?;
        Ok(living.iter().filter(|session| stand.is_of_a_handle(SessionId(**session))).count())
    }

    async fn requests(&self, handle: HandleId) -> Result<u64, HookError> {
        Ok(self.link(handle).await?.requests())
    }
}
