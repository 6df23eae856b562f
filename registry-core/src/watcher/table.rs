//! The set that a view tells about: entries by key, instances by identity, removals that wait.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::address::Address;
use crate::instance::Instance;
use crate::metrics;
use crate::store::{Found, Key, Malformed};

/// All that is known of one service.
///
/// Changes are collected by [`upsert`](Self::upsert) and [`remove`](Self::remove) and take effect in [`commit`](Self::commit), so that what comes
/// and goes in one batch makes no gap. A full list is one answer: [`full`](Self::full) commits before and after it.
#[derive(Debug)]
pub(super) struct Table {
    grace: Duration,
    settle: Duration,
    window: Window,
    entries: HashMap<Key, Entry>,
    slots: BTreeMap<Identity, Slot>,
    /// Slots that are listed.
    listed: usize,
    /// Listed instances without a healthy entry.
    leaving: HashMap<Identity, Leaving>,
    /// Not after the first deadline in `leaving`.
    next_due: Option<Instant>,
    touched: Vec<Identity>,
    epoch: u64,
    complaints: Complaints,
    changed: Changed,
}

/// Whether removals are held (clause W4).
#[derive(Clone, Copy, Debug)]
enum Window {
    /// Only those that an answer gives cause to.
    Closed,
    /// All, and for how long is not known yet.
    Outage,
    /// All until then.
    Until(Instant),
}

/// What stands under one key. Without an instance it is malformed.
#[derive(Debug)]
struct Entry {
    instance: Option<Arc<Instance>>,
    healthy: bool,
    version: u64,
    epoch: u64,
}

/// One identity: the entries that claim it, and what is listed for it.
#[derive(Debug)]
struct Slot {
    keys: Vec<Key>,
    listed: Option<Arc<Instance>>,
}

/// A removal that waits, held and marked or only until it has settled. Without a deadline it waits for the end of the outage.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    held: bool,
    until: Option<Instant>,
}

/// What differs from the snapshot published last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// The instances.
    pub(super) set: bool,
    /// Which of them are unconfirmed.
    pub(super) marks: bool,
}

/// Entries that turned malformed: how many, and the first few by name.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    pub(super) count: usize,
    pub(super) listed: Vec<(Key, Malformed)>,
}

impl Complaints {
    /// More would not be logged anyway.
    const LISTED: usize = 4;
}

impl Table {
    pub(super) fn new(grace: Duration, settle: Duration) -> Self {
        Self {
            grace,
            settle,
            window: Window::Closed,
            entries: HashMap::new(),
            slots: BTreeMap::new(),
            listed: 0,
            leaving: HashMap::new(),
            next_due: None,
            touched: Vec::new(),
            epoch: 0,
            complaints: Complaints::default(),
            changed: Changed::default(),
        }
    }

    /// From now on all removals are held, those that wait to settle included.
    pub(super) fn begin_outage(&mut self) {
        self.window = Window::Outage;
        let mut held = 0;
        for leaving in self.leaving.values_mut() {
            held += usize::from(!leaving.held);
            *leaving = Leaving { held: true, until: None };
        }
        self.note_held(held);
        self.next_due = None;
    }

    /// The store answers again: what is held stays for one grace more. Nothing happens unless there was an outage.
    pub(super) fn end_outage(&mut self, now: Instant) {
        if !matches!(self.window, Window::Outage) {
            return;
        }
        let until = now + self.grace;
        self.window = Window::Until(until);
        for leaving in self.leaving.values_mut() {
            leaving.until = Some(until);
        }
        self.next_due = (!self.leaving.is_empty()).then_some(until);
    }

    /// A full list: entries that are not in it are gone.
    pub(super) fn full(&mut self, found: Vec<Found>, now: Instant) {
        self.commit(now);
        self.epoch += 1;
        for found in found {
            self.upsert(found);
        }
        let epoch = self.epoch;
        let gone: Vec<Key> =
            self.entries.iter().filter(|(_, entry)| entry.epoch != epoch).map(|(key, _)| key.clone()).collect();
        for key in &gone {
            self.remove(key);
        }
        self.commit(now);
    }

