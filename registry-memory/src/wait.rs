//! Waiting for a moment that may never come.

use tokio::time::{Instant, sleep_until};

/// Sleeps until `due`, or for ever.
pub(crate) async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
