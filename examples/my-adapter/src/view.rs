//! The changes of one service: core's [`View`].

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use registry_core::ServiceName;
use registry_core::store::{StoreError, View, ViewChange};
use tokio::net::UnixDatagram;
use tokio::time::{Instant, sleep_until};

use crate::client::Client;
use crate::folder::Trouble;

/// Lists again whenever somebody who wrote says so, and when an entry is due to die.
pub(crate) struct FolderView {
    client: Client,
    service: ServiceName,
    /// Writers send to it, each time that they changed something.
    socket: UnixDatagram,
    path: PathBuf,
    /// When to list again without being told.
    due: Instant,
}

impl FolderView {
    /// Writers know of the view from now on, before it lists for the first time.
    pub(crate) async fn open(client: Client, service: ServiceName) -> Result<Self, Trouble> {
        let path = client.folder.path(&format!("views/{:016x}", fastrand::u64(..)));
        let locked = client.folder.lock().await?;
        let socket = UnixDatagram::bind(&path)?;
        drop(locked);
        Ok(Self { client, service, socket, path, due: Instant::now() })
    }
}

#[async_trait]
impl View for FolderView {
    async fn next(&mut self) -> Result<ViewChange, StoreError> {
        let mut told = [0];
        tokio::select! {
            received = self.socket.recv(&mut told) => { received.map_err(Trouble::from)?; }
            () = sleep_until(self.due) => {}
        }
        // Until the list is there it is due, also when this future is dropped. Whoever writes after it tells again.
        self.due = Instant::now();
        while self.socket.try_recv(&mut told).is_ok() {}
        let listed = self.client.read(&self.service).await?;
        let left = listed.until.map(|until| until.duration_since(SystemTime::now()).unwrap_or_default());
        self.due = Instant::now() + left.unwrap_or(LONG) + Duration::from_millis(1);
        Ok(ViewChange::Full(listed.found))
    }

    async fn probe(&mut self) -> Result<(), StoreError> {
        self.due = Instant::now();
        Ok(())
    }
}

/// Where nothing can die there is nothing to look at.
const LONG: Duration = Duration::from_secs(3600);

impl Drop for FolderView {
    fn drop(&mut self) {
        // What is left over is cleared away by the next writer.
        let _ = fs::remove_file(&self.path);
    }
}