    /// An entry is new or changed. Equal content keeps the instance that is there.
    pub(super) fn upsert(&mut self, found: Found) {
        let Found { key, instance, healthy, version } = found;
        let before = self.entries.get_mut(&key);
        let mut instance = match instance {
            Ok(instance) => Some(instance),
            Err(why) => {
                if before.as_ref().is_none_or(|entry| entry.instance.is_some()) {
                    self.complaints.count += 1;
                    if self.complaints.listed.len() < Complaints::LISTED {
                        self.complaints.listed.push((key.clone(), why));
                    }
                }
                None
            }
        };
        let mut old_identity = None;
        if let Some(entry) = before {
            entry.epoch = self.epoch;
            if entry.instance == instance {
                if entry.healthy == healthy && entry.version == version {
                    return;
                }
                instance = entry.instance.take();
            } else {
                old_identity = entry.instance.take().map(|old| Identity(old.address().clone()));
            }
        }
        let identity = instance.as_ref().map(|instance| Identity(instance.address().clone()));
        if let Some(old) = old_identity.filter(|old| Some(old) != identity.as_ref()) {
            self.unlink(old, &key);
        }
        if let Some(identity) = identity {
            self.link(identity, &key);
        }
        self.entries.insert(key, Entry { instance, healthy, version, epoch: self.epoch });
    }

    /// An entry is gone.
    pub(super) fn remove(&mut self, key: &Key) {
        let instance = self.entries.remove(key).and_then(|entry| entry.instance);
        if let Some(instance) = instance {
            self.unlink(Identity(instance.address().clone()), key);
        }
    }

    /// The changes since the last commit take effect, as one answer of the store.
    pub(super) fn commit(&mut self, now: Instant) {
        if self.touched.is_empty() {
            return;
        }
        let healthy_before = self.listed - self.leaving.len();
        let mut departed = Vec::new();
        for identity in std::mem::take(&mut self.touched) {
            if self.refresh(&identity) == Refreshed::Departed {
                departed.push(identity);
            }
        }
        departed.sort_unstable();
        departed.dedup();
        let unhealthy = departed.iter().filter(|identity| self.is_claimed(identity)).count();
        let wiped = unhealthy * 2 > healthy_before;
        let mut held = 0;
        for identity in departed {
            let doubtful = wiped && self.is_claimed(&identity);
            match self.wait_for(doubtful, now) {
                Some(leaving) => {
                    held += usize::from(leaving.held);
                    self.next_due = earlier(self.next_due, leaving.until);
                    self.leaving.insert(identity, leaving);
                }
                None => self.unlist(&identity),
            }
        }
        self.note_held(held);
    }

