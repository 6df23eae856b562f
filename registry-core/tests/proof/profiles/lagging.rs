//! Like `ZooKeeper`: ephemeral nodes of a session, takeover by delete and create, no fence, and a signal for each own node that others touch.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use registry_core::store::{
    Guard, Key, Lineage, Put, Record, Removed, Session, SessionError, SessionId, Signal, Standing, StoreError,
    WriteError,
};
use tokio::time::Instant;

use super::{Base, atomic};
use crate::faults::{Cut, Failure};
use crate::world::{Availability, By, Entry, State};

pub(crate) struct LaggingSession {
    base: Base,
    /// The nodes that this session wrote, and how much of the history was looked at for them.
    own: Mutex<Own>,
}

#[derive(Default)]
struct Own {
    keys: BTreeSet<Key>,
    seen: usize,
}

/// What a request finds when its session or its precondition is gone.
#[derive(Debug)]
enum Refused {
    NoSession,
    NodeExists,
    NoNode,
    BadVersion,
    /// A node created since has the same version: its data was changed, and it still is not ours.
    NotOurs,
}

impl LaggingSession {
    pub(super) fn new(base: Base) -> Self {
        let seen = base.client.world.lock().history.len();
        Self { base, own: Mutex::new(Own { keys: BTreeSet::new(), seen }) }
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>, Failure> {
        let key = key.clone();
        self.base.client.request("get", move |state| state.entries.get(&key).cloned()).await
    }

    async fn create(&self, record: &Record) -> Result<Result<(), Refused>, Failure> {
        let (key, client, session) = (record.key().clone(), self.base.client.id, self.base.id);
        let (node, sent) = (Entry::unowned(record).of_session(client, session), Instant::now());
        let create = move |state: &mut State| {
            if !state.sessions.contains_key(&session) {
                return Err(Refused::NoSession);
            }
            if state.entries.contains_key(&key) {
                return Err(Refused::NodeExists);
            }
            state.change(&key, Some(node), By::Client(client, sent));
            Ok(())
        };
        self.base.client.request("create", create).await
    }

    /// Changes the data of a node of that version, whoever owns it by now: the answer tells who.
    async fn set(&self, record: &Record, version: u64) -> Result<Result<(), Refused>, Failure> {
        let (key, client, session) = (record.key().clone(), self.base.client.id, self.base.id);
        let (data, sent) = (Entry::unowned(record), Instant::now());
        let set = move |state: &mut State| {
            if !state.sessions.contains_key(&session) {
                return Err(Refused::NoSession);
            }
            let Some(node) = state.entries.get(&key).cloned() else { return Err(Refused::NoNode) };
            if node.data_version != version {
                return Err(Refused::BadVersion);
            }
            let owner = node.session;
            let after = Entry { instance: data.instance, value: data.value, data_version: version + 1, ..node };
            state.change(&key, Some(after), By::Client(client, sent));
            if owner == Some(session) { Ok(()) } else { Err(Refused::NotOurs) }
        };
        self.base.client.request("set", set).await
    }

    /// Deletes a node of that version, whoever owns it by now: a node created since starts at version 0 again.
    async fn delete(&self, key: &Key, version: u64) -> Result<Result<(), Refused>, Failure> {
        let (key, client, session, sent) = (key.clone(), self.base.client.id, self.base.id, Instant::now());
        let delete = move |state: &mut State| {
            if !state.sessions.contains_key(&session) {
                return Err(Refused::NoSession);
            }
            match state.entries.get(&key).map(|node| node.data_version) {
                None => Err(Refused::NoNode),
                Some(found) if found != version => Err(Refused::BadVersion),
                Some(_) => {
                    state.change(&key, None, By::Client(client, sent));
                    Ok(())
                }
            }
        };
        self.base.client.request("delete", delete).await
    }

    async fn put_one(&self, put: &Put, ours: &Lineage) -> Result<(), WriteError> {
        let key = put.record.key();
        self.own().keys.insert(key.clone());
        let node = match self.get(key).await {
            Ok(node) => node,
            Err(failure) => {
                let error = failure.into_store();
                return Err(WriteError::never(error));
            }
        };
        let mut begun = false;
        if let Some(node) = node {
            let foreign = node.owner.is_some() && !is_ours(&node, ours);
            if foreign && put.guard == Guard::AbsentOrOurs {
                return Err(WriteError::Foreign);
            }
            if node.session == Some(self.base.id) {
                return written(self.set(&put.record, node.data_version).await, false);
            }
            match self.delete(key, node.data_version).await {
                Ok(Ok(()) | Err(Refused::NoNode)) => begun = true,
                refused => written(refused, false)?,
            }
        }
        written(self.create(&put.record).await, begun)
    }

    async fn remove_one(&self, record: &Record, ours: &Lineage) -> Result<Removed, WriteError> {
        let node = match self.get(record.key()).await {
            Ok(node) => node,
            Err(failure) => {
                let error = failure.into_store();
                return Err(WriteError::never(error));
            }
        };
        match node {
            None => Ok(Removed::NotThere),
            Some(node) if !is_ours(&node, ours) => Ok(Removed::Foreign),
            Some(node) => match self.delete(record.key(), node.data_version).await {
                Ok(Err(Refused::NoNode)) => Ok(Removed::NotThere),
                result => written(result, false).map(|()| Removed::Gone),
            },
        }
    }

    /// The next thing that somebody else did to a node of ours, once the lag is over.
    fn told(&self) -> Result<Signal, Instant> {
        let mut own = self.own();
        let state = self.base.client.world.lock();
        let now = Instant::now();
        while let Some(event) = state.history.get(own.seen) {
            let visible = event.at + Self::LAG;
            if visible > now {
                return Err(visible);
            }
            own.seen += 1;
            let by_us = matches!(event.by, By::Client(client, _) if client == self.base.client.id);
            if own.keys.contains(&event.key) && !by_us {
                return Ok(Signal::Look(event.key.clone()));
            }
        }
        if state.sessions.contains_key(&self.base.id) {
            Err(now + Duration::from_secs(3_600))
        } else {
            Ok(Signal::Lost)
        }
    }

    const LAG: Duration = Duration::from_millis(40);

    fn own(&self) -> std::sync::MutexGuard<'_, Own> {
        self.own.lock().expect("invariant: nothing panics while it holds the keys")
    }
}

