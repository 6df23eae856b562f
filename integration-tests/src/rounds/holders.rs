//! Who has to hold the addresses that both owners want: the last one to register it, unless a fault made it a race.

use std::collections::BTreeMap;
use std::time::Instant;

use super::plan::{Fault, OWNERS, SHARED, info};
use super::stage::Wanted;

/// The owner who must hold an address; none where several may.
#[derive(Debug, Default)]
pub(super) struct Holders(BTreeMap<String, usize>);

/// A call that was answered.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) owner: usize,
    pub(super) address: String,
    /// Or withdraws.
    pub(super) registers: bool,
    pub(super) succeeded: bool,
    pub(super) began: Instant,
    pub(super) ended: Instant,
}

impl Holders {
    /// Who must hold this address.
    pub(super) fn of(&self, address: &str) -> Option<usize> {
        self.0.get(address).copied()
    }

    /// Those who were seen to hold an address hold it until something happens.
    pub(super) fn note(&mut self, seen: BTreeMap<String, usize>) {
        self.0 = seen;
    }

    /// A fault came and went while these calls were made; this is what is wanted since.
    pub(super) fn after(&mut self, fault: Fault, mut calls: Vec<Called>, wanted: &[Wanted; OWNERS]) {
        calls.sort_by_key(|call| call.began);
        for port in SHARED {
            let address = info(port, 1).address().as_str().to_owned();
            let before = self.0.remove(&address);
            let calls: Vec<_> = calls.iter().filter(|call| call.address == address).collect();
            let concerned = before.into_iter().chain(calls.iter().map(|call| call.owner));
            let a_race = concerned.into_iter().any(|owner| fault.can_unseat(owner, &address));
            let holder = if a_race { None } else { last(before, &calls) };
            if let Some(holder) = holder.filter(|owner| wanted[*owner].contains_key(&address)) {
                self.0.insert(address, holder);
            }
        }
    }
}

/// Who holds an address after these calls, in the order of their beginnings, if that is certain.
fn last(before: Option<usize>, calls: &[&Called]) -> Option<usize> {
    calls.iter().fold(before, |holder, call| {
        let at_once =
            |other: &&Called| other.owner != call.owner && other.began < call.ended && call.began < other.ended;
        match call.registers {
            _ if !call.succeeded || calls.iter().any(at_once) => None,
            true => Some(call.owner),
            // The other one, if it wants it, restores its own.
            false if holder == Some(call.owner) => Some(OWNERS - 1 - call.owner),
            false => holder,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_caller_holds_an_address() {
        let start = Instant::now();
        let call = |owner, registers, began: u64, ended: u64| {
            let [began, ended] = [began, ended].map(|at| start + Duration::from_millis(at));
            Called { owner, address: String::new(), registers, succeeded: true, began, ended }
        };
        let (first, second) = (call(0, true, 0, 10), call(1, true, 20, 30));
        assert_eq!(last(None, &[&first, &second]), Some(1));
        assert_eq!(last(Some(1), &[&first, &call(0, false, 20, 30)]), Some(1), "who yielded restores its own");
        assert_eq!(last(Some(0), &[&call(1, false, 0, 10)]), Some(0), "a withdrawal of who yields changes nothing");
        assert_eq!(last(Some(0), &[&first, &call(1, true, 5, 15)]), None, "calls at once are a race");
        let failed = Called { succeeded: false, ..call(1, true, 20, 30) };
        assert_eq!(last(Some(0), &[&first, &failed]), None, "a call that failed may have displaced the other");
    }
}
