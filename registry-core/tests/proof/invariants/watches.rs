//! What a watch delivers.

use std::collections::BTreeSet;
use std::sync::Arc;

use registry_core::store::Key;
use registry_core::{Instance, Snapshot};
use tokio::time::Instant;

use super::{Judged, Past, broken};
use crate::sim::Item;
use crate::world::{Entry, Event};

impl Past {
    /// W2 at the end: the newest snapshot is the world.
    pub(crate) fn judge_newest(&self, newest: &Snapshot, delivered: Option<&Item>) -> Judged {
        let same = |snapshot: &Snapshot| {
            snapshot.is_known()
                && snapshot.instances().iter().map(|instance| (**instance).clone()).collect::<Vec<_>>()
                    == self.visible()
        };
        let said = |snapshot: &Snapshot| -> Vec<_> {
            snapshot.instances().iter().map(|i| (i.address().port(), i.weight())).collect()
        };
        let world: Vec<_> = self.visible().iter().map(|i| (i.address().port(), i.weight())).collect();
        if !same(newest) || newest.stale().is_some() || !newest.unconfirmed().is_empty() {
            let (has, stale, held) = (said(newest), newest.stale(), newest.unconfirmed());
            return broken(
                "W2",
                format!("the newest snapshot has {has:?} (stale: {stale:?}, held: {held:?}), the world {world:?}"),
            );
        }
        match delivered {
            Some(item) if same(&item.snapshot) => Ok(()),
            Some(item) => broken("W2", format!("the last item has {:?}, the world {world:?}", said(&item.snapshot))),
            None => broken("W2", format!("nothing was delivered, the world has {world:?}")),
        }
    }

    /// W2 and W4 on the way: what was delivered is the world's past in order, and misses nothing that stood throughout.
    pub(crate) fn judge_items(&self, began: Instant, items: &[Item]) -> Judged {
        let keys: BTreeSet<&Key> = self.history.iter().map(|event| &event.key).collect();
        keys.into_iter().try_for_each(|key| self.judge_items_of(key, began, items))
    }

    fn judge_items_of(&self, key: &Key, began: Instant, items: &[Item]) -> Judged {
        let shown =
            |entry: &Option<Entry>| entry.as_ref().filter(|entry| entry.healthy).map(|entry| entry.instance.clone());
        let address = key.as_str().split_once('/').expect("keys are made by key_of").1;
        // What was seen under this key, from the first event on; the state before it is "nothing".
        let events: Vec<(usize, &Event)> =
            self.history.iter().enumerate().filter(|(_, event)| event.key == *key).collect();
        let mut states = vec![(0, None)];
        states.extend(events.iter().map(|(place, event)| (place + 1, shown(&event.after))));
        let oldest = began.checked_sub(self.profile.max_lag()).unwrap_or(began);
        let mut place = 0;
        let mut last: Option<Option<Arc<Instance>>> = None;
        for item in items {
            let seen = item.snapshot.get(address).cloned();
            if last.as_ref() == Some(&seen) {
                continue;
            }
            let matching = (place..states.len()).find(|at| states[*at].0 <= item.history && states[*at].1 == seen);
            let Some(matching) = matching else {
                let weight = seen.map(|instance| instance.weight());
                return broken("W2", format!("{key} was delivered with weight {weight:?} after a newer state"));
            };
            place = matching;
            let present =
                |(at, instance): &(usize, _)| *at > item.history || Option::<Arc<Instance>>::is_some(instance);
            let at_begin = events.iter().take_while(|(_, event)| event.at < oldest).count();
            if seen.is_none() && states[at_begin..].iter().all(present) {
                return broken("W4", format!("{key} stood throughout and was missing"));
            }
            last = Some(seen);
        }
        Ok(())
    }
}
