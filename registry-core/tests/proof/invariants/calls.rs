//! What a call promises at the moment of its `Ok`, and by when it ends.

use std::time::Duration;

use registry_core::store::Key;

use super::{Judged, Past, broken};
use crate::sim::{Ended, OPERATION, Op, TTL};
use crate::world::{By, ClientId, Entry};

impl Past {
    pub(super) fn judge_call(&self, place: usize) -> Judged {
        let call = &self.calls[place];
        self.judge_limit(place)?;
        let Some(end) = call.end.as_ref().filter(|end| end.result == Ended::Ok) else { return Ok(()) };
        let Some(key) = call.key() else {
            // The crash of an owner withdraws nothing; its end withdraws all.
            let keys = if matches!(call.op, Op::Close) { self.keys() } else { Default::default() };
            return keys.iter().try_for_each(|key| self.judge_withdrawn(place, key, end.history));
        };
        let during = &self.history[call.history_before..end.history];
        let stands = self.standing(&key, end.history);
        let of_caller = |entry: &Entry| entry.owner == Some(call.client);
        match &call.op {
            Op::Register(info) => {
                let said = |entry: &Entry| of_caller(entry) && *entry.instance == *info;
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
            Op::Deregister(_) => self.judge_withdrawn(place, &key, end.history),
            _ => Ok(()),
        }
    }

    /// V3: every call ends within the operation timeout; waiting behind one's own calls does not count.
    fn judge_limit(&self, place: usize) -> Judged {
        let call = &self.calls[place];
        let Some(end) = &call.end else {
            return broken("V3", format!("{:?} of handle {} never ended", call.op, call.client.0));
        };
        let before = self.calls[..place].iter().filter(|other| {
            let related = other.client == call.client && (call.key().is_none() || other.key() == call.key());
            related && other.end.as_ref().is_none_or(|end| end.at >= call.began)
        });
        let turns = 1 + u32::try_from(before.count()).expect("few calls");
        let took = end.at.duration_since(call.began);
        if took > OPERATION * turns + Duration::from_millis(20) {
            return broken("V3", format!("{:?} of handle {} took {took:?}", call.op, call.client.0));
        }
        Ok(())
    }

    /// R5, R9: nothing of the owner stands at the moment of `Ok`, and nothing comes back.
    fn judge_withdrawn(&self, place: usize, key: &Key, from: usize) -> Judged {
        let call = &self.calls[place];
        let stands = self.standing(key, from).is_some_and(|entry| entry.owner == Some(call.client) && entry.healthy);
        if stands {
            let clause = if matches!(call.op, Op::Close) { "R9" } else { "R5" };
            let what = format!("{:?} of handle {} was Ok and {key} stands", call.op, call.client.0);
            return broken(clause, what);
        }
        self.judge_zombies(place, key, from)
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
}
