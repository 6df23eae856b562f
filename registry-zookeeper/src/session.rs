//! A session: core's [`Session`] over one ZooKeeper session.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use registry_core::store::{
    Applied, Guard, Key, Lineage, Put, Record, Removed, Session, SessionError, SessionId, Signal, Standing, StoreError,
    WriteError,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::engine::{Failure, Kind, Stat, Watch};
use crate::transport::{Line, Link, all};

/// How often a write looks again after somebody else was faster, before it says so.
const TRIES: usize = 3;

/// One ZooKeeper session on one connection: it is lost with the connection. Every entry is an ephemeral node of it.
pub(crate) struct ZooKeeperSession {
    line: Arc<Line>,
    link: Arc<Link>,
    id: i64,
    /// The paths that were told of by the server, and by what was seen in passing.
    told: tokio::sync::Mutex<(UnboundedReceiver<String>, UnboundedReceiver<String>)>,
    seen: UnboundedSender<String>,
    /// By which the end is seen, once it was begun: nodes of this session that are gone when it is.
    witnesses: Mutex<Option<Vec<String>>>,
    /// The entries that may stand: created, or about to be, and not removed since.
    nodes: Mutex<HashSet<String>>,
    /// The end was begun: that the connection goes is no loss any more.
    ending: AtomicBool,
    /// The end was sent.
    closed: AtomicBool,
}

