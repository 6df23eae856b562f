//! Who is told of a change.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Passes the paths of changes on to those who watch them. Each change that was watched is told to all: whoever needs the next one reads again.
#[derive(Default)]
pub(crate) struct Router {
    by_folder: Mutex<HashMap<String, Vec<UnboundedSender<String>>>>,
}

impl Router {
    /// Changes of `folder` and of its children; of everything, when it is empty.
    pub(crate) fn listen(&self, folder: &str) -> UnboundedReceiver<String> {
        let (sender, receiver) = unbounded_channel();
        let mut by_folder = self.by_folder.lock().unwrap_or_else(PoisonError::into_inner);
        by_folder.retain(|_, senders| {
            senders.retain(|sender| !sender.is_closed());
            !senders.is_empty()
        });
        by_folder.entry(folder.to_owned()).or_default().push(sender);
        receiver
    }

    pub(crate) fn tell(&self, path: &str) {
        let by_folder = self.by_folder.lock().unwrap_or_else(PoisonError::into_inner);
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let mut folders = vec!["", parent, path];
        folders.dedup();
        for sender in folders.into_iter().filter_map(|folder| by_folder.get(folder)).flatten() {
            let _ = sender.send(path.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_to_its_folder_its_parent_and_those_who_want_all() {
        let router = Router::default();
        let mut folder = router.listen("/a");
        let mut other = router.listen("/ab");
        let mut all = router.listen("");
        router.tell("/a");
        router.tell("/a/1");
        assert_eq!((folder.try_recv().unwrap(), folder.try_recv().unwrap()), ("/a".into(), "/a/1".into()));
        assert_eq!((all.try_recv().unwrap(), all.try_recv().unwrap()), ("/a".into(), "/a/1".into()));
        assert!(folder.try_recv().is_err() && other.try_recv().is_err() && all.try_recv().is_err());
    }
}
