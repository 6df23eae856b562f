//! The floor: `zookeeper-async` as its documentation suggests.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use zookeeper_async::{Acl, CreateMode, WatchedEvent, ZkError, ZooKeeper};

use crate::Outcome;

/// How many requests are in flight: half of the client's queue, which it can block on when it is full.
const IN_FLIGHT: usize = 32;

/// A client, and the paths whose watch has fired.
pub(crate) struct Bare {
    pub(crate) client: ZooKeeper,
    pub(crate) events: UnboundedReceiver<String>,
}

impl Bare {
    pub(crate) async fn connect(server: SocketAddr, ttl: Duration) -> Outcome<Self> {
        let (sender, events) = unbounded_channel();
        let watcher = move |event: WatchedEvent| {
            if let Some(path) = event.path {
                let _ = sender.send(path);
            }
        };
        let client = ZooKeeper::connect(&server.to_string(), ttl, watcher).await?;
        // It counts as connected when something was answered.
        client.exists("/", false).await?;
        Ok(Self { client, events })
    }

    /// Makes a persistent node, unless it is there.
    pub(crate) async fn folder(&self, path: &str) -> Outcome {
        match self.client.create(path, Vec::new(), Acl::open_unsafe().clone(), CreateMode::Persistent).await {
            Ok(_) | Err(ZkError::NodeExists) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn create(&self, path: &str, data: &[u8]) -> Outcome {
        let acl = Acl::open_unsafe().clone();
        self.client.create(path, data.to_vec(), acl, CreateMode::Ephemeral).await?;
        Ok(())
    }

    /// Makes ephemeral nodes, many at a time.
    pub(crate) async fn create_all(&self, nodes: &[(String, Vec<u8>)]) -> Outcome {
        let one = |(path, data): &(String, Vec<u8>)| {
            let (path, data, acl) = (path.clone(), data.clone(), Acl::open_unsafe().clone());
            async move { self.client.create(&path, data, acl, CreateMode::Ephemeral).await }
        };
        stream::iter(nodes).map(one).buffer_unordered(IN_FLIGHT).try_for_each(|_| async { Ok(()) }).await?;
        Ok(())
    }

    /// Reads all children, each with a watch, and with a watch on their list.
    pub(crate) async fn watch_all(&self, folder: &str) -> Outcome<Vec<String>> {
        let children = self.client.get_children(folder, true).await?;
        let paths: Vec<String> = children.iter().map(|child| format!("{folder}/{child}")).collect();
        let one = |path: String| async move { self.client.get_data(&path, true).await };
        stream::iter(paths).map(one).buffer_unordered(IN_FLIGHT).try_for_each(|_| async { Ok(()) }).await?;
        Ok(children)
    }

    /// Waits until the watch of this path fires.
    pub(crate) async fn fired(&mut self, path: &str) -> Outcome {
        loop {
            let event = self.events.recv().await.ok_or("the client has ended")?;
            if event == path {
                return Ok(());
            }
        }
    }
}
