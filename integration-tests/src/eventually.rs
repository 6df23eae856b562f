//! The two ways in which tests wait.

use std::time::{Duration, Instant};

/// How often the world is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Looks until there is something to see, and returns it.
///
/// # Panics
/// When nothing is seen within the time.
pub async fn eventually<T>(within: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(began.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits for the whole time, and wants `event` not to end in it.
///
/// # Panics
/// When the event happens.
pub async fn never<T>(during: Duration, what: &str, event: impl Future<Output = T>) {
    assert!(tokio::time::timeout(during, event).await.is_err(), "it happened: {what}");
}
