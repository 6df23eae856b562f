//! What must stand when everything that could happen has happened.

use std::collections::BTreeSet;

use registry_core::Info;
use registry_core::store::Key;

use super::{Judged, Past, broken};
use crate::profiles::Profile;
use crate::sim::{Call, Ended, Op};
use crate::world::{By, ClientId, Event};

impl Past {
    /// L3, R4, R6, R7, R8: whether the world is by now what the users of live handles want.
    pub(crate) fn judge_end(&self) -> Judged {
        self.keys().iter().try_for_each(|key| self.judge_end_of(key))
    }

    /// L3 by its own bound, where no audit is needed: of keys that one owner only was ever asked for.
    pub(crate) fn judge_recovered(&self) -> Judged {
        let uncontested = |key: &&Key| !self.is_contested_at(key);
        self.keys().iter().filter(uncontested).try_for_each(|key| self.judge_end_of(key))
    }

    fn judge_end_of(&self, key: &Key) -> Judged {
        let clients: BTreeSet<ClientId> = self.calls.iter().map(|call| call.client).collect();
        let wanting = clients.into_iter().filter_map(|client| Some((client, self.wanted(client, key, self.now)?)));
        let wanting: Vec<(ClientId, &Info)> = wanting.collect();
        let stands = self.standing(key, self.history.len()).filter(|entry| entry.healthy);
        let Some(entry) = stands else {
            return match wanting.first() {
                Some((client, info)) => {
                    broken("L3", format!("{key} weight {} of handle {} is not back", info.weight(), client.0))
                }
                None => Ok(()),
            };
        };
        let Some((holder, info)) = wanting.iter().find(|(client, _)| entry.owner == Some(*client)) else {
            let owner = entry.owner.map(|client| client.0);
            return match (owner, wanting.is_empty()) {
                (None, true) => Ok(()),
                (_, true) => broken("R8", format!("{key} of handle {owner:?} stands and nobody wants it")),
                (_, false) => broken("L3", format!("{key} of handle {owner:?} stands in the way of those who want it")),
            };
        };
        if *entry.instance != **info {
            let (has, wants) = (entry.instance.weight(), info.weight());
            return broken("L3", format!("{key} of handle {} has weight {has} instead of {wants}", holder.0));
        }
        match self.rightful(key, &wanting) {
            Some(rightful) if rightful != *holder => {
                broken("R7", format!("{key} is held by handle {} though handle {} called last", holder.0, rightful.0))
            }
            _ => Ok(()),
        }
    }

    /// Of several that want it, the last to have called `register`: `None` when calls overlapped, or its entry vanished since, so that others
    /// may have restored theirs.
    fn rightful(&self, key: &Key, wanting: &[(ClientId, &Info)]) -> Option<ClientId> {
        let calls = self.calls.iter().filter(|call| call.key().as_ref() == Some(key));
        let refused = |call: &Call| call.end.as_ref().is_some_and(|end| end.result == Ended::Refused);
        let claims = calls.filter(|call| matches!(call.op, Op::Register(_) | Op::Announce(_)) && !refused(call));
        let claims: Vec<&Call> = claims.collect();
        let last = claims.last()?;
        let overlaps = claims[..claims.len() - 1]
            .iter()
            .any(|call| matches!(call.op, Op::Announce(_)) || call.end.as_ref().is_none_or(|end| end.at >= last.began));
        let end = last.end.as_ref().filter(|end| end.result == Ended::Ok)?;
        if overlaps || !wanting.iter().any(|(client, _)| *client == last.client) || matches!(last.op, Op::Announce(_)) {
            return None;
        }
        let lost = |event: &Event| {
            event.key == *key
                && event.before.as_ref().is_some_and(|entry| entry.owner == Some(last.client))
                && !matches!(event.by, By::Client(client, _) if client == last.client && event.after.is_some())
                && !matches!(event.by, By::Client(client, _) if client != last.client && self.profile == Profile::Atomic)
        };
        let vanished = self.history[last.history_before..].iter().any(lost);
        let replaced = self.history[end.history..].iter().any(lost);
        (!vanished && !replaced).then_some(last.client)
    }
}
