//! How many watch, and what that means for how long each may keep a connection.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts the watches of a handle. Above what there are connections for, they are crowded, and take turns.
#[derive(Debug)]
pub(super) struct Crowd {
    members: Arc<watch::Sender<usize>>,
    places: usize,
}

/// One that watches, until it is dropped.
#[derive(Debug)]
pub(crate) struct Member {
    members: Arc<watch::Sender<usize>>,
}

impl Crowd {
    /// Nobody yet, and so many places.
    pub(super) fn new(places: usize) -> Self {
        Self { members: Arc::new(watch::Sender::new(0)), places }
    }

    /// One more.
    pub(super) fn join(&self) -> Member {
        self.members.send_modify(|members| *members += 1);
        Member { members: self.members.clone() }
    }

    /// Whether there are more than places.
    pub(super) fn is_crowded(&self) -> bool {
        *self.members.borrow() > self.places
    }

    /// Waits until there are more than places. Cancel safe.
    pub(super) async fn becomes_crowded(&self) {
        let mut members = self.members.subscribe();
        // The sender lives as long as this.
        let _ = members.wait_for(|members| *members > self.places).await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.members.send_modify(|members| *members -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn more_members_than_places_are_a_crowd_until_one_leaves() {
        let crowd = Crowd::new(2);
        let mut members: Vec<Member> = (0..2).map(|_| crowd.join()).collect();
        assert!(!crowd.is_crowded() && crowd.becomes_crowded().now_or_never().is_none());
        members.push(crowd.join());
        assert!(crowd.is_crowded() && crowd.becomes_crowded().now_or_never().is_some());
        members.pop();
        assert!(!crowd.is_crowded());
    }
}
