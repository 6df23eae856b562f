//! A session: core's [`Session`] over what one handle has registered at an agent.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use registry_core::store::{
    Guard, Key, Lineage, OpenRequest, OwnerToken, Put, Record, Removed, Session, SessionError, SessionId, Standing,
    StoreError, WriteError,
};

use crate::check::Check;
use crate::definition::Definition;
use crate::owned::Owned;
use crate::transport::{self, Begin, CheckState, Failure, Transport};

/// What a handle does at an agent under its token. Consul knows no sessions of agents: this one is never lost, and nothing hangs on it.
///
/// Whose an entry is, the token in its `Meta` tells. Go Kitex writes none: such an entry is a successor's.
pub(crate) struct ConsulSession {
    transport: Arc<Transport>,
    owner: OwnerToken,
    id: SessionId,
    ttl: Duration,
    owned: Owned,
    /// The entries that were taken over, and for which the agent may still do what it did for the earlier registration.
    unsettled: Mutex<HashSet<String>>,
    /// Held while the agent is asked which entries are ours, so that beats that begin together ask once.
    asking: tokio::sync::Mutex<()>,
}

impl ConsulSession {
    /// Opens one when the agent answers, and knows the token.
    pub(crate) async fn open(transport: Arc<Transport>, request: OpenRequest) -> Result<Self, Failure> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        transport.start_afresh();
        let session = Self {
            transport,
            owner: request.owner,
            id: SessionId(NEXT.fetch_add(1, Ordering::Relaxed)),
            ttl: request.ttl,
            owned: Owned::new(request.ttl / 3),
            unsettled: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        };
        session.ask().await?;
        Ok(session)
    }

    /// Learns which entries are ours.
    async fn ask(&self) -> Result<(), Failure> {
        let asked = Instant::now();
        let ids = self.transport.owned(&self.owner).await?;
        self.owned.replace(ids, asked);
        Ok(())
    }

    /// Learns it once for all that are due, unless it is known.
    async fn ask_if_old(&self, due: &[Record]) -> Result<(), Failure> {
        let known = || due.iter().all(|record| self.owned.is_young(record.key()));
        if known() {
            return Ok(());
        }
        let began = Instant::now();
        let _one_at_a_time = self.asking.lock().await;
        // Somebody else may have asked while this waited; what is not in that answer is not ours.
        if known() || self.owned.is_listed_since(began) {
            return Ok(());
        }
        self.ask().await
    }

    async fn put_one(&self, put: &Put, ours: &Lineage) -> Result<(), WriteError> {
        let record = &put.record;
        let id = record.key().as_str();
        // Records are made by `encode`, which has refused what cannot be defined.
        let definition = Definition::new(record.info()).map_err(|refused| {
            WriteError::never(StoreError::new(registry_core::ErrorKind::InvalidInput, refused.to_string()))
        })?;
        let read = self.transport.standing(id).await;
        let standing = read.map_err(|failure| failure.not_applied().into_write_error())?;
        let owner = standing.as_ref().map(|standing| self.owner(standing, id, ours));
        if put.guard == Guard::AbsentOrOurs && owner == Some(Owner::Other) {
            self.owned.forget(record.key());
            return Err(WriteError::Foreign);
        }
        let unsettled = self.unsettled().contains(id);
        let fits = standing.as_ref().is_some_and(|standing| {
            owner == Some(Owner::Us) && !unsettled && standing.says(&definition) && self.has_check(standing, id)
        });
        let register =
            async |begin| self.transport.register(&definition, record.info(), &self.owner, self.ttl, begin).await;
        match &standing {
            _ if fits => {}
            Some(standing) if unsettled || !self.is_checked_alike(standing) => {
                // First what may be refused: another owner's entry never stands without the check that ends it.
                register(Begin::Passing).await.map_err(Failure::into_write_error)?;
                // The agent would go on with what it did for the earlier registration, and keep ours alive.
                self.unsettled().insert(id.to_owned());
                let replaced = async {
                    self.transport.drop_check(id).await?;
                    register(Begin::Passing).await
                };
                replaced.await.map_err(|failure| failure.applied_in_part().into_write_error())?;
                self.unsettled().remove(id);
            }
            _ => {
                let begin = if self.check().is_reported() { Begin::Critical } else { Begin::Passing };
                register(begin).await.map_err(Failure::into_write_error)?;
                self.unsettled().remove(id);
            }
        }
        let seen = Instant::now();
        // Registering does not make a critical check pass, and one that was never passed is critical again when the agent is restarted.
        if self.check().is_reported() {
            let passed = self.transport.pass(id).await;
            if !passed.map_err(|failure| failure.applied_in_part().into_write_error())? {
                return Err(Failure::forgotten("a registration").into_write_error());
            }
        }
        self.owned.note(record.key(), seen);
        Ok(())
    }

    fn unsettled(&self) -> MutexGuard<'_, HashSet<String>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn remove_one(&self, record: &Record, ours: &Lineage) -> Result<Removed, WriteError> {
        let id = record.key().as_str();
        self.owned.forget(record.key());
        let read = self.transport.standing(id).await;
        match read.map_err(|failure| failure.not_applied().into_write_error())? {
            None => return Ok(Removed::NotThere),
            Some(standing) if !self.is_ours(&standing, ours) => return Ok(Removed::Foreign),
            Some(_) => {}
        }
        self.transport.deregister(id).await.map_err(Failure::into_write_error)?;
        // An answer of 200 proves nothing: that it is gone does.
        let read = self.transport.standing(id).await;
        match read.map_err(|failure| failure.applied_in_part().into_write_error())? {
            Some(standing) if self.is_ours(&standing, ours) => Err(Failure::still_there().into_write_error()),
            _ => Ok(Removed::Gone),
        }
    }

    async fn inspect_one(&self, record: &Record, ours: &Lineage) -> Result<Standing, Failure> {
        let id = record.key().as_str();
        let asked = Instant::now();
        let Some(standing) = self.transport.standing(id).await? else {
            self.owned.forget(record.key());
            return Ok(Standing::Absent);
        };
        Ok(match self.owner(&standing, id, ours) {
            Owner::Us => {
                self.owned.note(record.key(), asked);
                let said = Definition::new(record.info()).is_ok_and(|definition| standing.says(&definition));
                // One that does not pass is written again: that passes it, or tells why it cannot.
                let passes = !self.check().is_reported() || standing.check(id) == CheckState::Passing;
                Standing::Ours { current: true, same: said && passes && self.has_check(&standing, id) }
            }
            owner => {
                self.owned.forget(record.key());
                if owner == Owner::Nobody { Standing::Unowned } else { Standing::Foreign }
            }
        })
    }

    /// Whose an entry is. A handle's whose TTL ran out is nobody's any more, as if it hung on a lease: otherwise a successor that died would displace an
    /// owner that lives until the agent reaps it. One without a token is its owner's until then, whatever its check says: when Go Kitex registers over a
    /// handle's entry, the agent's timer of the earlier TTL check runs out once more, and says so in Go's.
    fn owner(&self, standing: &transport::Standing, id: &str, ours: &Lineage) -> Owner {
        if self.is_ours(standing, ours) {
            return Owner::Us;
        }
        let reported = standing.owner().is_some() && standing.check_word().is_none();
        if reported && standing.check(id) == CheckState::Expired { Owner::Nobody } else { Owner::Other }
    }

    fn is_ours(&self, standing: &transport::Standing, ours: &Lineage) -> bool {
        standing.owner().is_some_and(|owner| owner == self.owner.as_str() || owner == ours.owner().as_str())
    }

    /// Whether the agent does for this entry what it does for those that we register.
    fn is_checked_alike(&self, standing: &transport::Standing) -> bool {
        standing.owner().is_some() && standing.check_word() == self.check().word()
    }

    /// Whether the entry still has the check that it was registered with: an operator can remove one.
    fn has_check(&self, standing: &transport::Standing, id: &str) -> bool {
        self.is_checked_alike(standing) && (*self.check() == Check::None) == (standing.check(id) == CheckState::None)
    }

    fn check(&self) -> &Check {
        &self.transport.config().check
    }
}