    /// Removals whose time has come take effect.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.next_due.is_none_or(|due| due > now) {
            return;
        }
        let is_due = |leaving: &Leaving| leaving.until.is_some_and(|until| until <= now);
        let due: Vec<Identity> =
            self.leaving.iter().filter(|(_, leaving)| is_due(leaving)).map(|(identity, _)| identity.clone()).collect();
        for identity in due {
            self.changed.marks |= self.leaving.remove(&identity).is_some_and(|leaving| leaving.held);
            self.unlist(&identity);
        }
        self.next_due = self.leaving.values().filter_map(|leaving| leaving.until).min();
    }

    /// When [`expire`](Self::expire) has something to do next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.next_due
    }

    /// The listed instances, ordered by address.
    pub(super) fn listed(&self) -> impl Iterator<Item = Arc<Instance>> {
        self.slots.values().filter_map(|slot| slot.listed.clone())
    }

    /// The listed instances whose removal is held.
    pub(super) fn unconfirmed(&self) -> BTreeSet<Address> {
        let held = self.leaving.iter().filter(|(_, leaving)| leaving.held);
        held.filter_map(|(identity, _)| Some(self.slots.get(identity)?.listed.as_ref()?.address().clone())).collect()
    }

    /// What changed since this was last asked.
    pub(super) fn take_changed(&mut self) -> Changed {
        std::mem::take(&mut self.changed)
    }

    /// The entries that turned malformed since this was last asked. Counts them.
    pub(super) fn take_complaints(&mut self) -> Complaints {
        for _ in 0..self.complaints.count {
            metrics::malformed();
        }
        std::mem::take(&mut self.complaints)
    }

    /// How long a removal learnt now waits; `None` for not at all.
    fn wait_for(&self, doubtful: bool, now: Instant) -> Option<Leaving> {
        let held = |until| Some(Leaving { held: true, until });
        match self.window {
            Window::Outage => held(None),
            _ if doubtful && !self.grace.is_zero() => held(Some(now + self.grace)),
            Window::Until(until) if now < until => held(Some(until)),
            _ if !self.settle.is_zero() => Some(Leaving { held: false, until: Some(now + self.settle) }),
            _ => None,
        }
    }

    /// Whether an entry, healthy or not, stands for an identity.
    fn is_claimed(&self, identity: &Identity) -> bool {
        self.slots.get(identity).is_some_and(|slot| !slot.keys.is_empty())
    }

    /// Compares what is listed for an identity with its entries.
    fn refresh(&mut self, identity: &Identity) -> Refreshed {
        let Some(slot) = self.slots.get_mut(identity) else { return Refreshed::Done };
        let healthy = slot.keys.iter().filter_map(|key| Some((key, self.entries.get(key)?))).filter(|(_, e)| e.healthy);
        let best =
            healthy.max_by_key(|(key, entry)| (entry.version, *key)).and_then(|(_, entry)| entry.instance.as_ref());
        if let Some(best) = best {
            if slot.listed.as_ref() != Some(best) {
                self.listed += usize::from(slot.listed.is_none());
                slot.listed = Some(best.clone());
                self.changed.set = true;
            }
            self.changed.marks |= self.leaving.remove(identity).is_some_and(|leaving| leaving.held);
            return Refreshed::Done;
        }
        if slot.listed.is_some() {
            return if self.leaving.contains_key(identity) { Refreshed::Done } else { Refreshed::Departed };
        }
        if slot.keys.is_empty() {
            self.slots.remove(identity);
        }
        Refreshed::Done
    }

    fn unlist(&mut self, identity: &Identity) {
        let Some(slot) = self.slots.get_mut(identity) else { return };
        if slot.listed.take().is_some() {
            self.listed -= 1;
            self.changed.set = true;
        }
        if slot.keys.is_empty() {
            self.slots.remove(identity);
        }
    }

    fn link(&mut self, identity: Identity, key: &Key) {
        match self.slots.get_mut(&identity) {
            Some(slot) if slot.keys.contains(key) => {}
            Some(slot) => slot.keys.push(key.clone()),
            None => {
                self.slots.insert(identity.clone(), Slot { keys: vec![key.clone()], listed: None });
            }
        }
        self.touched.push(identity);
    }

    fn unlink(&mut self, identity: Identity, key: &Key) {
        if let Some(slot) = self.slots.get_mut(&identity) {
            slot.keys.retain(|other| other != key);
        }
        self.touched.push(identity);
    }

    fn note_held(&mut self, held: usize) {
        if held > 0 {
            self.changed.marks = true;
            metrics::removals_held(held);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refreshed {
    Done,
    /// It is listed, has no healthy entry any more, and nothing was decided about that yet.
    Departed,
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// An address as an identity: compared by its text alone, whatever its network.
#[derive(Clone, Debug)]
struct Identity(Address);

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Identity {}

impl PartialOrd for Identity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Identity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}
