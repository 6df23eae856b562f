//! A watch of one range on a stream of its own.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{Client, Error, EventType, WatchOptions, WatchStream};

use super::error::Failure;
use super::{Stored, Transport};

/// An unanswered sign-of-life request that is older than this when the watch is dropped speaks against the connection.
const SUSPICIOUS: Duration = Duration::from_millis(500);

/// The changes of a range, in their order.
pub(crate) struct Changes {
    transport: Arc<Transport>,
    opened: Opened,
    /// The revision from after which everything is told.
    revision: i64,
    /// When a sign of life was asked for that has not come.
    asked: Option<Instant>,
}

/// A stream on which a watch was asked for.
pub(super) struct Opened {
    stream: WatchStream,
    link: u64,
}

/// One change.
#[derive(Debug)]
pub(crate) enum Event {
    Put(Stored),
    Delete { key: Vec<u8>, revision: i64 },
}

pub(super) async fn open(client: Client, link: u64, folder: String) -> Result<Opened, Error> {
    // Large revisions come in pieces, so that no message has to be large.
    let options = WatchOptions::new().with_prefix().with_fragment();
    let stream =
        client.watch_client().max_decoding_message_size(super::MAX_ANSWER).watch(folder, Some(options)).await?;
    Ok(Opened { stream, link })
}

/// Waits until the server has confirmed the watch.
pub(super) async fn armed(transport: Arc<Transport>, opened: Opened) -> Result<Changes, Failure> {
    let mut changes = Changes { transport, opened, revision: 0, asked: Some(Instant::now()) };
    while changes.revision == 0 {
        changes.receive().await?;
    }
    Ok(changes)
}

impl Changes {
    /// The revision of the store when the watch was armed: every later change is told.
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// The next changes; none for a sign of life. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Vec<Event>, Failure> {
        self.receive().await
    }

    /// Asks for a sign of life. Cancel safe.
    pub(crate) async fn ask(&mut self) -> Result<(), Failure> {
        self.asked.get_or_insert_with(Instant::now);
        self.opened.stream.request_progress().await.map_err(|error| self.failed(&error))
    }

    async fn receive(&mut self) -> Result<Vec<Event>, Failure> {
        let message = match self.opened.stream.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return Err(self.failed(&Error::WatchError("the stream ended".into()))),
            Err(error) => return Err(self.failed(&error)),
        };
        self.asked = None;
        if message.canceled() || message.compact_revision() != 0 {
            let failure = Failure::watch_canceled(message.cancel_reason(), message.compact_revision());
            if failure.speaks_against_endpoint() || self.transport.watches.credentials_changed(&failure) {
                self.distrust();
            }
            return Err(failure);
        }
        if message.created() {
            self.revision = message.header().map_or(0, etcd_client::ResponseHeader::revision).max(1);
        }
        let event = |event: &etcd_client::Event| {
            let entry = event.kv()?.clone();
            Some(match event.event_type() {
                EventType::Put => Event::Put(Stored::from(entry)),
                EventType::Delete => {
                    let revision = entry.mod_revision();
                    Event::Delete { key: entry.into_key_value().0, revision }
                }
            })
        };
        Ok(message.events().iter().filter_map(event).collect())
    }

    fn failed(&mut self, error: &Error) -> Failure {
        self.asked = None;
        let failure = self.transport.watches.failure(error, "the watch");
        if failure.speaks_against_endpoint() {
            self.distrust();
        }
        failure
    }

    fn distrust(&self) {
        self.transport.watches.distrust(self.opened.link);
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        if self.asked.is_some_and(|asked| asked.elapsed() >= SUSPICIOUS) {
            self.distrust();
        }
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("link", &self.opened.link)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}
