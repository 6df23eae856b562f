//! Every write that core asks for, and every change of an entry, has a reason.

use std::time::Duration;

use registry_core::Info;
use tokio::time::Instant;

use super::{Judged, Past, broken};
use crate::profiles::Profile;
use crate::sim::{ATTEMPT, Call, Ended, OPERATION, Op};
use crate::world::{Ask, Asked, By, ClientId, Event};

impl Past {
    pub(super) fn judge_ask(&self, ask: &Ask) -> Judged {
        let own = || self.calls.iter().filter(|call| call.is_about(ask.client, &ask.key) && call.began <= ask.at);
        // A close goes on when its future was dropped.
        let gone = own().find(|call| match (&call.op, &call.end) {
            (Op::Close, Some(end)) if end.result == Ended::Dropped => end.at + OPERATION < ask.at,
            (Op::Close | Op::Crash, Some(end)) => end.at < ask.at,
            _ => false,
        });
        if let Some(call) = gone {
            return broken("R9", format!("handle {} wrote {} after {:?}", ask.client.0, ask.key, call.op));
        }
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

    pub(super) fn judge_event(&self, event: &Event) -> Judged {
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
                let last = claims.filter(|ask| ask.at <= sent && sent <= ask.at + ATTEMPT).max_by_key(|ask| ask.at);
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

    /// Whether the victim wrote its entry, or healed it, after the request was sent, or within the round trip of the check before it.
    fn raced(&self, event: &Event, victim: ClientId, sent: Instant) -> bool {
        let round_trip = Duration::from_millis(10);
        let mine = |past: &&Event| past.key == event.key && past.at <= event.at && past.after.is_some();
        let written = self.history.iter().rev().filter(mine).find(|past| {
            past.before.as_ref().is_none_or(|entry| entry.owner != Some(victim) || !entry.healthy)
                && past.after.as_ref().is_some_and(|entry| entry.owner == Some(victim))
        });
        written.is_some_and(|past| past.at + round_trip >= sent)
    }
}
