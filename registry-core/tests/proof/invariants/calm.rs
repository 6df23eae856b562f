//! What must be true where nothing was disturbed but what the scenario itself does.

use std::time::Duration;

use registry_core::store::Key;

use super::{Judged, Past, broken};
use crate::sim::{Ended, Item, Op};
use crate::world::{By, ClientId};

/// By when a call ends while nothing is wrong: a takeover, too, which waits for no TTL.
const AT_ONCE: Duration = Duration::from_millis(500);

impl Past {
    /// R7, L1: without any fault every call succeeds at once, and what lives does not expire.
    pub(crate) fn judge_calm(&self) -> Judged {
        for call in &self.calls {
            let took = call.end.as_ref().map(|end| (end.result.clone(), end.at.duration_since(call.began)));
            if took.as_ref().is_none_or(|(result, took)| *result != Ended::Ok || *took > AT_ONCE) {
                return broken("R7", format!("{:?} of handle {} took {took:?}", call.op, call.client.0));
            }
        }
        for event in self.history.iter().filter(|event| event.by == By::Expiry) {
            let owner = event.before.as_ref().and_then(|entry| entry.owner);
            if let Some(owner) = owner.filter(|owner| !self.is_dead(*owner)) {
                return broken("L1", format!("{} of handle {} expired while it lives", event.key, owner.0));
            }
        }
        Ok(())
    }

    fn is_dead(&self, client: ClientId) -> bool {
        self.calls.iter().any(|call| call.client == client && matches!(call.op, Op::Crash | Op::Close))
    }

    /// R7, W4: what nobody withdrew is never missing, whatever the store went through, as long as owners and watches themselves are well.
    pub(crate) fn judge_seamless(&self, items: &[Item]) -> Judged {
        self.keys().iter().try_for_each(|key| self.judge_seams_of(key, items))
    }

    fn judge_seams_of(&self, key: &Key, items: &[Item]) -> Judged {
        let address = key.as_str().split_once('/').expect("keys are made by key_of").1;
        let withdrawals = self.calls.iter().filter(|call| !matches!(call.op, Op::Register(_) | Op::Announce(_)));
        let withdrawals = withdrawals.filter(|call| call.key().is_none_or(|own| own == *key)).map(|call| call.began);
        let by_hand = self.history.iter().filter(|event| event.key == *key && event.by == By::BackDoor);
        let first = withdrawals.chain(by_hand.map(|event| event.at)).min();
        for pair in items.windows(2) {
            let lost = pair[0].snapshot.get(address).is_some() && pair[1].snapshot.get(address).is_none();
            if lost && first.is_none_or(|first| first > pair[1].at) {
                return broken("W4", format!("{key} was missing for a moment, and nobody withdrew it"));
            }
        }
        Ok(())
    }
}
