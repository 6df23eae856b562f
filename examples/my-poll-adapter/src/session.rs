//! An owner: core's [`Session`]. There is nothing in the store but the owner's token in each of its entries.

use std::time::Duration;

use async_trait::async_trait;
use my_store::{Row, Rows, Table};
use registry_core::store::{
    Guard, Key, Lineage, OwnerToken, Put, Record, Removed, Session, SessionError, SessionId, Standing, StoreError,
    WriteError,
};

/// One owner of entries. It holds nothing open: when it is dropped its entries say when they are over.
pub(crate) struct TableSession {
    pub(crate) table: Table,
    pub(crate) id: SessionId,
    pub(crate) owner: OwnerToken,
    pub(crate) ttl: Duration,
}

impl TableSession {
    /// Changes the rows by `each` and saves them once. When that fails, each fails of it.
    async fn change<I: Sync, T>(
        &self,
        batch: &[I],
        each: impl Fn(&mut Rows, &I) -> Result<T, WriteError> + Send,
    ) -> Vec<Result<T, WriteError>> {
        let changed = match self.table.rows().await {
            Ok(mut rows) => {
                let results = batch.iter().map(|item| each(&mut rows, item)).collect();
                rows.save().map(|()| results)
            }
            Err(error) => Err(error),
        };
        changed.unwrap_or_else(|error| {
            let failed = WriteError::never(error);
            batch.iter().map(|_| Err(failed.clone())).collect()
        })
    }
}

#[async_trait]
impl Session for TableSession {
    fn id(&self) -> SessionId {
        self.id
    }

    async fn put(&self, batch: &[Put], _ours: &Lineage) -> Vec<Result<(), WriteError>> {
        let put = |rows: &mut Rows, put: &Put| {
            let key = put.record.key().as_str();
            let new = Row::new(key, self.owner.as_str(), self.ttl, put.record.value());
            match rows.find(key) {
                Some(row) if put.guard == Guard::AbsentOrOurs && row.owner != self.owner.as_str() => {
                    return Err(WriteError::Foreign);
                }
                Some(row) => *row = new,
                None => rows.rows.push(new),
            }
            Ok(())
        };
        self.change(batch, put).await
    }

    async fn remove(&self, batch: &[Record], _ours: &Lineage) -> Vec<Result<Removed, WriteError>> {
        let remove = |rows: &mut Rows, record: &Record| {
            let removed = match rows.find(record.key().as_str()) {
                None => Removed::NotThere,
                Some(row) if row.owner != self.owner.as_str() => Removed::Foreign,
                Some(_) => {
                    rows.rows.retain(|row| row.key != record.key().as_str());
                    Removed::Gone
                }
            };
            Ok(removed)
        };
        self.change(batch, remove).await
    }

    async fn inspect(
        &self,
        records: &[Record],
        _ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        let mut rows = self.table.rows().await?;
        let look = |record: &Record| match rows.find(record.key().as_str()) {
            None => Standing::Absent,
            Some(row) if row.owner != self.owner.as_str() => Standing::Foreign,
            Some(row) => Standing::Ours { current: true, same: row.value.as_bytes() == record.value() },
        };
        Ok(records.iter().map(look).map(Ok).collect())
    }

    /// Keeps alive what is ours among the entries that are due. Somebody should look at the others.
    async fn renew(&self, due: &[Record]) -> Result<Vec<Key>, SessionError> {
        let mut rows = self.table.rows().await?;
        let mut strange = Vec::new();
        for record in due {
            match rows.find(record.key().as_str()) {
                Some(row) if row.owner == self.owner.as_str() => row.extend(self.ttl),
                _ => strange.push(record.key().clone()),
            }
        }
        rows.save()?;
        Ok(strange)
    }

    /// A write takes effect while it is polled or never: none can be late.
    async fn fence(&self) -> Result<(), SessionError> {
        Ok(())
    }

    /// Nothing hangs on a session here: core has withdrawn the entries one by one.
    async fn end(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
