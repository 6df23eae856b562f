//! Compare and swap: several changes in one transaction, under one condition each.
//!
//! The transaction is flat. Inside nested ones etcd 3.5.16 checks no permissions (GHSA-rfx7-8w68-q57q): what worked only there would fail after an update
//! of the server.

use std::sync::Arc;

use etcd_client::{Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp, TxnResponse};

use super::Stored;

/// What has to stand under a key for a change to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) key: Arc<str>,
    /// The revision of its last write; 0 when nothing must stand there.
    pub(crate) revision: i64,
    /// The lease it hangs on, where that matters. After a wipe a foreign entry may have a revision that was ours, but never our lease.
    pub(crate) lease: Option<i64>,
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) expected: Expected,
    pub(crate) write: Write,
}

#[derive(Clone, Debug)]
pub(crate) enum Write {
    /// Writes this value, hanging on this lease.
    Put {
        value: Arc<[u8]>,
        lease: i64,
    },
    Delete,
}

/// What came of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Swapped {
    /// Everything was applied.
    Done,
    /// Nothing was applied, because something stood otherwise.
    Refused(Stands),
}

/// What stood at the moment when a transaction was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stands {
    /// The fence's revision; 0 when it does not exist, or none was expected.
    pub(crate) fence: i64,
    /// What stood under the key of each change, without its value, in their order.
    pub(crate) entries: Vec<Option<Stored>>,
}

impl Change {
    /// Bytes that it takes in a request, roughly.
    pub(crate) fn size(&self) -> usize {
        let value = match &self.write {
            Write::Put { value, .. } => value.len(),
            Write::Delete => 0,
        };
        // The key stands in up to two comparisons, the operation, and the read of a refusal.
        4 * self.expected.key.len() + value + 64
    }
}

pub(super) fn transaction(fence: Option<&Expected>, changes: &[Change]) -> Txn {
    let expected = || fence.into_iter().chain(changes.iter().map(|change| &change.expected));
    let conditions: Vec<Compare> = expected().flat_map(compares).collect();
    let writes: Vec<TxnOp> = changes.iter().map(operation).collect();
    let read = |expected: &Expected| TxnOp::get(&*expected.key, Some(GetOptions::new().with_keys_only()));
    let reads: Vec<TxnOp> = expected().map(read).collect();
    Txn::new().when(conditions).and_then(writes).or_else(reads)
}

pub(super) fn outcome(fenced: bool, answer: &TxnResponse) -> Swapped {
    if answer.succeeded() {
        return Swapped::Done;
    }
    let mut stands = answer.op_responses().into_iter().map(super::first);
    let fence = if fenced { stands.next().flatten() } else { None };
    Swapped::Refused(Stands { fence: fence.map_or(0, |fence| fence.revision), entries: stands.collect() })
}

fn compares(expected: &Expected) -> impl Iterator<Item = Compare> + use<> {
    let key = &*expected.key;
    let revision = Compare::mod_revision(key, CompareOp::Equal, expected.revision);
    let lease = expected.lease.map(|lease| Compare::lease(key, CompareOp::Equal, lease));
    std::iter::once(revision).chain(lease)
}

fn operation(change: &Change) -> TxnOp {
    let key = &*change.expected.key;
    match &change.write {
        Write::Put { value, lease } => TxnOp::put(key, &**value, Some(PutOptions::new().with_lease(*lease))),
        Write::Delete => TxnOp::delete(key, None),
    }
}
