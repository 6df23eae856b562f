//! The word to stop: from the caller to the life cycle, and from the life cycle to the server.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::watch;

/// Ends when the server is to stop accepting and to finish its requests: a future to give to `with_graceful_shutdown` and its like. Every clone ends.
///
/// It also ends when the life cycle is gone, so that no server outlives it unnoticed.
pub struct Stop {
    word: watch::Receiver<bool>,
    waiting: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl Stop {
    fn new(word: watch::Receiver<bool>) -> Self {
        Self { waiting: Box::pin(said(word.clone())), word }
    }
}

impl Clone for Stop {
    fn clone(&self) -> Self {
        Self::new(self.word.clone())
    }
}

impl Future for Stop {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.waiting.as_mut().poll(cx)
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("said", &*self.word.borrow()).finish_non_exhaustive()
    }
}

/// The caller's own way to stop a server: withdrawn, drained and stopped as on a signal. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stopper {
    word: Arc<watch::Sender<bool>>,
}

impl Stopper {
    pub(super) fn new() -> Self {
        Self { word: Arc::new(watch::Sender::new(false)) }
    }

    /// Asks the server to stop. Returns at once; [`run`](super::Server::run) returns when it has. Asking again changes nothing.
    pub fn stop(&self) {
        self.word.send_replace(true);
    }

    /// What ends when somebody asked.
    pub(super) fn asked(&self) -> impl Future<Output = ()> + use<> {
        said(self.word.subscribe())
    }

    /// What ends when this stopper's word was said, for a server.
    pub(super) fn listener(&self) -> Stop {
        Stop::new(self.word.subscribe())
    }
}

async fn said(mut word: watch::Receiver<bool>) {
    // An error means that nobody is left to say it.
    let _ = word.wait_for(|said| *said).await;
}
