//! Every hook of the suite, on etcd.

use std::sync::Arc;

use async_trait::async_trait;
use etcd_client::Permission;
use registry_conformance::{Access, HandleId, Hook, HookError, Hooks};
use registry_core::{Info, ServiceName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::encode;
use super::stand::EtcdStand;
use crate::bench;
use crate::harness::credentials::CredentialFiles;
use crate::harness::link::Link;
use crate::harness::pool::Pool;

/// The hooks of one namespace.
pub(super) struct EtcdHooks {
    pool: Arc<Pool<EtcdStand>>,
    files: CredentialFiles,
    namespace: String,
}

impl EtcdHooks {
    pub(super) fn new(pool: Arc<Pool<EtcdStand>>, files: CredentialFiles, namespace: &str) -> Self {
        Self { pool, files, namespace: namespace.to_owned() }
    }

    async fn stand(&self) -> Result<Arc<EtcdStand>, HookError> {
        Ok(self.pool.stand(&self.namespace).await?)
    }

    async fn link(&self, handle: HandleId) -> Result<Arc<Link>, HookError> {
        Ok(self.stand().await?.link(handle).await?)
    }

    async fn put(&self, key: String, value: Vec<u8>, keep_lease: bool) -> Result<(), HookError> {
        let stand = self.stand().await?;
        let put = stand.through_the_door(move |mut door| async move { door.put(&key, &value, keep_lease).await });
        Ok(put.await?)
    }

    async fn grant(&self, handle: HandleId, permission: Permission) -> Result<(), HookError> {
        let stand = self.stand().await?;
        let grant = stand.through_the_door(move |mut door| async move { door.grant(handle.0, permission).await });
        Ok(grant.await?)
    }
}

#[async_trait]
impl Hooks for EtcdHooks {
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
            Hook::Compact,
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
        let (key, value) = encode(&self.namespace, info)?;
        self.put(key, value, false).await
    }

    async fn raw_bytes(&self, service: &ServiceName, name: &str, bytes: &[u8]) -> Result<(), HookError> {
        self.put(format!("{}/{service}/{name}", self.namespace), bytes.to_vec(), false).await
    }

    async fn raw_remove(&self, info: &Info) -> Result<(), HookError> {
        let (key, _) = encode(&self.namespace, info)?;
        let stand = self.stand().await?;
        let delete = stand.through_the_door(move |mut door| async move { door.delete(&key).await });
        Ok(delete.await?)
    }

    async fn raw_change(&self, info: &Info) -> Result<(), HookError> {
        let (key, value) = encode(&self.namespace, info)?;
        self.put(key, value, true).await
    }

    async fn expire(&self, handle: HandleId) -> Result<(), HookError> {
        let session = self.link(handle).await?.sessions.last();
        let lease =
            session.ok_or_else(|| HookError(format!("handle {} has no session yet", handle.0)))?.0.cast_signed();
        let stand = self.stand().await?;
        let revoke = stand.through_the_door(move |mut door| async move { door.revoke(lease).await });
        Ok(revoke.await?)
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

    async fn compact(&self) -> Result<(), HookError> {
        let stand = self.stand().await?;
        Ok(stand.through_the_door(|mut door| async move { door.compact().await }).await?)
    }

    async fn deny(&self, handle: HandleId, access: Access) -> Result<(), HookError> {
        let left = match access {
            Access::Read => Permission::write(""),
            Access::Write => Permission::read(""),
        };
        self.grant(handle, left).await
    }

    async fn allow(&self, handle: HandleId) -> Result<(), HookError> {
        self.grant(handle, Permission::read_write("")).await
    }

    async fn deny_entry(&self, info: &Info) -> Result<(), HookError> {
        let (key, _) = encode(&self.namespace, info)?;
        let stand = self.stand().await?;
        let users = stand.users();
        let deny = stand.through_the_door(move |mut door| async move {
            for user in users {
                door.deny_key(user, &key).await?;
            }
            Ok(())
        });
        Ok(deny.await?)
    }

    async fn allow_entry(&self, info: &Info) -> Result<(), HookError> {
        let (key, _) = encode(&self.namespace, info)?;
        let stand = self.stand().await?;
        let users = stand.users();
        let allow = stand.through_the_door(move |mut door| async move {
            for user in users {
                door.allow_key(user, &key).await?;
            }
            Ok(())
        });
        Ok(allow.await?)
    }

    async fn mend_credentials(&self, handle: HandleId) -> Result<(), HookError> {
        Ok(self.files.mend(&self.namespace, handle)?)
    }

    async fn watches(&self) -> Result<usize, HookError> {
        let address = self.stand().await?.server.address();
        let metrics = bench::on_bench(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await.map(|_| text)
        });
        let metrics = metrics.await.map_err(|error| HookError(format!("etcd's metrics: {error}")))?;
        let count = metrics.lines().find_map(|line| line.strip_prefix("etcd_debugging_mvcc_watcher_total "));
        let count = count.and_then(|count| count.trim().parse().ok());
        count.ok_or_else(|| HookError("etcd's metrics do not tell the number of watches".to_owned()))
    }

    async fn sessions(&self) -> Result<usize, HookError> {
        let stand = self.stand().await?;
        let leases = stand.through_the_door(|mut door| async move { door.leases().await });
        Ok(leases.await?.len())
    }

    async fn requests(&self, handle: HandleId) -> Result<u64, HookError> {
        Ok(self.link(handle).await?.requests())
    }
}
