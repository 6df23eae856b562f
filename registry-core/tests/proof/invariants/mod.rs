//! What must be true of a run, judged by the world's own history.
//!
//! | clause | what is judged | in |
//! |---|---|---|
//! | R1 | at `Ok` of `register` its entry stands, or somebody else changed it since | `calls` |
//! | R2 | nothing is removed that is wanted | `writes` |
//! | R4 | a `register` that failed leaves what was wanted before: every restoring write, and the end | `writes`, `end` |
//! | R5 | at `Ok` of `deregister` nothing of the owner stands | `calls` |
//! | R6 | nobody claims but in his own call, nobody restores over a successor, and no removal hits one where the store can prevent it | `writes` |
//! | R7 | a takeover succeeds at once, and the last to call `register` holds it | `calm`, `end` |
//! | R8 | after `deregister` nothing is published again; a late entry is seen for one TTL at most | `writes`, `calls` |
//! | R9 | at `Ok` of `close` nothing of the owner stands; after it, and after a crash, nothing is written | `writes`, `calls` |
//! | L1 | without a fault no entry of a living owner expires | `calm` |
//! | L3 | in the end the world is what the users want, field by field | `end` |
//! | W2 | what a watch delivers is the world's past in order, and in the end its present | `watches` |
//! | W4 | what stood throughout is never missing, and what is soon back is never missed | `watches`, `calm` |
//! | V3 | every call ends within its limit | `calls` |
//!
//! Each function is pure, and `tests` feeds it a history that breaks its clause, so that each is known to be able to fail.

mod calls;
mod calm;
mod end;
#[cfg(test)]
mod tests;
mod watches;
mod writes;

use std::collections::BTreeSet;
use std::time::Duration;

use registry_core::store::Key;
use registry_core::{Info, Instance};
use tokio::time::Instant;

use crate::profiles::Profile;
use crate::sim::{Call, Ended, Op};
use crate::world::{Ask, ClientId, Entry, Event};

/// A clause that was broken, and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) clause: &'static str,
    pub(crate) what: String,
}

pub(crate) type Judged = Result<(), Violation>;

fn broken(clause: &'static str, what: String) -> Judged {
    Err(Violation { clause, what })
}

/// All that happened.
pub(crate) struct Past {
    pub(crate) profile: Profile,
    pub(crate) calls: Vec<Call>,
    pub(crate) asks: Vec<Ask>,
    pub(crate) history: Vec<Event>,
    pub(crate) now: Instant,
}

impl Past {
    /// Judges everything that can be judged without knowing the end.
    pub(crate) fn judge(&self) -> Judged {
        self.asks.iter().try_for_each(|ask| self.judge_ask(ask))?;
        self.history.iter().try_for_each(|event| self.judge_event(event))?;
        (0..self.calls.len()).try_for_each(|place| self.judge_call(place))
    }

    /// What `client` wants under `key` at `at`, by the calls that had ended: the fold over them in the order of their first polls.
    pub(crate) fn wanted(&self, client: ClientId, key: &Key, at: Instant) -> Option<&Info> {
        self.wanted_about(client, key, at).pop().expect("invariant: there is one value at least")
    }

    /// The same at all moments that cannot be told apart from `at`: what is called and what is done at one instant has no order.
    fn wanted_about(&self, client: ClientId, key: &Key, at: Instant) -> Vec<Option<&Info>> {
        let mut wanted = vec![None];
        for call in self.calls.iter().filter(|call| call.is_about(client, key) && call.began <= at) {
            let now = match &call.op {
                Op::Register(info) if call.ended_by(at) == Some(&Ended::Ok) => Some(info),
                Op::Announce(info) if call.ended_by(at) != Some(&Ended::Refused) => Some(info),
                Op::Register(_) | Op::Announce(_) => continue,
                Op::Deregister(_) | Op::Close | Op::Crash => None,
            };
            let at_once = call.began == at || call.end.as_ref().is_some_and(|end| end.at == at);
            if !at_once {
                wanted.clear();
            }
            wanted.push(now);
        }
        wanted
    }

    /// What stood under `key` after the first `length` events.
    pub(crate) fn standing(&self, key: &Key, length: usize) -> Option<&Entry> {
        self.history[..length].iter().rev().find(|event| event.key == *key).and_then(|event| event.after.as_ref())
    }

    /// All keys that any call was about.
    pub(crate) fn keys(&self) -> BTreeSet<Key> {
        self.calls.iter().filter_map(Call::key).collect()
    }

    /// Whether two handles were asked for one key.
    pub(crate) fn is_contested(&self) -> bool {
        self.keys().iter().any(|key| self.is_contested_at(key))
    }

    fn is_contested_at(&self, key: &Key) -> bool {
        let mut asked = self.calls.iter().filter(|call| call.key().as_ref() == Some(key)).map(|call| call.client);
        let first = asked.next();
        asked.any(|client| Some(client) != first)
    }

    /// The instances of the service that anybody can see by now.
    pub(crate) fn visible(&self) -> Vec<Instance> {
        let keys: BTreeSet<&Key> = self.history.iter().map(|event| &event.key).collect();
        let standing = keys.into_iter().filter_map(|key| self.standing(key, self.history.len()));
        standing.filter(|entry| entry.healthy).map(|entry| (*entry.instance).clone()).collect()
    }

    /// Whether nothing that anybody can see changed for this long.
    pub(crate) fn is_quiet_for(&self, limit: Duration) -> bool {
        let seen = |entry: &Option<Entry>| entry.as_ref().is_some_and(|entry| entry.healthy);
        let last = self.history.iter().rev().find(|event| seen(&event.before) || seen(&event.after));
        last.is_none_or(|event| event.at + limit <= self.now)
    }
}
