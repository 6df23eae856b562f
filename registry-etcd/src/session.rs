//! A session: core's [`Session`] over one lease.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use registry_core::ErrorKind;
use registry_core::store::{
    Guard, Key, Lineage, Put, Record, Removed, Session, SessionError, SessionId, Standing, StoreError, WriteError,
};

use crate::prefix::Prefix;
use crate::transport::{Change, Expected, Failure, KeepAlive, Renewed, Stored, Swapped, Transport, What, Write};

/// The largest request that is sent when it can be split, in bytes: etcd refuses more than 1.5 MiB (`--max-request-bytes`).
const MAX_REQUEST: usize = 1024 * 1024;

/// Entries in one transaction that reads them, or expects nothing to stand there: etcd allows 128 comparisons and operations (`--max-txn-ops`), and the
/// fence takes one.
pub(crate) const MAX_BATCH: usize = 127;

/// Entries in one transaction that compares revision and lease of each.
const MAX_COMPARED: usize = 63;

/// One lease, never used again after it was lost.
///
/// Every write is a transaction that compares what stands there with what was read just before, or with nothing, which is what stands in the way of a new
/// registration; and the session's *fence*: a key on the same lease whose revision stands for all writes begun since it was last written. Writing it anew
/// shuts out those begun earlier, however late they arrive.
pub(crate) struct EtcdSession {
    transport: Arc<Transport>,
    lease: i64,
    ttl: Duration,
    /// The open stream; taken out while it is in use, so that an answer that nobody waited for is never taken for a later one.
    keep_alive: Mutex<Option<Box<KeepAlive>>>,
    /// `None` when we may not write it: then fencing takes a new lease.
    fence: Option<Fence>,
}

struct Fence {
    key: Arc<str>,
    /// The revision of its last write that we know of; 0 for none.
    revision: AtomicI64,
}

impl EtcdSession {
    pub(crate) async fn open(transport: Arc<Transport>, prefix: &Prefix, ttl: Duration) -> Result<Self, Failure> {
        transport.start_afresh();
        // Whole seconds, never fewer than asked for.
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        // Asked before there is a lease that a failure would leave behind.
        let permitted = transport.may_write(&prefix.fence(0)).await?;
        let granted = transport.grant(i64::try_from(seconds).unwrap_or(i64::MAX)).await?;
        let fence = Fence { key: prefix.fence(granted.id).into(), revision: AtomicI64::new(0) };
        Ok(Self {
            transport,
            lease: granted.id,
            ttl: Duration::from_secs(granted.seconds.unsigned_abs()),
            keep_alive: Mutex::default(),
            fence: permitted.then_some(fence),
        })
    }

    /// What stands under each key: all read at once, or, when that is refused, each by itself.
    async fn read(&self, keys: &[&str], what: What) -> Vec<Result<Option<Stored>, Failure>> {
        match self.transport.read(keys, what).await {
            Ok(read) => read.into_iter().map(Ok).collect(),
            Err(failure) if keys.len() > 1 && failure.is_refusal() => {
                let one =
                    async |key: &&str| self.transport.read(&[*key], what).await.map(|read| read.into_iter().next()?);
                join_all(keys.iter().map(one)).await
            }
            Err(failure) => vec![Err(failure); keys.len()],
        }
    }

    /// Writes what has nothing in its way: all at once, or, when that is refused, each by itself.
    async fn put_new(&self, fence: Option<&Expected>, batch: &[Put]) -> Vec<First> {
        let changes: Vec<Change> = batch.iter().map(|put| self.write(put, None)).collect();
        let groups =
            groups(&changes, MAX_BATCH).into_iter().map(async |group| match self.put_group_new(fence, group).await {
                Ok(first) => first,
                Err(failure) if group.len() > 1 && failure.is_refusal() => {
                    join_all(group.iter().map(|change| self.put_one_new(fence, change))).await
                }
                Err(failure) if failure.is_refusal() => vec![self.stands(&group[0], failure).await],
                Err(failure) => vec![First::Failed(failure.into_write_error()); group.len()],
            });
        join_all(groups).await.into_iter().flatten().collect()
    }

    async fn put_one_new(&self, fence: Option<&Expected>, change: &Change) -> First {
        match self.put_group_new(fence, std::slice::from_ref(change)).await {
            Ok(mut first) => first.remove(0),
            Err(failure) if failure.is_refusal() => self.stands(change, failure).await,
            Err(failure) => First::Failed(failure.into_write_error()),
        }
    }

