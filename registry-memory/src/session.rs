//! A session: core's [`Session`] over a connection.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use registry_core::ErrorKind;
use registry_core::store::{
    Guard, Key, Lineage, Put, Record, Removed, Session, SessionError, SessionId, Signal, Standing, StoreError,
    WriteError,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::client::Connection;
use crate::link::{Access, Passage};
use crate::state::{Power, State};
use crate::wait::until;

/// One session. It holds nothing open: when it is dropped the store finds out by its TTL.
pub(crate) struct MemorySession {
    connection: Connection,
    id: SessionId,
    /// Counts fences: a write belongs to the epoch in which it was started.
    epoch: AtomicU64,
    notify: Arc<Notify>,
}

impl MemorySession {
    pub(crate) fn new(connection: Connection, id: SessionId, notify: Arc<Notify>) -> Self {
        Self { connection, id, epoch: AtomicU64::new(0), notify }
    }
}

#[async_trait]
impl Session for MemorySession {
    fn id(&self) -> SessionId {
        self.id
    }

    async fn put(&self, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        let (id, epoch) = (self.id, self.epoch.load(Ordering::SeqCst));
        let puts = batch.to_vec();
        let prepare = |state: &State| batch.iter().map(|put| read_for_put(state, put, ours)).collect::<Vec<_>>();
        let commit = move |state: &mut State, now: Instant, read: Vec<Result<u64, WriteError>>| {
            let write = |(put, read): (&Put, Result<u64, WriteError>)| {
                let key = put.record.key();
                admit(state, id, epoch, key)?;
                if state.revision_of(key) != read? {
                    return Err(WriteError::Contended);
                }
                state.write(key, put.record.value().into(), Some(id), now);
                Ok(())
            };
            puts.iter().zip(read).map(write).collect()
        };
        let written: Result<Vec<_>, _> = self.connection.write(Access::Write, prepare, commit).await;
        written.unwrap_or_else(|error| all_failed(batch.len(), &error))
    }

    async fn remove(&self, batch: &[Record], ours: &Lineage) -> Vec<Result<Removed, WriteError>> {
        let (id, epoch) = (self.id, self.epoch.load(Ordering::SeqCst));
        let keys: Vec<Key> = batch.iter().map(|record| record.key().clone()).collect();
        let prepare =
            |state: &State| batch.iter().map(|record| read_for_remove(state, record.key(), ours)).collect::<Vec<_>>();
        let commit = move |state: &mut State, now: Instant, read: Vec<Result<u64, Removed>>| {
            let remove = |(key, read): (&Key, Result<u64, Removed>)| {
                admit(state, id, epoch, key)?;
                match read {
                    Err(untouched) => Ok(untouched),
                    Ok(revision) if state.revision_of(key) == revision => {
                        state.withdraw(key, now);
                        Ok(Removed::Gone)
                    }
                    Ok(_) => Err(WriteError::Contended),
                }
            };
            keys.iter().zip(read).map(remove).collect()
        };
        let removed: Result<Vec<_>, _> = self.connection.write(Access::Write, prepare, commit).await;
        removed.unwrap_or_else(|error| all_failed(batch.len(), &error))
    }

    async fn inspect(
        &self,
        records: &[Record],
        ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        let look = |state: &mut State| {
            if !state.lives(self.id) {
                return Err(SessionError::Lost);
            }
            Ok(records.iter().map(|record| Ok(self.standing(state, record, ours))).collect())
        };
        self.connection.read(look).await?
    }

    async fn renew(&self, _due: &[Record]) -> Result<Vec<Key>, SessionError> {
        let id = self.id;
        let renewed =
            self.connection.write(Access::Session, |_| (), move |state, now, ()| state.renew(id, now)).await?;
        if renewed { Ok(Vec::new()) } else { Err(SessionError::Lost) }
    }

    async fn signal(&self) -> Signal {
        loop {
            let told = self.notify.notified();
            let link = self.connection.link.changed().notified();
            let power = self.connection.store.power().notified();
            let reachable = matches!(self.connection.link.passage(Access::Session), Passage::Open);
            let (signal, due) = self.connection.store.with(|state, _| {
                let signal = (reachable && state.power == Power::Running).then(|| self.news(state)).flatten();
                (signal, state.deadline_of(self.id))
            });
            if let Some(signal) = signal {
                return signal;
            }
            tokio::select! { () = told => {}, () = link => {}, () = power => {}, () = until(due) => {} }
        }
    }

    async fn fence(&self) -> Result<(), SessionError> {
        let (id, epoch) = (self.id, self.epoch.fetch_add(1, Ordering::SeqCst) + 1);
        let commit = move |state: &mut State, _, ()| state.fence(id, epoch);
        let fenced = self.connection.write(Access::Session, |_| (), commit).await?;
        if fenced { Ok(()) } else { Err(SessionError::Lost) }
    }

    async fn end(&self) -> Result<(), StoreError> {
        let id = self.id;
        self.connection.write(Access::Session, |_| (), move |state, now, ()| state.end(id, now)).await?;
        Ok(())
    }
}

impl MemorySession {
    fn standing(&self, state: &State, record: &Record, ours: &Lineage) -> Standing {
        let Some(entry) = state.entry(record.key()) else { return Standing::Absent };
        match entry.session {
            None => Standing::Unowned,
            Some(session) if ours.contains(session) => {
                Standing::Ours { current: session == self.id, same: *entry.value == *record.value() }
            }
            Some(_) => Standing::Foreign,
        }
    }

    fn news(&self, state: &mut State) -> Option<Signal> {
        if state.lives(self.id) { state.take_touched(self.id).map(Signal::Look) } else { Some(Signal::Lost) }
    }
}

impl fmt::Debug for MemorySession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySession").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The revision that a put may replace, or why it may not.
fn read_for_put(state: &State, put: &Put, ours: &Lineage) -> Result<u64, WriteError> {
    let Some(entry) = state.entry(put.record.key()) else { return Ok(0) };
    let foreign = entry.session.is_some_and(|session| !ours.contains(session));
    if foreign && put.guard == Guard::AbsentOrOurs { Err(WriteError::Foreign) } else { Ok(entry.revision) }
}

/// The revision that a removal may remove, or why there is nothing to remove.
fn read_for_remove(state: &State, key: &Key, ours: &Lineage) -> Result<u64, Removed> {
    match state.entry(key) {
        None => Err(Removed::NotThere),
        Some(entry) if entry.session.is_some_and(|session| ours.contains(session)) => Ok(entry.revision),
        Some(_) => Err(Removed::Foreign),
    }
}

/// Refuses a write of a session that is gone, of one started before the last fence, and of a key that the store refuses.
fn admit(state: &State, id: SessionId, epoch: u64, key: &Key) -> Result<(), WriteError> {
    let never = |error| Err(WriteError::never(error));
    match state.admits(id, epoch) {
        None => Err(WriteError::SessionLost),
        Some(false) => never(StoreError::new(ErrorKind::Other, "the write was fenced off before it arrived")),
        Some(true) if state.refuses(key) => {
            never(StoreError::new(ErrorKind::Denied, format!("writing {key} is not permitted")))
        }
        Some(true) => Ok(()),
    }
}

fn all_failed<T>(count: usize, error: &StoreError) -> Vec<Result<T, WriteError>> {
    std::iter::repeat_with(|| Err(WriteError::never(error.clone()))).take(count).collect()
}
