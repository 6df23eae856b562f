//! Like Consul: every write is unconditional and carries the owner's token, every entry lives by its own beats, a removal is check, then delete.

use std::time::Duration;

use async_trait::async_trait;
use registry_core::store::{
    Guard, Key, Lineage, OwnerToken, Put, Record, Removed, Session, SessionError, SessionId, Standing, StoreError,
    WriteError,
};
use tokio::time::Instant;

use super::Base;
use crate::faults::Failure;
use crate::world::{By, Entry, State};

pub(crate) struct BlindSession {
    base: Base,
    ttl: Duration,
    owner: OwnerToken,
}

impl BlindSession {
    pub(super) fn new(base: Base, ttl: Duration, owner: OwnerToken) -> Self {
        Self { base, ttl, owner }
    }

    async fn read(&self, keys: Vec<Key>) -> Result<Vec<Option<Entry>>, Failure> {
        let read = move |state: &mut State| keys.iter().map(|key| state.entries.get(key).cloned()).collect();
        self.base.client.request("read", read).await
    }

    async fn put_one(&self, put: &Put, ours: &Lineage) -> Result<(), WriteError> {
        if put.guard == Guard::AbsentOrOurs {
            let read = self.read(vec![put.record.key().clone()]).await;
            match read.map(|mut found| found.pop().flatten()) {
                Ok(Some(entry)) if !is_ours(&entry, ours) && entry.healthy => return Err(WriteError::Foreign),
                Ok(_) => {}
                Err(failure) => {
                    return Err(WriteError::never(failure.into_store()));
                }
            }
        }
        let (key, client, ttl, sent) = (put.record.key().clone(), self.base.client.id, self.ttl, Instant::now());
        let (record, ours) = (put.record.clone(), ours.clone());
        let write = move |state: &mut State| {
            let entry = Entry::unowned(&record).of_token(client, &ours, Instant::now() + ttl);
            state.change(&key, Some(entry), By::Client(client, sent));
        };
        self.base.client.request("put", write).await.map_err(|failure| failure.into_write(false))
    }

    async fn remove_one(&self, record: &Record, ours: &Lineage) -> Result<Removed, WriteError> {
        let read = self.read(vec![record.key().clone()]).await;
        match read.map(|mut found| found.pop().flatten()) {
            Ok(None) => return Ok(Removed::NotThere),
            Ok(Some(entry)) if !is_ours(&entry, ours) => return Ok(Removed::Foreign),
            Ok(Some(_)) => {}
            Err(failure) => return Err(WriteError::never(failure.into_store())),
        }
        let (key, client, sent) = (record.key().clone(), self.base.client.id, Instant::now());
        let delete = move |state: &mut State| state.change(&key, None, By::Client(client, sent));
        let deleted = self.base.client.request("delete", delete).await;
        deleted.map(|()| Removed::Gone).map_err(|failure| failure.into_write(false))
    }
}

fn is_ours(entry: &Entry, ours: &Lineage) -> bool {
    entry.token.as_ref() == Some(ours.owner())
}

#[async_trait]
impl Session for BlindSession {
    fn id(&self) -> SessionId {
        self.base.id
    }

    async fn put(&self, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        futures_util::future::join_all(batch.iter().map(|put| self.put_one(put, ours))).await
    }

    async fn remove(&self, batch: &[Record], ours: &Lineage) -> Vec<Result<Removed, WriteError>> {
        futures_util::future::join_all(batch.iter().map(|record| self.remove_one(record, ours))).await
    }

    async fn inspect(
        &self,
        records: &[Record],
        ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        let found = self.read(records.iter().map(|record| record.key().clone()).collect()).await;
        let found = found.map_err(Failure::into_session)?;
        let standing = |(record, entry): (&Record, Option<Entry>)| match entry {
            None => Standing::Absent,
            Some(entry) if is_ours(&entry, ours) => {
                Standing::Ours { current: entry.healthy, same: *entry.value == *record.value() }
            }
            // Its owner has stopped to beat, and no reader sees it: it is as good as gone, long before the store removes it.
            Some(Entry { healthy: false, .. }) => Standing::Unowned,
            // An entry without a token is somebody else's: other registries write none.
            Some(_) => Standing::Foreign,
        };
        Ok(records.iter().zip(found).map(standing).map(Ok).collect())
    }

    /// Reads whose the entries are, then beats for those that are ours.
    async fn renew(&self, due: &[Record]) -> Result<Vec<Key>, SessionError> {
        let keys: Vec<Key> = due.iter().map(|record| record.key().clone()).collect();
        let found = self.read(keys.clone()).await.map_err(Failure::into_session)?;
        let mut look = Vec::new();
        for (key, entry) in keys.into_iter().zip(found) {
            if entry.is_none_or(|entry| entry.token.as_ref() != Some(&self.owner)) {
                look.push(key);
                continue;
            }
            let (beaten, ttl, client, sent) = (key.clone(), self.ttl, self.base.client.id, Instant::now());
            let beat = move |state: &mut State| match state.entries.get(&beaten).cloned() {
                None => false,
                Some(entry) => {
                    let beat_until = entry.beat_until.map(|_| Instant::now() + ttl);
                    if entry.healthy {
                        state.beat(&beaten, beat_until);
                    } else {
                        let healed = Entry { healthy: true, beat_until, ..entry };
                        state.change(&beaten, Some(healed), By::Client(client, sent));
                    }
                    true
                }
            };
            if !self.base.client.request("beat", beat).await.map_err(Failure::into_session)? {
                look.push(key);
            }
        }
        Ok(look)
    }

    /// Entries are not tied to a session: there is nothing to end.
    async fn end(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