#[async_trait]
impl Session for ConsulSession {
    fn id(&self) -> SessionId {
        self.id
    }

    async fn put(&self, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        join_all(batch.iter().map(|put| self.put_one(put, ours))).await
    }

    async fn remove(&self, batch: &[Record], ours: &Lineage) -> Vec<Result<Removed, WriteError>> {
        join_all(batch.iter().map(|record| self.remove_one(record, ours))).await
    }

    async fn inspect(
        &self,
        records: &[Record],
        ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        let inspected = join_all(records.iter().map(|record| self.inspect_one(record, ours))).await;
        Ok(inspected.into_iter().map(|standing| standing.map_err(StoreError::from)).collect())
    }

    async fn renew(&self, due: &[Record]) -> Result<Vec<Key>, SessionError> {
        if due.is_empty() {
            self.ask().await.map_err(Failure::into_session_error)?;
            return Ok(Vec::new());
        }
        self.ask_if_old(due).await.map_err(Failure::into_session_error)?;
        let beat = async |record: &Record| {
            let key = record.key();
            if !self.owned.is_young(key) {
                return Ok(false);
            }
            if self.check().is_reported() { self.transport.pass(key.as_str()).await } else { Ok(true) }
        };
        let beaten = join_all(due.iter().map(beat)).await;
        let mut look = Vec::new();
        let mut denied = Vec::new();
        for (record, result) in due.iter().zip(beaten) {
            match result {
                Ok(true) => {}
                Ok(false) => look.push(record.key().clone()),
                Err(failure) if failure.is_silence() => return Err(failure.into_session_error()),
                // It stands against this entry alone, as far as is known: writing it again tells its registration.
                Err(failure) => {
                    look.push(record.key().clone());
                    denied.push(failure);
                }
            }
        }
        match denied.pop() {
            Some(failure) if denied.len() + 1 == due.len() => Err(failure.into_session_error()),
            _ => Ok(look),
        }
    }

    async fn end(&self) -> Result<(), StoreError> {
        // Every entry was withdrawn by itself.
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    Us,
    Other,
}

impl fmt::Debug for ConsulSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsulSession").field("owner", &self.owner).field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