    /// What stands in the way of a write that was refused: another owner's entry says more than the refusal does.
    async fn stands(&self, change: &Change, refusal: Failure) -> First {
        match self.transport.read(&[&change.expected.key], What::NoValues).await {
            Ok(mut read) if !read.is_empty() => First::Stands(read.remove(0)),
            _ => First::Failed(refusal.into_write_error()),
        }
    }

    async fn put_group_new(&self, fence: Option<&Expected>, group: &[Change]) -> Result<Vec<First>, Failure> {
        Ok(match self.transport.swap(fence, group).await? {
            Swapped::Done => vec![First::Written; group.len()],
            Swapped::Refused(stands) if fence.is_some_and(|fence| fence.revision != stands.fence) => {
                vec![First::Failed(self.refused(fence, stands.fence)); group.len()]
            }
            Swapped::Refused(stands) if stands.entries.len() == group.len() => {
                stands.entries.into_iter().map(First::Stands).collect()
            }
            Swapped::Refused(_) => {
                let error = StoreError::new(ErrorKind::Other, "etcd answered for fewer entries than were asked for");
                vec![First::Failed(WriteError::never(error)); group.len()]
            }
        })
    }

    /// Applies what was found applicable; the rest has its result already.
    async fn settle<T: Copy>(
        &self,
        fence: Option<&Expected>,
        judged: Vec<Result<Change, Result<T, WriteError>>>,
        done: T,
    ) -> Vec<Result<T, WriteError>> {
        let changes: Vec<Change> = judged.iter().filter_map(|judged| judged.as_ref().ok().cloned()).collect();
        let mut applied = self.apply(fence, &changes).await.into_iter();
        let mut next = || applied.next().expect("invariant: apply gives one result a change").map(|()| done);
        judged.into_iter().map(|judged| judged.map_or_else(|result| result, |_| next())).collect()
    }

    /// Applies changes, each independent of the others: together where that works, and those of a group that was refused one by one.
    async fn apply(&self, fence: Option<&Expected>, changes: &[Change]) -> Vec<Result<(), WriteError>> {
        let groups = groups(changes, MAX_COMPARED).into_iter().map(|group| self.apply_group(fence, group));
        join_all(groups).await.into_iter().flatten().collect()
    }

    async fn apply_group(&self, fence: Option<&Expected>, group: &[Change]) -> Vec<Result<(), WriteError>> {
        if let [change] = group {
            return vec![self.apply_one(fence, change).await];
        }
        match self.transport.swap(fence, group).await {
            Ok(Swapped::Done) => vec![Ok(()); group.len()],
            Ok(Swapped::Refused(_)) => join_all(group.iter().map(|change| self.apply_one(fence, change))).await,
            Err(failure) if failure.is_refusal() => {
                join_all(group.iter().map(|change| self.apply_one(fence, change))).await
            }
            Err(failure) => vec![Err(failure.into_write_error()); group.len()],
        }
    }

    async fn apply_one(&self, fence: Option<&Expected>, change: &Change) -> Result<(), WriteError> {
        match self.transport.swap(fence, std::slice::from_ref(change)).await {
            Ok(Swapped::Done) => Ok(()),
            Ok(Swapped::Refused(stands)) => Err(self.refused(fence, stands.fence)),
            Err(failure) if failure.is_not_permitted() && self.fence_is_forbidden().await => {
                Err(WriteError::SessionLost)
            }
            Err(failure) => Err(failure.into_write_error()),
        }
    }

    /// Whether the fence, which we might use when the session was opened, is what we may not use any more. The session is of no use then, and ends: the next
    /// one does without.
    async fn fence_is_forbidden(&self) -> bool {
        let Some(fence) = &self.fence else { return false };
        let forbidden = self.transport.may_write(&fence.key).await.is_ok_and(|permitted| !permitted);
        if forbidden {
            // If that is refused, too, it expires.
            let _ = self.transport.revoke(self.lease).await;
        }
        forbidden
    }

    /// Why a change was refused: the fence is gone with the lease, or was written meanwhile, or the entry was.
    fn refused(&self, expected: Option<&Expected>, stands: i64) -> WriteError {
        let (Some(fence), Some(expected)) = (&self.fence, expected) else { return WriteError::Contended };
        // Gone with its lease, or older than we know it: the store was put back to what it was before, and it may be so with all that this session wrote.
        if stands < expected.revision {
            return WriteError::SessionLost;
        }
        // A write of the fence whose answer was lost: later writes go on from there.
        fence.revision.fetch_max(stands, Ordering::SeqCst);
        WriteError::Contended
    }

