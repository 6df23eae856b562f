//! An entry whose weight an independent client counts up: what is known to be true at each moment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use etcd_client::{Client, Compare, CompareOp, Error, Txn, TxnOp};
use tokio::task::AbortHandle;

/// The identity of the entry.
pub(crate) const ADDRESS: &str = "10.0.0.9:9999";

/// How long one member may take to answer, before another one is asked.
const ANSWERS: Duration = Duration::from_millis(500);
/// The pause between two writes.
const PAUSE: Duration = Duration::from_millis(50);

/// A writer that goes on to the next member whenever one does not answer. Each write is conditional on the one before, so that a write that arrives late does
/// nothing: the weight in the store never goes back.
pub(crate) struct Marker {
    confirmed: Arc<AtomicU32>,
    task: AbortHandle,
}

impl Marker {
    /// Writes the entry for the first time, and goes on from there.
    pub(crate) async fn start(members: Vec<SocketAddr>, key: String) -> Result<Self, Error> {
        let confirmed = Arc::new(AtomicU32::new(1));
        Client::connect([url(members[0])], None).await?.put(&*key, value(1), None).await?;
        let task = tokio::spawn(count(members, key, confirmed.clone())).abort_handle();
        Ok(Self { confirmed, task })
    }

    /// The weight that was written last, as far as the store has confirmed it.
    pub(crate) fn confirmed(&self) -> u32 {
        self.confirmed.load(Ordering::SeqCst)
    }

    /// Ends the writing. One write may still be on its way.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn count(members: Vec<SocketAddr>, key: String, confirmed: Arc<AtomicU32>) {
    for member in members.iter().cycle() {
        // Until it fails, or does not answer.
        let Ok(Ok(client)) = tokio::time::timeout(ANSWERS, Client::connect([url(*member)], None)).await else {
            continue;
        };
        while let Ok(Ok(weight)) = tokio::time::timeout(ANSWERS, step(&client, &key)).await {
            confirmed.fetch_max(weight, Ordering::SeqCst);
            tokio::time::sleep(PAUSE).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One more; returns the weight that stands now.
async fn step(client: &Client, key: &str) -> Result<u32, Error> {
    let read = client.kv_client().get(key, None).await?;
    let Some(entry) = read.kvs().first() else { return Err(Error::InvalidArgs("the entry is gone".into())) };
    let weight = weight(entry.value()) + 1;
    let unchanged = Compare::mod_revision(key, CompareOp::Equal, entry.mod_revision());
    let write = Txn::new().when([unchanged]).and_then([TxnOp::put(key, value(weight), None)]);
    let written = client.kv_client().txn(write).await?;
    if written.succeeded() { Ok(weight) } else { Ok(weight - 1) }
}

/// The weight in the bytes of an entry.
pub(crate) fn weight(value: &[u8]) -> u32 {
    let entry: serde_json::Value = serde_json::from_slice(value).expect("an entry is JSON");
    entry["weight"].as_u64().and_then(|weight| u32::try_from(weight).ok()).expect("an entry has a weight")
}

fn value(weight: u32) -> String {
    format!(r#"{{"network":"tcp","address":"{ADDRESS}","weight":{weight},"tags":null}}"#)
}

fn url(member: SocketAddr) -> String {
    format!("http://{member}")
}