fn is_ours(node: &Entry, ours: &Lineage) -> bool {
    node.session.is_some_and(|session| ours.contains(session))
}

/// The result of one write, of which an earlier part was done or not.
fn written(result: Result<Result<(), Refused>, Failure>, begun: bool) -> Result<(), WriteError> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Refused::NoSession)) => Err(WriteError::SessionLost),
        Ok(Err(Refused::NodeExists | Refused::NoNode | Refused::BadVersion | Refused::NotOurs)) => {
            Err(WriteError::Contended)
        }
        Err(failure) => Err(failure.into_write(begun)),
    }
}

#[async_trait]
impl Session for LaggingSession {
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
        let mut standing = Vec::new();
        for record in records {
            standing.push(Ok(match self.get(record.key()).await.map_err(Failure::into_session)? {
                None => Standing::Absent,
                Some(node) if is_ours(&node, ours) => {
                    Standing::Ours { current: node.session == Some(self.base.id), same: *node.value == *record.value() }
                }
                Some(Entry { owner: None, .. }) => Standing::Unowned,
                Some(_) => Standing::Foreign,
            }));
        }
        Ok(standing)
    }

    async fn renew(&self, _due: &[Record]) -> Result<Vec<Key>, SessionError> {
        atomic::renew(&self.base).await
    }

    async fn signal(&self) -> Signal {
        let client = &self.base.client;
        loop {
            let news = client.world.news();
            let reachable = client.cut() != Some(Cut::Silent) && client.cut() != Some(Cut::Refused);
            let up = client.world.lock().availability == Availability::Up;
            let wake = if reachable && up {
                match self.told() {
                    Ok(signal) => return signal,
                    Err(wake) => wake,
                }
            } else {
                Instant::now() + Duration::from_secs(3_600)
            };
            tokio::select! {
                biased;
                () = news => {}
                () = client.line_changed.notified() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    async fn end(&self) -> Result<(), StoreError> {
        atomic::end(&self.base).await
    }
}