    /// The fence as a write that begins now has to find it.
    fn present_fence(&self) -> Option<Expected> {
        let fence = self.fence.as_ref()?;
        Some(Expected { key: fence.key.clone(), revision: fence.revision.load(Ordering::SeqCst), lease: None })
    }

    fn standing(&self, stored: Option<&Stored>, record: &Record, ours: &Lineage) -> Standing {
        let Some(stored) = stored else { return Standing::Absent };
        match self.owner(stored.lease, ours) {
            Owner::Nobody => Standing::Unowned,
            Owner::Other => Standing::Foreign,
            Owner::Us => Standing::Ours { current: stored.lease == self.lease, same: *stored.value == *record.value() },
        }
    }

    fn owner(&self, lease: i64, ours: &Lineage) -> Owner {
        match lease {
            0 => Owner::Nobody,
            lease if lease == self.lease || ours.contains(session_id(lease)) => Owner::Us,
            _ => Owner::Other,
        }
    }

    /// What a put may replace.
    fn replaceable(&self, put: &Put, stored: Option<&Stored>, ours: &Lineage) -> Result<Change, WriteError> {
        let foreign = stored.is_some_and(|stored| self.owner(stored.lease, ours) == Owner::Other);
        if foreign && put.guard == Guard::AbsentOrOurs {
            return Err(WriteError::Foreign);
        }
        Ok(self.write(put, stored))
    }

    /// A put, where this stands.
    fn write(&self, put: &Put, stored: Option<&Stored>) -> Change {
        let write = Write::Put { value: put.record.value().into(), lease: self.lease };
        Change { expected: expected(put.record.key(), stored), write }
    }

    /// What a removal may remove, or why there is nothing to remove.
    fn removable(&self, record: &Record, stored: Option<&Stored>, ours: &Lineage) -> Result<Change, Removed> {
        let Some(stored) = stored else { return Err(Removed::NotThere) };
        match self.owner(stored.lease, ours) {
            Owner::Us => Ok(Change { expected: expected(record.key(), Some(stored)), write: Write::Delete }),
            Owner::Nobody | Owner::Other => Err(Removed::Foreign),
        }
    }
}

#[async_trait]
impl Session for EtcdSession {
    fn id(&self) -> SessionId {
        session_id(self.lease)
    }

    fn ttl(&self) -> Option<Duration> {
        Some(self.ttl)
    }

    async fn put(&self, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        // Before anything is asked: a fence written from now on shuts these writes out.
        let fence = self.present_fence();
        let first = self.put_new(fence.as_ref(), batch).await;
        let judge = |(put, first): (&Put, First)| match first {
            First::Written => Err(Ok(())),
            First::Failed(error) => Err(Err(error)),
            First::Stands(stored) => self.replaceable(put, stored.as_ref(), ours).map_err(Err),
        };
        self.settle(fence.as_ref(), batch.iter().zip(first).map(judge).collect(), ()).await
    }

    async fn remove(&self, batch: &[Record], ours: &Lineage) -> Vec<Result<Removed, WriteError>> {
        let fence = self.present_fence();
        let keys: Vec<&str> = batch.iter().map(|record| record.key().as_str()).collect();
        let read = self.read(&keys, What::NoValues).await;
        let judge = |(record, stored): (&Record, Result<Option<Stored>, Failure>)| match stored {
            Ok(stored) => self.removable(record, stored.as_ref(), ours).map_err(Ok),
            Err(failure) => Err(Err(failure.not_applied().into_write_error())),
        };
        self.settle(fence.as_ref(), batch.iter().zip(read).map(judge).collect(), Removed::Gone).await
    }

    async fn inspect(
        &self,
        records: &[Record],
        ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        let keys: Vec<&str> = records.iter().map(|record| record.key().as_str()).collect();
        let read = self.read(&keys, What::Everything).await;
        let judge = |(record, stored): (&Record, Result<Option<Stored>, Failure>)| match stored {
            Ok(stored) => Ok(self.standing(stored.as_ref(), record, ours)),
            Err(failure) => Err(failure.into()),
        };
        Ok(records.iter().zip(read).map(judge).collect())
    }

