//! The changes of one service: core's [`View`].

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use my_store::Listener;
use registry_core::ServiceName;
use registry_core::store::{StoreError, View, ViewChange};
use tokio::time::{Instant, sleep_until};

use crate::client::Client;

/// Lists again whenever somebody who wrote says so, and when an entry is due to die.
pub(crate) struct FolderView {
    client: Client,
    service: ServiceName,
    listener: Listener,
    /// When to list again without being told.
    due: Instant,
}

impl FolderView {
    /// Writers know of the view from now on, before it lists for the first time.
    pub(crate) async fn open(client: Client, service: ServiceName) -> io::Result<Self> {
        let listener = client.folder.lock().await?.listen()?;
        Ok(Self { client, service, listener, due: Instant::now() })
    }
}

#[async_trait]
impl View for FolderView {
    async fn next(&mut self) -> Result<ViewChange, StoreError> {
        tokio::select! {
            changed = self.listener.changed() => changed?,
            () = sleep_until(self.due) => {}
        }
        // Until the list is there it is due, also when this future is dropped. Whoever writes after it tells again.
        self.due = Instant::now();
        let listed = self.client.read(&self.service).await?;
        self.due = Instant::now() + listed.left.unwrap_or(LONG) + Duration::from_millis(1);
        Ok(ViewChange::Full(listed.found))
    }

    async fn probe(&mut self) -> Result<(), StoreError> {
        self.due = Instant::now();
        Ok(())
    }
}

/// Where nothing can die there is nothing to look at.
const LONG: Duration = Duration::from_secs(3600);
