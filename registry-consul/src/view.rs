//! A view: core's [`View`] over queries that wait.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_core::ServiceName;
use registry_core::store::{Found, StoreError, View, ViewChange};

use crate::entries;
use crate::transport::{Failure, Listed, Member, Transport};

/// How long a view is silent before core asks for a sign of life. A query waits far longer: its connection says nothing meanwhile, whether or not anybody
/// is left at its other end.
const SILENCE: Duration = Duration::from_secs(2);

type Asking = Pin<Box<dyn Future<Output = Result<Listed, Failure>> + Send>>;

/// A view of one service: its list, and then the list whenever its index moved.
///
/// Any error ends it, and the next one starts from the beginning: an index is only worth something to the servers that gave it.
pub(crate) struct ConsulView {
    transport: Arc<Transport>,
    service: ServiceName,
    /// The index of the last list; 0 to be answered at once.
    index: u64,
    /// The list that was read when it was opened, until it is yielded.
    first: Option<Vec<Found>>,
    /// The query that waits. It outlives a dropped [`next`](View::next).
    asking: Option<Asking>,
    /// Consul answered since something was last yielded.
    alive: bool,
    _member: Member,
}

impl ConsulView {
    pub(crate) async fn open(transport: Arc<Transport>, service: ServiceName) -> Result<Self, Failure> {
        let member = transport.join();
        let listed = transport.list(service.as_str()).await?;
        let first = Some(found(&service, &listed));
        let index = listed.index;
        Ok(Self { transport, service, index, first, asking: None, alive: false, _member: member })
    }
}

#[async_trait]
impl View for ConsulView {
    async fn next(&mut self) -> Result<ViewChange, StoreError> {
        if let Some(first) = self.first.take() {
            return Ok(ViewChange::Full(first));
        }
        if std::mem::take(&mut self.alive) {
            return Ok(ViewChange::Alive);
        }
        let (transport, service, index) = (&self.transport, &self.service, self.index);
        let asking = self.asking.get_or_insert_with(|| {
            let (transport, service) = (transport.clone(), service.clone());
            Box::pin(async move { transport.changes(service.as_str(), index).await })
        });
        let listed = asking.as_mut().await;
        self.asking = None;
        let listed = listed?;
        let moved = listed.index != self.index;
        self.index = next_index(self.index, listed.index);
        // What is the same makes no difference, but for an index that stayed: then it is the same.
        Ok(if moved { ViewChange::Full(found(&self.service, &listed)) } else { ViewChange::Alive })
    }

    async fn probe(&mut self) -> Result<(), StoreError> {
        self.transport.check_alive(SILENCE / 2).await?;
        self.alive = true;
        Ok(())
    }

    fn silence(&self) -> Duration {
        SILENCE
    }
}

impl fmt::Debug for ConsulView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsulView").field("service", &self.service).field("index", &self.index).finish_non_exhaustive()
    }
}

/// The index to wait from. One that went back is of servers that were replaced or restored: from 0 (Consul's documentation of blocking queries).
fn next_index(before: u64, answered: u64) -> u64 {
    if answered < before { 0 } else { answered }
}

fn found(service: &ServiceName, listed: &Listed) -> Vec<Found> {
    listed.entries.iter().filter_map(|raw| entries::found(service, raw)).collect()
}

#[cfg(test)]
mod tests;
