//! A lease: core's [`Session`].

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use my_store::{Folder, Locked};
use registry_core::store::{
    Guard, Key, Lineage, Put, Record, Removed, Session, SessionError, SessionId, Standing, StoreError, WriteError,
};

/// One lease. It holds nothing open: when it is dropped its file says when it is over.
pub(crate) struct FolderSession {
    pub(crate) folder: Folder,
    pub(crate) id: SessionId,
    pub(crate) ttl: Duration,
}

impl FolderSession {
    /// Does `each` under one lock; when there is none to be had, each fails of it.
    async fn with_each<I, T>(
        &self,
        batch: &[I],
        each: impl Fn(&Locked<'_>, &I) -> Result<T, WriteError> + Send,
    ) -> Vec<Result<T, WriteError>>
    where
        I: Sync,
    {
        match self.folder.lock().await {
            Ok(locked) => batch.iter().map(|item| self.alive(&locked).and_then(|()| each(&locked, item))).collect(),
            Err(error) => {
                let failed = WriteError::never(error);
                batch.iter().map(|_| Err(failed.clone())).collect()
            }
        }
    }

    fn alive(&self, locked: &Locked<'_>) -> Result<(), WriteError> {
        locked.lease(self.id.0).map(|_| ()).ok_or(WriteError::SessionLost)
    }

    fn standing(&self, locked: &Locked<'_>, record: &Record, ours: &Lineage) -> io::Result<Standing> {
        Ok(match locked.entry(record.key().as_str())? {
            None => Standing::Absent,
            Some(entry) => match entry.lease.map(SessionId) {
                None => Standing::Unowned,
                Some(lease) if ours.contains(lease) => {
                    Standing::Ours { current: lease == self.id, same: entry.value == record.value() }
                }
                Some(_) => Standing::Foreign,
            },
        })
    }
}

#[async_trait]
impl Session for FolderSession {
    fn id(&self) -> SessionId {
        self.id
    }

    async fn put(&self, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        let put = |locked: &Locked<'_>, put: &Put| {
            let standing = self.standing(locked, &put.record, ours).map_err(WriteError::never)?;
            if put.guard == Guard::AbsentOrOurs && standing == Standing::Foreign {
                return Err(WriteError::Foreign);
            }
            locked.write(put.record.key().as_str(), self.id.0, put.record.value()).map_err(WriteError::never)
        };
        self.with_each(batch, put).await
    }

    async fn remove(&self, batch: &[Record], ours: &Lineage) -> Vec<Result<Removed, WriteError>> {
        let remove = |locked: &Locked<'_>, record: &Record| -> io::Result<Removed> {
            Ok(match self.standing(locked, record, ours)? {
                Standing::Absent => Removed::NotThere,
                Standing::Ours { .. } => locked.remove(record.key().as_str()).map(|()| Removed::Gone)?,
                Standing::Foreign | Standing::Unowned => Removed::Foreign,
            })
        };
        self.with_each(batch, |locked, record| remove(locked, record).map_err(WriteError::never)).await
    }

    async fn inspect(
        &self,
        records: &[Record],
        ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        let locked = self.folder.lock().await?;
        self.alive(&locked).map_err(|_| SessionError::Lost)?;
        let look = |record| self.standing(&locked, record, ours).map_err(StoreError::from);
        Ok(records.iter().map(look).collect())
    }

    async fn renew(&self, _due: &[Record]) -> Result<Vec<Key>, SessionError> {
        let locked = self.folder.lock().await?;
        self.alive(&locked).map_err(|_| SessionError::Lost)?;
        locked.extend(self.id.0, self.ttl)?;
        Ok(Vec::new())
    }

    /// A write takes effect while it is polled or never: none can be late.
    async fn fence(&self) -> Result<(), SessionError> {
        Ok(())
    }

    async fn end(&self) -> Result<(), StoreError> {
        Ok(self.folder.lock().await?.sweep(Some(self.id.0))?)
    }
}
