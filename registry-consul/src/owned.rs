//! Which entries were lately seen to be ours.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use registry_core::store::Key;

/// When each entry was last seen to bear our token.
///
/// A pass that Consul answers with 200 proves no ownership: it keeps alive whatever stands under that id, also the entry of a successor that died. So an
/// entry is passed only while this knowledge is young; it is no list of what is registered, which is core's.
#[derive(Debug)]
pub(crate) struct Owned {
    young: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: HashMap<Key, Instant>,
    /// When the last list of all of them was asked for.
    listed: Option<Instant>,
}

impl Owned {
    /// Knowledge that is young for so long.
    pub(crate) fn new(young: Duration) -> Self {
        Self { young, state: Mutex::default() }
    }

    /// Whether the entry was seen to be ours a short time ago.
    pub(crate) fn is_young(&self, key: &Key) -> bool {
        self.state().seen.get(key).is_some_and(|at| at.elapsed() < self.young)
    }

    /// One entry was seen to be ours, by a request that was sent at `at`.
    pub(crate) fn note(&self, key: &Key, at: Instant) {
        self.state().seen.insert(key.clone(), at);
    }

    /// The entry is not ours, or about to be removed.
    pub(crate) fn forget(&self, key: &Key) {
        self.state().seen.remove(key);
    }

    /// All entries that are ours, by a request that was sent at `at`. What was noted later stays.
    pub(crate) fn replace(&self, ids: HashSet<String>, at: Instant) {
        let mut state = self.state();
        state.seen.retain(|_, noted| *noted > at);
        for id in ids {
            state.seen.entry(Key::new(id)).or_insert(at);
        }
        state.listed = Some(at);
    }

    /// Whether all entries that are ours were listed since `moment`.
    pub(crate) fn is_listed_since(&self, moment: Instant) -> bool {
        self.state().listed.is_some_and(|at| at >= moment)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Key {
        Key::new(format!("demo:10.0.0.5:{number}"))
    }

    #[test]
    fn what_a_later_answer_does_not_have_is_not_ours_any_more() {
        let (owned, start) = (Owned::new(Duration::from_secs(60)), Instant::now());
        owned.note(&key(1), start);
        owned.note(&key(2), start + Duration::from_secs(2));
        owned.replace([key(3).as_str().to_owned()].into(), start + Duration::from_secs(1));
        let young = [1, 2, 3].map(|number| owned.is_young(&key(number)));
        assert_eq!(young, [false, true, true], "the second was written after that answer was asked for");
    }

    #[test]
    fn knowledge_grows_old() {
        let owned = Owned::new(Duration::from_secs(1));
        let long_ago = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        owned.note(&key(1), long_ago);
        assert!(!owned.is_young(&key(1)));
    }

    #[test]
    fn what_is_forgotten_is_not_young() {
        let owned = Owned::new(Duration::from_secs(60));
        owned.note(&key(1), Instant::now());
        owned.forget(&key(1));
        assert!(!owned.is_young(&key(1)));
    }
}
