//! The store operations in flight: each with its limit, and none able to take the keeper down.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::caller::{Caller, while_all_wait};
use super::link::Epoch;
use super::slot::CallId;
use crate::error::ErrorKind;
use crate::store::{
    Key, Lineage, OpenRequest, Put, Record, Removed, Session, SessionError, Signal, Standing, Store, StoreError,
    WriteError,
};

/// A store operation in flight.
pub(super) type Operation = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What came of an operation.
pub(super) enum Done {
    Opened(Result<Arc<dyn Session>, StoreError>),
    Renewed(Epoch, Vec<Key>, Result<Vec<Key>, SessionError>),
    Put(Epoch, Vec<PutDone>),
    Removed(Epoch, Vec<(Key, Result<Removed, WriteError>)>),
    Inspected(Epoch, Vec<Record>, Result<Vec<Result<Standing, StoreError>>, SessionError>),
    Fenced(Epoch, u64, Result<(), SessionError>),
    Signalled(Epoch, Signal),
    Ended(Result<(), StoreError>),
}

/// A put, and the call that it is made for, with its caller where the attempt ends when that one leaves.
pub(super) struct Write {
    pub(super) put: Put,
    pub(super) call: Option<(CallId, Option<Arc<Caller>>)>,
}

pub(super) struct PutDone {
    pub(super) record: Record,
    pub(super) call: Option<CallId>,
    pub(super) result: Result<(), WriteError>,
    /// The attempt ended because the caller of another write in it left.
    pub(super) cut: bool,
}

pub(super) fn open(store: Arc<dyn Store>, request: OpenRequest, limit: Duration) -> Operation {
    Box::pin(async move { Done::Opened(flatten(limited(limit, store.open(request)).await)) })
}

/// Renews the session, or the given entries.
pub(super) fn renew(session: Arc<dyn Session>, epoch: Epoch, due: Vec<Record>, limit: Duration) -> Operation {
    Box::pin(async move {
        let result = flatten(limited(limit, session.renew(&due)).await);
        Done::Renewed(epoch, due.iter().map(|record| record.key().clone()).collect(), result)
    })
}

pub(super) fn put(
    session: Arc<dyn Session>,
    epoch: Epoch,
    batch: Vec<Write>,
    ours: Lineage,
    limit: Duration,
) -> Operation {
    Box::pin(async move {
        let (puts, calls): (Vec<Put>, Vec<_>) = batch.into_iter().map(|write| (write.put, write.call)).unzip();
        let callers: Vec<Arc<Caller>> = calls.iter().flatten().filter_map(|(_, caller)| caller.clone()).collect();
        let written = limited(limit, while_all_wait(&callers, session.put(&puts, &ours))).await;
        let cut = matches!(written, Ok(None));
        let given_up = || StoreError::new(ErrorKind::TimedOut, "given up with a call that was sent along");
        let results = per_entry(written.and_then(|written| written.ok_or_else(given_up)), puts.len());
        let calls = calls.into_iter().map(|call| call.map(|(id, _)| id));
        let done = puts.into_iter().zip(calls).zip(results);
        let done = done.map(|((put, call), result)| PutDone { record: put.record, call, result, cut });
        Done::Put(epoch, done.collect())
    })
}

pub(super) fn remove(
    session: Arc<dyn Session>,
    epoch: Epoch,
    batch: Vec<Record>,
    ours: Lineage,
    limit: Duration,
) -> Operation {
    Box::pin(async move {
        let results = per_entry(limited(limit, session.remove(&batch, &ours)).await, batch.len());
        Done::Removed(epoch, batch.iter().map(|record| record.key().clone()).zip(results).collect())
    })
}

pub(super) fn inspect(
    session: Arc<dyn Session>,
    epoch: Epoch,
    batch: Vec<Record>,
    ours: Lineage,
    limit: Duration,
) -> Operation {
    Box::pin(async move {
        let result = flatten(limited(limit, session.inspect(&batch, &ours)).await);
        let result = result.and_then(|standings| {
            if standings.len() == batch.len() {
                Ok(standings)
            } else {
                Err(SessionError::Failed(wrong_count(standings.len(), batch.len())))
            }
        });
        Done::Inspected(epoch, batch, result)
    })
}

pub(super) fn fence(session: Arc<dyn Session>, epoch: Epoch, up_to: u64, limit: Duration) -> Operation {
    Box::pin(async move { Done::Fenced(epoch, up_to, flatten(limited(limit, session.fence()).await)) })
}

pub(super) fn signal(session: Arc<dyn Session>, epoch: Epoch) -> Operation {
    Box::pin(async move {
        // A panicking adapter tells no more signals; renewals and audits go on.
        match AssertUnwindSafe(session.signal()).catch_unwind().await {
            Ok(signal) => Done::Signalled(epoch, signal),
            Err(_) => std::future::pending().await,
        }
    })
}

pub(super) fn end(session: Arc<dyn Session>, limit: Duration) -> Operation {
    Box::pin(async move { Done::Ended(flatten(limited(limit, session.end()).await)) })
}

/// Runs one attempt: within `limit`, and with a panic of the adapter turned into an error.
async fn limited<T>(limit: Duration, operation: impl Future<Output = T>) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, AssertUnwindSafe(operation).catch_unwind()).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) => Err(StoreError::new(ErrorKind::Other, "the adapter panicked")),
        Err(_) => Err(StoreError::timed_out(limit)),
    }
}

fn flatten<T, E: From<StoreError>>(result: Result<Result<T, E>, StoreError>) -> Result<T, E> {
    result.unwrap_or_else(|error| Err(error.into()))
}

/// The results of a batch; one that did not end has an unknown outcome for every entry.
fn per_entry<T>(results: Result<Vec<Result<T, WriteError>>, StoreError>, count: usize) -> Vec<Result<T, WriteError>> {
    match results {
        Ok(results) if results.len() == count => results,
        Ok(results) => (0..count).map(|_| Err(WriteError::unknown(wrong_count(results.len(), count)))).collect(),
        Err(error) => (0..count).map(|_| Err(WriteError::unknown(error.clone()))).collect(),
    }
}

fn wrong_count(given: usize, wanted: usize) -> StoreError {
    StoreError::new(ErrorKind::Other, format!("the adapter gave {given} results for {wanted} entries"))
}
