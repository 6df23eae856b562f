//! A view for stores that tell nothing: it lists, waits, and lists again.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Found, StoreError, View, ViewChange};

type Listing = Pin<Box<dyn Future<Output = Result<Vec<Found>, StoreError>> + Send>>;

/// A [`View`] made of repeated full lists, for stores without change events.
///
/// A change is seen within one interval plus the time of a list.
pub struct PollView {
    list: Box<dyn FnMut() -> Listing + Send>,
    interval: Duration,
    due: Instant,
    listing: Option<Listing>,
}

impl PollView {
    /// Lists with `list` at once and then each `interval`.
    pub fn new<F, L>(interval: Duration, mut list: L) -> Self
    where
        F: Future<Output = Result<Vec<Found>, StoreError>> + Send + 'static,
        L: FnMut() -> F + Send + 'static,
    {
        Self { list: Box::new(move || Box::pin(list())), interval, due: Instant::now(), listing: None }
    }
}

#[async_trait]
impl View for PollView {
    async fn next(&mut self) -> Result<ViewChange, StoreError> {
        if self.listing.is_none() {
            tokio::time::sleep_until(self.due).await;
        }
        let listing = self.listing.get_or_insert_with(|| (self.list)());
        let found = listing.as_mut().await;
        self.listing = None;
        self.due = Instant::now() + self.interval;
        found.map(ViewChange::Full)
    }

    async fn probe(&mut self) -> Result<(), StoreError> {
        self.due = Instant::now();
        Ok(())
    }

    fn silence(&self) -> Duration {
        self.interval + Duration::from_secs(1)
    }
}

impl fmt::Debug for PollView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollView").field("interval", &self.interval).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_lists_at_once_and_then_each_interval() {
        let lists = Arc::new(AtomicU32::new(0));
        let counter = lists.clone();
        let mut view = PollView::new(Duration::from_secs(5), move || {
            counter.fetch_add(1, Ordering::Relaxed);
            async { Ok(Vec::new()) }
        });
        let start = Instant::now();
        for _ in 0..3 {
            view.next().await.unwrap();
        }
        assert_eq!((lists.load(Ordering::Relaxed), start.elapsed().as_secs()), (3, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_wait_loses_no_list() {
        let mut view = PollView::new(Duration::from_secs(5), || async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(Vec::new())
        });
        let start = Instant::now();
        assert!(tokio::time::timeout(Duration::from_millis(600), view.next()).await.is_err());
        view.next().await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }
}