    async fn renew(&self, _due: &[Record]) -> Result<Vec<Key>, SessionError> {
        let open = self.keep_alive.lock().unwrap_or_else(PoisonError::into_inner).take();
        match self.transport.keep_alive(self.lease, open).await.map_err(Failure::into_session_error)? {
            Renewed::Alive(stream) => {
                *self.keep_alive.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
                Ok(Vec::new())
            }
            Renewed::Lost => Err(SessionError::Lost),
        }
    }

    fn fencing_ends_session(&self) -> bool {
        self.fence.is_none()
    }

    async fn fence(&self) -> Result<(), SessionError> {
        if let Some(fence) = &self.fence {
            match self.transport.touch(&fence.key, self.lease).await {
                Ok(revision) => {
                    fence.revision.fetch_max(revision, Ordering::SeqCst);
                    return Ok(());
                }
                Err(failure) if failure.is_not_permitted() => {}
                Err(failure) => return Err(failure.into_session_error()),
            }
        }
        // We may not write the fence. No write takes effect on a lease that is gone.
        self.transport.revoke(self.lease).await.map_err(Failure::into_session_error)?;
        Err(SessionError::Lost)
    }

    async fn end(&self) -> Result<(), StoreError> {
        self.transport.revoke(self.lease).await?;
        Ok(())
    }
}

/// What came of the first step of a put.
#[derive(Clone)]
enum First {
    Written,
    /// This stands in its way; or nothing does, and something in the way of another entry of the same request.
    Stands(Option<Stored>),
    Failed(WriteError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    Us,
    Other,
}

impl fmt::Debug for EtcdSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdSession").field("lease", &format_args!("{:x}", self.lease)).finish_non_exhaustive()
    }
}

fn session_id(lease: i64) -> SessionId {
    SessionId(lease.cast_unsigned())
}

fn expected(key: &Key, stored: Option<&Stored>) -> Expected {
    let (revision, lease) = stored.map_or((0, None), |stored| (stored.revision, Some(stored.lease)));
    Expected { key: key.as_str().into(), revision, lease }
}

/// Consecutive changes that fit into one request each, at most `most` of them.
fn groups(changes: &[Change], most: usize) -> Vec<&[Change]> {
    let mut groups = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (at, change) in changes.iter().enumerate() {
        if at > start && (size + change.size() > MAX_REQUEST || at - start == most) {
            groups.push(&changes[start..at]);
            (start, size) = (at, 0);
        }
        size += change.size();
    }
    if start < changes.len() {
        groups.push(&changes[start..]);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(bytes: usize) -> Change {
        let expected = Expected { key: "k".into(), revision: 0, lease: None };
        Change { expected, write: Write::Put { value: vec![b'x'; bytes].into(), lease: 1 } }
    }

    #[test]
    fn no_group_is_larger_than_a_request_may_be() {
        let changes: Vec<_> = (0..60).map(|_| change(64 * 1024 - 200)).collect();
        let sizes: Vec<_> = groups(&changes, MAX_BATCH).iter().map(|group| group.len()).collect();
        assert_eq!(sizes, [16, 16, 16, 12]);
    }

    #[test]
    fn no_group_has_more_entries_than_a_transaction_may_compare() {
        let changes: Vec<_> = (0..300).map(|_| change(10)).collect();
        let sizes: Vec<_> = groups(&changes, MAX_BATCH).iter().map(|group| group.len()).collect();
        assert_eq!(sizes, [127, 127, 46]);
    }

    #[test]
    fn a_fence_that_is_older_than_we_know_it_is_of_a_store_that_was_put_back() {
        let config = crate::config::Config::new(&crate::Options::new(["one"])).unwrap();
        let fence = Fence { key: "f".into(), revision: AtomicI64::new(100) };
        let session = EtcdSession {
            transport: Arc::new(Transport::new(config)),
            lease: 1,
            ttl: Duration::from_secs(1),
            keep_alive: Mutex::default(),
            fence: Some(fence),
        };
        let expected = session.present_fence();
        let refused = |stands| session.refused(expected.as_ref(), stands);
        assert!(matches!([refused(0), refused(50)], [WriteError::SessionLost, WriteError::SessionLost]));
        assert!(matches!([refused(100), refused(150)], [WriteError::Contended, WriteError::Contended]));
        assert_eq!(session.present_fence().unwrap().revision, 150, "later writes go on from there");
    }

    #[test]
    fn no_changes_are_no_group() {
        assert!(groups(&[], MAX_BATCH).is_empty());
    }
}
