//! Like etcd: one lease for all entries, every write compares the version that it read and a fence, and so does every removal.

use std::sync::Mutex;

use async_trait::async_trait;
use registry_core::store::{
    Guard, Key, Lineage, Put, Record, Removed, Session, SessionError, SessionId, Standing, StoreError, WriteError,
};
use tokio::time::Instant;

use super::Base;
use crate::faults::Failure;
use crate::world::{By, Entry, State};

pub(crate) struct AtomicSession {
    base: Base,
    /// The number that writes carry: those below the lease's own are refused.
    fence: Mutex<u64>,
}

impl AtomicSession {
    pub(super) fn new(base: Base) -> Self {
        Self { base, fence: Mutex::new(0) }
    }

    fn fence_now(&self) -> u64 {
        *self.fence.lock().expect("invariant: nothing panics while it holds the fence")
    }

    /// What stands under each key: one read for all.
    async fn read(&self, keys: Vec<Key>) -> Result<Vec<Option<Entry>>, Failure> {
        let read = move |state: &mut State| keys.iter().map(|key| state.entries.get(key).cloned()).collect();
        self.base.client.request("read", read).await
    }

    /// Writes or removes where the version is still the one that was read: one request for all.
    async fn write(&self, name: &'static str, fence: u64, changes: Vec<Planned>) -> Vec<Result<(), WriteError>> {
        let (session, client, count, sent) = (self.base.id, self.base.client.id, changes.len(), Instant::now());
        let write = move |state: &mut State| {
            let write_one = |change: Planned| match state.sessions.get(&session) {
                None => Err(WriteError::SessionLost),
                Some(lease) if lease.fence > fence => Err(WriteError::Contended),
                Some(_) if state.entries.get(&change.key).map(|entry| entry.version) != change.read => {
                    Err(WriteError::Contended)
                }
                Some(_) => {
                    state.change(&change.key, change.after, By::Client(client, sent));
                    Ok(())
                }
            };
            changes.into_iter().map(write_one).collect::<Vec<_>>()
        };
        match self.base.client.request(name, write).await {
            Ok(results) => results,
            Err(failure) => vec![Err(failure.into_write(false)); count],
        }
    }
}

/// A change of one entry, if it still has the version that was read.
struct Planned {
    key: Key,
    read: Option<u64>,
    after: Option<Entry>,
}

fn is_ours(entry: &Entry, ours: &Lineage) -> bool {
    entry.session.is_some_and(|session| ours.contains(session))
}

#[async_trait]
impl Session for AtomicSession {
    fn id(&self) -> SessionId {
        self.base.id
    }

    async fn put(&self, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        let fence = self.fence_now();
        let found = match self.read(batch.iter().map(|put| put.record.key().clone()).collect()).await {
            Ok(found) => found,
            Err(failure) => {
                // A read that failed wrote nothing, whatever became of it.
                let error = failure.into_store();
                let never = WriteError::never(error);
                return vec![Err(never); batch.len()];
            }
        };
        let mut planned = Vec::new();
        let mut results = Vec::new();
        for (put, entry) in batch.iter().zip(found) {
            let foreign = entry.as_ref().is_some_and(|entry| entry.owner.is_some() && !is_ours(entry, ours));
            if foreign && put.guard == Guard::AbsentOrOurs {
                results.push(Some(Err(WriteError::Foreign)));
                continue;
            }
            let after = Entry::unowned(&put.record).of_session(self.base.client.id, self.base.id);
            let read = entry.map(|entry| entry.version);
            planned.push(Planned { key: put.record.key().clone(), read, after: Some(after) });
            results.push(None);
        }
        if planned.is_empty() {
            return results.into_iter().flatten().collect();
        }
        let mut written = self.write("put", fence, planned).await.into_iter();
        let all = results.into_iter().map(|result| result.or_else(|| written.next()));
        all.map(|result| result.expect("invariant: one result a planned write")).collect()
    }

    async fn remove(&self, batch: &[Record], ours: &Lineage) -> Vec<Result<Removed, WriteError>> {
        let fence = self.fence_now();
        let found = match self.read(batch.iter().map(|record| record.key().clone()).collect()).await {
            Ok(found) => found,
            Err(failure) => {
                let error = failure.into_store();
                let never = WriteError::never(error);
                return vec![Err(never); batch.len()];
            }
        };
        let mut planned = Vec::new();
        let mut results = Vec::new();
        for (record, entry) in batch.iter().zip(found) {
            match entry {
                None => results.push(Some(Ok(Removed::NotThere))),
                Some(entry) if !is_ours(&entry, ours) => results.push(Some(Ok(Removed::Foreign))),
                Some(entry) => {
                    planned.push(Planned { key: record.key().clone(), read: Some(entry.version), after: None });
                    results.push(None);
                }
            }
        }
        if planned.is_empty() {
            return results.into_iter().flatten().collect();
        }
        let mut removed = self.write("remove", fence, planned).await.into_iter();
        let gone = |result: Result<(), WriteError>| result.map(|()| Removed::Gone);
        let all = results.into_iter().map(|result| result.or_else(|| removed.next().map(gone)));
        all.map(|result| result.expect("invariant: one result a planned removal")).collect()
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
                Standing::Ours { current: entry.session == Some(self.base.id), same: *entry.value == *record.value() }
            }
            Some(Entry { owner: None, .. }) => Standing::Unowned,
            Some(_) => Standing::Foreign,
        };
        Ok(records.iter().zip(found).map(standing).map(Ok).collect())
    }

    async fn renew(&self, _due: &[Record]) -> Result<Vec<Key>, SessionError> {
        renew(&self.base).await
    }

    async fn fence(&self) -> Result<(), SessionError> {
        let fence = {
            let mut fence = self.fence.lock().expect("invariant: nothing panics while it holds the fence");
            *fence += 1;
            *fence
        };
        let id = self.base.id;
        let raise = move |state: &mut State| {
            let lease = state.sessions.get_mut(&id)?;
            lease.fence = lease.fence.max(fence);
            Some(())
        };
        let raised = self.base.client.request("fence", raise).await.map_err(Failure::into_session)?;
        raised.ok_or(SessionError::Lost)
    }

    async fn end(&self) -> Result<(), StoreError> {
        end(&self.base).await
    }
}

/// One keep-alive of the lease or session.
pub(super) async fn renew(base: &Base) -> Result<Vec<Key>, SessionError> {
    let id = base.id;
    let extend = move |state: &mut State| {
        let lease = state.sessions.get_mut(&id)?;
        lease.until = Instant::now() + lease.ttl;
        Some(())
    };
    let extended = base.client.request("renew", extend).await.map_err(Failure::into_session)?;
    extended.map(|()| Vec::new()).ok_or(SessionError::Lost)
}

/// Ends the lease or session, and with it its entries.
pub(super) async fn end(base: &Base) -> Result<(), StoreError> {
    let (id, client) = (base.id, base.client.id);
    let ended = base.client.request("end", move |state| state.close(id, By::End(client))).await;
    ended.map_err(Failure::into_store)
}
