//! A watch as tower's discover stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use registry_core::{Address, Instance, Watch};
use tower::discover::Change;

/// The changes of a watch as [`tower::discover::Discover`]: for `tower::balance::p2c::Balance` and its like. Keys are addresses.
///
/// `make` turns an instance into a service; it is called for each instance that is new, and again when a field of it changed, so that whatever the service
/// took from the instance is up to date. Nothing is queued while nobody polls: the next poll yields the difference from what was yielded to what is
/// (clauses W1 to W3). It ends when the handle was closed.
pub struct Discovery<F> {
    watch: Watch,
    make: F,
    pending: VecDeque<(Address, Option<Arc<Instance>>)>,
}

impl<F, S> Discovery<F>
where
    F: FnMut(&Arc<Instance>) -> S,
{
    /// Follows `watch` from its first snapshot on. A clone of a watch starts afresh.
    pub fn new(watch: Watch, make: F) -> Self {
        Self { watch, make, pending: VecDeque::new() }
    }
}

// Nothing is pinned: what `make` captured is only called.
impl<F> Unpin for Discovery<F> {}

impl<F, S> Stream for Discovery<F>
where
    F: FnMut(&Arc<Instance>) -> S,
{
    type Item = Result<Change<Address, S>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while this.pending.is_empty() {
            let Poll::Ready(change) = Pin::new(&mut this.watch).poll_next(cx) else { return Poll::Pending };
            let Some(change) = change else { return Poll::Ready(None) };
            let difference = change.difference;
            // Newcomers first, so that a balancer is never left without a service in between.
            let present = difference.added.into_iter().chain(difference.updated);
            this.pending.extend(present.map(|instance| (instance.address().clone(), Some(instance))));
            this.pending.extend(difference.removed.into_iter().map(|instance| (instance.address().clone(), None)));
        }
        Poll::Ready(this.pending.pop_front().map(|(address, instance)| {
            Ok(match instance {
                Some(instance) => Change::Insert(address, (this.make)(&instance)),
                None => Change::Remove(address),
            })
        }))
    }
}

impl<F> fmt::Debug for Discovery<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").field("watch", &self.watch).field("pending", &self.pending).finish_non_exhaustive()
    }
}