impl ZooKeeperSession {
    pub(crate) async fn open(line: Arc<Line>) -> Result<Self, Failure> {
        let link = line.claim().await?;
        let (seen, in_passing) = unbounded_channel();
        let told = tokio::sync::Mutex::new((link.listen(""), in_passing));
        let id = match link.session_id().await {
            Ok(id) => id,
            Err(failure) => {
                link.kill("its session could not be opened");
                return Err(failure);
            }
        };
        Ok(Self {
            line,
            link,
            id,
            told,
            seen,
            witnesses: Mutex::default(),
            nodes: Mutex::default(),
            ending: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
    }

    fn path(&self, key: &Key) -> String {
        format!("{}{key}", self.line.config().chroot)
    }

    fn nodes(&self) -> MutexGuard<'_, HashSet<String>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owner(&self, stat: Stat, ours: &Lineage) -> Owner {
        match stat.owner {
            0 => Owner::Nobody,
            id if id == self.id => Owner::ThisSession,
            id if ours.contains(session_id(id)) => Owner::EarlierSession,
            _ => Owner::Other,
        }
    }

    async fn put_one(&self, put: &Put, ours: &Lineage) -> Result<(), WriteError> {
        let path = self.path(put.record.key());
        for _ in 0..TRIES {
            match self.create(&path, put.record.value()).await {
                Ok(()) => {
                    self.watch_written(&path).await;
                    return Ok(());
                }
                Err(Failure::NodeExists) => {}
                Err(failure) => return Err(failure.into_write_error(false)),
            }
            // It is not success: whose is it? Read rather than only looked at, so that what we may not touch is denied.
            let stat = match self.link.get(&path, Watch::None).await {
                Ok((_, stat)) => stat,
                Err(Failure::NoNode) => continue,
                Err(failure) => return Err(failure.into_write_error(false).never()),
            };
            match self.owner(stat, ours) {
                Owner::ThisSession => match self.link.set(&path, put.record.value(), stat.version).await {
                    // Deleted by a successor and created anew, a node has version 0 again.
                    Ok(after) if after.owner == self.id => {
                        self.watch_written(&path).await;
                        return Ok(());
                    }
                    Ok(_) => return Err(crossed()),
                    Err(Failure::NoNode | Failure::BadVersion) => {}
                    Err(failure) => return Err(failure.into_write_error(false)),
                },
                Owner::Other if put.guard == Guard::AbsentOrOurs => return Err(WriteError::Foreign),
                Owner::Other | Owner::Nobody | Owner::EarlierSession => {
                    match self.link.delete(&path, stat.version).await {
                        Ok(()) => return self.take(&path, put.record.value()).await,
                        Err(Failure::NoNode | Failure::BadVersion) => {}
                        Err(failure) => return Err(failure.into_write_error(false)),
                    }
                }
            }
        }
        Err(WriteError::Contended)
    }

    /// Creates the node in the place of one that was deleted for it.
    async fn take(&self, path: &str, data: &[u8]) -> Result<(), WriteError> {
        match self.create(path, data).await {
            Ok(()) => {
                self.watch_written(path).await;
                Ok(())
            }
            Err(Failure::NodeExists) => Err(crossed()),
            Err(failure) => Err(failure.into_write_error(true)),
        }
    }

    /// Creates the node, and the service's when it is missing, or was removed again as an empty one.
    async fn create(&self, path: &str, data: &[u8]) -> Result<(), Failure> {
        // Noted first: whoever waits for it may leave once it is sent.
        self.nodes().insert(path.to_owned());
        for _ in 0..TRIES {
            match self.link.create(path, data, Kind::Ephemeral).await {
                Err(Failure::NoNode) => {
                    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                    self.link.create_folder(folder).await?;
                }
                done => return done.map(drop),
            }
        }
        self.link.create(path, data, Kind::Ephemeral).await.map(drop)
    }

    /// Arms a watch on what was written, so that its removal is noticed at once (clause L4). It was written: who removed or replaced it meanwhile came later,
    /// and is told of as by that watch.
    async fn watch_written(&self, path: &str) {
        match self.link.exists(path, Watch::Armed).await {
            Ok(Some(stat)) if stat.owner == self.id => {}
            Ok(_) => drop(self.seen.send(path.to_owned())),
            // When the watch could not be armed the audit tells instead, and when the connection is gone its loss does.
            Err(_) => {}
        }
    }

    async fn remove_one(&self, record: &Record, ours: &Lineage) -> Result<Removed, WriteError> {
        let path = self.path(record.key());
        for _ in 0..TRIES {
            let stat = match self.link.exists(&path, Watch::None).await {
                Ok(Some(stat)) => stat,
                Ok(None) => {
                    self.nodes().remove(&path);
                    return Ok(Removed::NotThere);
                }
                Err(failure) => return Err(failure.into_write_error(false).never()),
            };
            if matches!(self.owner(stat, ours), Owner::Other | Owner::Nobody) {
                self.nodes().remove(&path);
                return Ok(Removed::Foreign);
            }
            match self.link.delete(&path, stat.version).await {
                Ok(()) => {
                    self.nodes().remove(&path);
                    return Ok(Removed::Gone);
                }
                Err(Failure::NoNode | Failure::BadVersion) => {}
                Err(failure) => return Err(failure.into_write_error(false)),
            }
        }
        Err(WriteError::Contended)
    }

    async fn standing(&self, record: &Record, ours: &Lineage) -> Result<Standing, Failure> {
        let (data, stat) = match self.link.get(&self.path(record.key()), Watch::Armed).await {
            Ok(read) => read,
            Err(Failure::NoNode) => return Ok(Standing::Absent),
            // We cannot read it, so it is not ours.
            Err(Failure::NoAuth) => return Ok(Standing::Foreign),
            Err(failure) => return Err(failure),
        };
        let same = *data == *record.value();
        Ok(match self.owner(stat, ours) {
            Owner::Nobody => Standing::Unowned,
            Owner::Other => Standing::Foreign,
            Owner::ThisSession => Standing::Ours { current: true, same },
            Owner::EarlierSession => Standing::Ours { current: false, same },
        })
    }

    /// Sends that the session is over, once, and returns by what its end is seen. With the connection gone meanwhile the end is what the server does when the
    /// session times out.
    async fn send_end(&self) -> Result<Vec<String>, Failure> {
        let known = self.known_witnesses().clone();
        let witnesses = match known {
            Some(witnesses) => witnesses,
            None => {
                let found = self.find_witnesses().await?;
                self.known_witnesses().insert(found).clone()
            }
        };
        self.ending.store(true, Ordering::SeqCst);
        if !self.closed.load(Ordering::SeqCst) && self.link.is_alive() {
            self.link.close().await?;
            self.closed.store(true, Ordering::SeqCst);
        }
        Ok(witnesses)
    }

    /// A node that is made for it. Who may not make one, or cannot any more, has to see it by all entries: each of them may be another owner's by now, or gone.
    async fn find_witnesses(&self) -> Result<Vec<String>, Failure> {
        if let Ok((witness, _)) = self.link.probe("registry-end-").await {
            return Ok(vec![witness]);
        }
        match self.link.barrier().await {
            // What was sent before it stands, or never will; with the connection gone, it ends with the session.
            Ok(()) | Err(Failure::Gone(_) | Failure::Broken(_)) => Ok(self.nodes().iter().cloned().collect()),
            Err(failure) => Err(failure),
        }
    }

    fn known_witnesses(&self) -> MutexGuard<'_, Option<Vec<String>>> {
        self.witnesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, on another connection, until none of these nodes is of this session any more.
    async fn confirm_end(&self, mut witnesses: Vec<String>) -> Result<(), Failure> {
        let other = self.line.fresh().await?;
        let mut changes = other.listen("");
        loop {
            let looks = witnesses.iter().map(|witness| other.exists(witness, Watch::Armed)).collect();
            let stats: Vec<Option<Stat>> = all(looks).await.into_iter().collect::<Result<_, _>>()?;
            let mut stats = stats.into_iter();
            witnesses.retain(|_| stats.next().flatten().is_some_and(|stat| stat.owner == self.id));
            if witnesses.is_empty() {
                break;
            }
            tokio::select! {
                _ = changes.recv() => {}
                () = other.death() => return Err(other.gone()),
            }
        }
        // Its own session holds nothing; that it ends at once is a courtesy to the server.
        let _ = other.close().await;
        Ok(())
    }
}

#[async_trait]
impl Session for ZooKeeperSession {
    fn id(&self) -> SessionId {
        session_id(self.id)
    }

