//! A resolver whose watches tell everything later.

use std::time::Duration;

use async_trait::async_trait;
use registry_core::{Error, Handle, Publisher, Resolver, ServiceName, Snapshot, Watch};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Everything that a watch tells comes this much later. What is asked for is answered at once.
pub(crate) struct Delayed {
    inner: Handle,
    delay: Duration,
}

impl Delayed {
    pub(crate) fn new(inner: Handle, delay: Duration) -> Self {
        Self { inner, delay }
    }
}

#[async_trait]
impl Resolver for Delayed {
    async fn resolve(&self, service: &ServiceName) -> Result<Snapshot, Error> {
        self.inner.resolve(service).await
    }

    fn watch(&self, service: &ServiceName) -> Result<Watch, Error> {
        let mut inner = self.inner.watch(service)?;
        let (publisher, watch) = Publisher::new(service.clone());
        let delay = self.delay;
        let (news, mut old) = mpsc::unbounded_channel();
        let listen = async move {
            while inner.touched().await {
                if news.send((Instant::now() + delay, inner.latest().to_arc())).is_err() {
                    return;
                }
            }
        };
        tokio::spawn(async move {
            let tell = async {
                while let Some((at, snapshot)) = old.recv().await {
                    tokio::time::sleep_until(at).await;
                    publisher.publish((*snapshot).clone());
                }
            };
            tokio::select! { () = listen => {}, () = tell => {}, () = publisher.unwatched() => {} }
        });
        Ok(watch)
    }
}
