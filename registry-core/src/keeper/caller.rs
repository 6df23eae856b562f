//! The caller of a `register`, as far as the actor must know of it without a message.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// What one caller of `register` shares with the actor.
#[derive(Debug, Default)]
pub(super) struct Caller {
    seen: AtomicBool,
    gone: AtomicBool,
    attempt: AtomicWaker,
}

impl Caller {
    /// The caller has taken its answer.
    pub(super) fn see(&self) {
        self.seen.store(true, Ordering::Release);
    }

    pub(super) fn has_seen(&self) -> bool {
        self.seen.load(Ordering::Acquire)
    }

    /// Nobody waits for this call any more: its future was dropped, or it was answered with an error. From here on no attempt of it makes a further
    /// step, so that nothing is claimed over a successor who came after it (R6).
    pub(super) fn leave(&self) {
        self.gone.store(true, Ordering::Release);
        self.attempt.wake();
    }

    fn poll_gone(&self, cx: &Context<'_>) -> bool {
        self.attempt.register(cx.waker());
        self.gone.load(Ordering::Acquire)
    }
}

/// Runs `attempt` until it ends or one of its callers has left: then `None`, without another poll of it.
pub(super) async fn while_all_wait<T>(callers: &[Arc<Caller>], attempt: impl Future<Output = T>) -> Option<T> {
    let mut attempt = pin!(attempt);
    poll_fn(|cx| {
        if callers.iter().any(|caller| caller.poll_gone(cx)) {
            return Poll::Ready(None);
        }
        attempt.as_mut().poll(cx).map(Some)
    })
    .await
}