    fn ttl(&self) -> Option<Duration> {
        Some(self.link.ttl())
    }

    async fn put(&self, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        all(batch.iter().map(|put| self.put_one(put, ours)).collect()).await
    }

    async fn remove(&self, batch: &[Record], ours: &Lineage) -> Vec<Result<Removed, WriteError>> {
        all(batch.iter().map(|record| self.remove_one(record, ours)).collect()).await
    }

    async fn inspect(
        &self,
        records: &[Record],
        ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        self.link.barrier().await.map_err(Failure::into_session_error)?;
        let looks = records.iter().map(|record| self.standing(record, ours)).collect();
        let alone = |standing: Result<Standing, Failure>| match standing.map_err(Failure::into_session_error) {
            Ok(standing) => Ok(Ok(standing)),
            Err(SessionError::Failed(error)) => Ok(Err(error)),
            Err(lost) => Err(lost),
        };
        all(looks).await.into_iter().map(alone).collect()
    }

    async fn renew(&self, _due: &[Record]) -> Result<Vec<Key>, SessionError> {
        self.link.heartbeat().await.map_err(Failure::into_session_error)?;
        Ok(Vec::new())
    }

    async fn signal(&self) -> Signal {
        let mut told = self.told.lock().await;
        let (by_server, in_passing) = &mut *told;
        loop {
            let path = tokio::select! {
                biased;
                () = self.link.death() => break,
                path = by_server.recv() => path,
                path = in_passing.recv() => path,
            };
            let Some(path) = path else { break };
            if let Some(key) = path.strip_prefix(&*self.line.config().chroot) {
                return Signal::Look(Key::new(key));
            }
        }
        if self.ending.load(Ordering::SeqCst) {
            // It was meant to end.
            return std::future::pending().await;
        }
        Signal::Lost
    }

    async fn end(&self) -> Result<(), StoreError> {
        let witnesses = self.send_end().await?;
        // Without any there is nothing that could be left over.
        if !witnesses.is_empty() {
            self.confirm_end(witnesses).await?;
        }
        self.link.kill("its session is ended");
        Ok(())
    }
}

impl Drop for ZooKeeperSession {
    /// Nothing keeps the session alive without its owner, not even a view on the same connection.
    fn drop(&mut self) {
        self.link.kill("its session was dropped");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    ThisSession,
    EarlierSession,
    Other,
}

/// The error of a step that only prepared the write.
trait Prepared {
    fn never(self) -> Self;
}

impl Prepared for WriteError {
    fn never(self) -> Self {
        match self {
            Self::Failed { error, .. } => Self::Failed { error, applied: Applied::Never },
            other => other,
        }
    }
}

/// Somebody else wrote the same node at the same time, and what stood there before is gone.
fn crossed() -> WriteError {
    WriteError::unknown(StoreError::unreachable("somebody else writes this node at the same time"))
}

fn session_id(id: i64) -> SessionId {
    SessionId(id.cast_unsigned())
}

impl fmt::Debug for ZooKeeperSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooKeeperSession").field("id", &format_args!("{:x}", self.id)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
