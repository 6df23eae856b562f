//! What must be true of a run, judged by the world's own history.
//!
//! | clause | what is judged |
//! |---|---|
//! | R1 | at `Ok` of `register` its entry stands, or somebody else changed it since |
//! | R4 | a `register` that failed leaves what was wanted before: every restoring write, and the end |
//! | R5 | at `Ok` of `deregister` nothing of the owner stands |
//! | R6 | nobody claims but in his own call, nobody restores over a successor, no removal hits one where the store can prevent it |
//! | R7 | the last to call `register` holds it, and the others know |
//! | R8 | after `deregister` nothing is published again; a late entry is seen for one TTL at most |
//! | L3 | in the end the world is what the users want, field by field |
//! | W2 | what a watch delivers is the world's past in order, and in the end its present |
//! | W4 | what stood throughout is never missing |
//!
//! Each function is pure, and the self-tests below feed it a history that breaks its clause.

use std::collections::BTreeSet;
use std::time::Duration;

use registry_core::store::Key;
use registry_core::{Info, Instance, Snapshot};
use tokio::time::Instant;

use crate::profiles::Profile;
use crate::sim::{ATTEMPT, Call, Ended, Item, Op, TTL};
use crate::world::{Ask, Asked, By, ClientId, Entry, Event};

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

    fn judge_ask(&self, ask: &Ask) -> Judged {
        let own = || self.calls.iter().filter(|call| call.is_about(ask.client, &ask.key) && call.began <= ask.at);
        let going_on = |call: &Call| call.end.as_ref().is_none_or(|end| end.at >= ask.at);
        match &ask.what {
            Asked::Claim(info) => {
                let justified = own().any(|call| match &call.op {
                    Op::Register(called) => called == info && going_on(call),
                    Op::Announce(called) => called == info,
                    _ => false,
                });
                let what = || format!("handle {} claimed {} outside any call for it", ask.client.0, ask.key);
                if justified { Ok(()) } else { broken("R6", what()) }
            }
            Asked::Restore(info) => {
                let possible = self.wanted_about(ask.client, &ask.key, ask.at);
                if possible.contains(&Some(info)) {
                    return Ok(());
                }
                let wanted = possible.into_iter().flatten().last();
                // The answer of a call can be under way to its caller.
                let answered =
                    own().any(|call| matches!(&call.op, Op::Register(called) if called == info) && going_on(call));
                if answered && wanted.is_some() {
                    return Ok(());
                }
                let clause = if wanted.is_none() { "R8" } else { "R4" };
                let had = wanted.map(Info::weight);
                let what =
                    format!("handle {} restored {} weight {} but wants {had:?}", ask.client.0, ask.key, info.weight());
                broken(clause, what)
            }
            Asked::Remove => {
                // A withdrawal goes on when its call failed or was dropped; what is announced meanwhile waits for it.
                let withdrawing = self.calls.iter().enumerate().any(|(place, call)| {
                    let mine = call.is_about(ask.client, &ask.key) && call.began <= ask.at;
                    mine && match call.op {
                        Op::Deregister(_) | Op::Close if going_on(call) => true,
                        Op::Deregister(_) => {
                            call.ended_by(ask.at) != Some(&Ended::Ok) && !self.is_claimed_after(place, ask)
                        }
                        _ => false,
                    }
                });
                let possible = self.wanted_about(ask.client, &ask.key, ask.at);
                match possible.last().copied().flatten() {
                    Some(info) if !withdrawing && !possible.contains(&None) => {
                        let weight = info.weight();
                        broken("R2", format!("handle {} removed {} but wants weight {weight}", ask.client.0, ask.key))
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// Whether a call after the one at `place` has made its claim before `ask`.
    fn is_claimed_after(&self, place: usize, ask: &Ask) -> bool {
        let later = self.calls[place + 1..].iter().filter(|call| call.is_about(ask.client, &ask.key));
        let infos: Vec<&Info> = later
            .filter_map(|call| match &call.op {
                Op::Register(info) | Op::Announce(info) => Some(info),
                _ => None,
            })
            .collect();
        self.asks.iter().any(|past| {
            let mine = past.client == ask.client && past.key == ask.key && past.at < ask.at;
            mine && past.at >= self.calls[place].began
                && matches!(&past.what, Asked::Claim(info) if infos.contains(&info))
        })
    }

    fn judge_event(&self, event: &Event) -> Judged {
        // An entry that has expired is nobody's, also where the store still shows it.
        let alive = event.before.as_ref().filter(|entry| entry.healthy);
        let Some(victim) = alive.and_then(|entry| entry.owner) else { return Ok(()) };
        match event.by {
            By::End(client) if client != victim => broken(
                "R6",
                format!("the end of handle {}'s session removed {} of handle {}", client.0, event.key, victim.0),
            ),
            By::Client(client, sent) if client != victim && event.after.is_none() => {
                // A delete that is the first half of a claim, or that lost the race between its check and itself.
                let two_steps = self.profile != Profile::Atomic;
                let claiming = self.asks.iter().any(|ask| {
                    ask.client == client
                        && ask.key == event.key
                        && matches!(ask.what, Asked::Claim(_))
                        && ask.at <= sent
                        && sent <= ask.at + ATTEMPT
                });
                if two_steps && (claiming || self.raced(event, victim, sent)) {
                    return Ok(());
                }
                broken("R6", format!("handle {} removed {} of handle {}", client.0, event.key, victim.0))
            }
            By::Client(client, sent) if client != victim => {
                let claims = self.asks.iter().rev().filter(|ask| ask.client == client && ask.key == event.key);
                let last = claims.filter(|ask| ask.at <= sent).max_by_key(|ask| ask.at);
                let claimed = last.is_some_and(|ask| matches!(ask.what, Asked::Claim(_)));
                if claimed || (self.profile != Profile::Atomic && self.raced(event, victim, sent)) {
                    return Ok(());
                }
                broken(
                    "R6",
                    format!("handle {} overwrote {} of handle {} without a claim", client.0, event.key, victim.0),
                )
            }
            _ => Ok(()),
        }
    }

    /// Whether the victim wrote its entry after the request was sent, or within the round trip of the check before it.
    fn raced(&self, event: &Event, victim: ClientId, sent: Instant) -> bool {
        let round_trip = Duration::from_millis(10);
        let mine = |past: &&Event| past.key == event.key && past.at <= event.at && past.after.is_some();
        let written = self.history.iter().rev().filter(mine).find(|past| {
            past.before.as_ref().is_none_or(|entry| entry.owner != Some(victim))
                && past.after.as_ref().is_some_and(|entry| entry.owner == Some(victim))
        });
        written.is_some_and(|past| past.at + round_trip >= sent)
    }

    fn judge_call(&self, place: usize) -> Judged {
        let call = &self.calls[place];
        let (Some(key), Some(end)) = (call.key(), &call.end) else { return Ok(()) };
        if end.result != Ended::Ok {
            return Ok(());
        }
        let during = &self.history[call.history_before..end.history];
        let stands = self.standing(&key, end.history);
        let of_caller = |entry: &Entry| entry.owner == Some(call.client);
        match &call.op {
            Op::Register(info) => {
                let said = |entry: &Entry| of_caller(entry) && *entry.instance == Instance::from(info);
                if stands.is_some_and(|entry| said(entry) && entry.healthy) {
                    return Ok(());
                }
                let written = during.iter().any(|event| event.key == key && event.after.as_ref().is_some_and(said));
                let last = during.iter().rev().find(|event| event.key == key);
                let by_caller = |by: By| matches!(by, By::Client(client, _) if client == call.client);
                match last {
                    Some(last) if written && !by_caller(last.by) => Ok(()),
                    _ => broken("R1", format!("register {key} of handle {} was Ok and does not stand", call.client.0)),
                }
            }
            Op::Deregister(_) => {
                if stands.is_some_and(of_caller) {
                    return broken("R5", format!("deregister {key} of handle {} was Ok and it stands", call.client.0));
                }
                self.judge_zombies(place, &key, end.history)
            }
            _ => Ok(()),
        }
    }

    /// R8: how long an entry comes back after the `deregister` at `place` returned, until a later call publishes again.
    fn judge_zombies(&self, place: usize, key: &Key, from: usize) -> Judged {
        let client = self.calls[place].client;
        let later = self.calls[place + 1..].iter().filter(|call| call.is_about(client, key));
        let again = later.filter(|call| matches!(call.op, Op::Register(_) | Op::Announce(_)));
        let until = again.map(|call| call.history_before.max(from)).min().unwrap_or(self.history.len());
        let mut seen_since = None;
        let fencing = self.profile.capabilities().write_fencing.is_offered();
        for event in self.history[from..until].iter().filter(|event| event.key == *key) {
            let seen = event.after.as_ref().is_some_and(|entry| entry.owner == Some(client) && entry.healthy);
            match (seen, seen_since) {
                (true, None) if fencing => {
                    return broken("R8", format!("{key} of handle {} is back after deregister", client.0));
                }
                (true, None) => seen_since = Some(event.at),
                (false, Some(since)) => {
                    Self::judge_sight(client, key, event.at.duration_since(since))?;
                    seen_since = None;
                }
                _ => {}
            }
        }
        match seen_since {
            Some(since) if until == self.history.len() => {
                Self::judge_sight(client, key, self.now.duration_since(since))
            }
            _ => Ok(()),
        }
    }

    fn judge_sight(client: ClientId, key: &Key, seen: Duration) -> Judged {
        if seen > TTL + Duration::from_millis(100) {
            return broken("R8", format!("{key} of handle {} is seen for {seen:?} after deregister", client.0));
        }
        Ok(())
    }

    /// What stood under `key` after the first `length` events.
    pub(crate) fn standing(&self, key: &Key, length: usize) -> Option<&Entry> {
        self.history[..length].iter().rev().find(|event| event.key == *key).and_then(|event| event.after.as_ref())
    }

    /// All keys that any call was about.
    pub(crate) fn keys(&self) -> BTreeSet<Key> {
        self.calls.iter().filter_map(Call::key).collect()
    }

    /// L3, R4, R6, R7, R8: whether the world is by now what the users of live handles want.
    pub(crate) fn judge_end(&self) -> Judged {
        self.keys().iter().try_for_each(|key| self.judge_end_of(key))
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
        if *entry.instance != Instance::from(*info) {
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
        let claims = calls.filter(|call| matches!(call.op, Op::Register(_) | Op::Announce(_)));
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

    /// Whether two handles were asked for one key.
    pub(crate) fn is_contested(&self) -> bool {
        let asked =
            |key: &Key, client| self.calls.iter().any(|call| call.client != client && call.key().as_ref() == Some(key));
        self.calls.iter().any(|call| call.key().is_some_and(|key| asked(&key, call.client)))
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
        let mut last: Option<Option<std::sync::Arc<Instance>>> = None;
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
            let present = |(at, instance): &(usize, _)| {
                *at > item.history || Option::<std::sync::Arc<Instance>>::is_some(instance)
            };
            let at_begin = events.iter().take_while(|(_, event)| event.at < oldest).count();
            if seen.is_none() && states[at_begin..].iter().all(present) {
                return broken("W4", format!("{key} stood throughout and was missing"));
            }
            last = Some(seen);
        }
        Ok(())
    }
}
