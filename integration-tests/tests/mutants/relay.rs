//! Mutants of the watch: they pass on what the correct watch delivers, changed, late, or not at all.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_core::{Error, Handle, Publisher, Resolver as _, ServiceName, Snapshot, Watch};

use crate::twist::Twist;

/// What is published for a snapshot of the correct watch: each after a pause.
pub(crate) type Change = Box<dyn FnMut(Arc<Snapshot>) -> Vec<(Duration, Snapshot)> + Send>;

/// A handle whose watches are relayed. Each watch has a [`Change`] of its own.
pub(crate) struct Relay {
    pub(crate) handle: Handle,
    pub(crate) change: fn() -> Change,
}

#[async_trait]
impl Twist for Relay {
    fn inner(&self) -> &Handle {
        &self.handle
    }

    fn watch(&self, service: &ServiceName) -> Result<Watch, Error> {
        let mut inner = self.handle.watch(service)?;
        let (publisher, watch) = Publisher::new(service.clone());
        let mut change = (self.change)();
        tokio::spawn(async move {
            let follow = async {
                while inner.touched().await {
                    let newest = inner.latest().to_arc();
                    for (pause, snapshot) in change(newest) {
                        if !pause.is_zero() {
                            tokio::time::sleep(pause).await;
                        }
                        publisher.publish(snapshot);
                        tokio::task::yield_now().await;
                    }
                }
            };
            tokio::select! { () = follow => {}, () = publisher.unwatched() => {} }
        });
        Ok(watch)
    }
}

/// The snapshot, at once.
pub(crate) fn as_it_is(snapshot: &Snapshot) -> Vec<(Duration, Snapshot)> {
    vec![(Duration::ZERO, snapshot.clone())]
}
