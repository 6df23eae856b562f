//! Compare and swap: several changes in one transaction, under one condition each.
//!
//! The transaction is flat: etcd before 3.5.28 does not check permissions inside nested ones, so that nesting would write where the role may not, until the
//! server is updated.

use std::sync::Arc;

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swapped {
    /// Everything was applied, at this revision.
    Done { revision: i64 },
    /// Nothing was applied, because something stood otherwise. `fence` is the fence's revision, 0 when it does not exist.
    Refused { fence: i64 },
}

impl Change {
    /// Bytes that it takes in a request, roughly.
    pub(crate) fn size(&self) -> usize {
        let value = match &self.write {
            Write::Put { value, .. } => value.len(),
            Write::Delete => 0,
        };
        // The key stands in up to two comparisons and the operation.
        3 * self.expected.key.len() + value + 64
    }
}

pub(super) fn transaction(fence: Option<&Expected>, changes: &[Change]) -> Txn {
    let conditions: Vec<Compare> =
        fence.into_iter().chain(changes.iter().map(|change| &change.expected)).flat_map(compares).collect();
    let writes: Vec<TxnOp> = changes.iter().map(operation).collect();
    let fence_reads: Vec<TxnOp> = fence.iter().map(|fence| TxnOp::get(&*fence.key, None)).collect();
    Txn::new().when(conditions).and_then(writes).or_else(fence_reads)
}

pub(super) fn outcome(answer: &TxnResponse) -> Swapped {
    if answer.succeeded() {
        return Swapped::Done { revision: answer.header().map_or(0, etcd_client::ResponseHeader::revision) };
    }
    let fence = answer.op_responses().into_iter().find_map(|response| match response {
        TxnOpResponse::Get(got) => got.kvs().first().map(etcd_client::KeyValue::mod_revision),
        _ => None,
    });
    Swapped::Refused { fence: fence.unwrap_or(0) }
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
