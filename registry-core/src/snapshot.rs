//! All live instances of one service as one immutable value.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use crate::address::Address;
use crate::error::ErrorKind;
use crate::instance::Instance;
use crate::name::ServiceName;

/// All live instances of one service, ordered by address, as one immutable value.
///
/// *Unknown* is not *empty*: a watch whose store has not answered yet has an unknown snapshot (clause W1). While the store is away the
/// last good instances stay and the snapshot is [`stale`](Self::stale); instances that would have been removed but are held (clause W4)
/// are [`unconfirmed`](Self::is_unconfirmed).
#[derive(Clone)]
pub struct Snapshot {
    service: ServiceName,
    known: bool,
    instances: Arc<[Arc<Instance>]>,
    unconfirmed: Arc<BTreeSet<Address>>,
    stale: Option<Arc<Stale>>,
    weights: OnceLock<Weights>,
}

/// Why a snapshot may be out of date (clause W4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Since when the store has not been heard.
    pub since: SystemTime,
    /// The kind of the last error.
    pub kind: ErrorKind,
    /// The text of the last error.
    pub text: String,
}

/// Precomputed sums for [`Snapshot::pick`], valid from `from` on (when no instance is warming up any more).
#[derive(Clone)]
struct Weights {
    from: Option<SystemTime>,
    sums: Box<[u64]>,
}

impl Snapshot {
    /// The snapshot of a service of which nothing is known yet.
    pub fn unknown(service: ServiceName) -> Self {
        Self {
            service,
            known: false,
            instances: Arc::new([]),
            unconfirmed: Arc::default(),
            stale: None,
            weights: OnceLock::new(),
        }
    }

    /// A known snapshot. The instances are ordered by address; of two with one address the later one stays.
    pub fn new(service: ServiceName, instances: impl IntoIterator<Item = Arc<Instance>>) -> Self {
        let mut instances: Vec<Arc<Instance>> = instances.into_iter().collect();
        if !instances.is_sorted_by(|a, b| a.address().as_str() < b.address().as_str()) {
            instances.reverse();
            instances.sort_by(|a, b| a.address().as_str().cmp(b.address().as_str()));
            instances.dedup_by(|b, a| a.address().as_str() == b.address().as_str());
        }
        Self { known: true, instances: instances.into(), ..Self::unknown(service) }
    }

    /// The same snapshot, marked stale, or fresh with `None`.
    #[must_use]
    pub fn with_stale(mut self, stale: Option<Stale>) -> Self {
        self.stale = stale.map(Arc::new);
        self
    }

    /// The same snapshot with these instances marked unconfirmed.
    #[must_use]
    pub fn with_unconfirmed(mut self, unconfirmed: BTreeSet<Address>) -> Self {
        self.unconfirmed = Arc::new(unconfirmed);
        self
    }

    /// The service that this is a snapshot of.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// Whether the store has answered at least once.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// The instances, ordered by address.
    pub fn instances(&self) -> &[Arc<Instance>] {
        &self.instances
    }

    /// How many instances there are. 0 for an unknown snapshot, too.
    pub fn len(&self) -> usize {
        self.instances.len()
    }

    /// Whether there is no instance.
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// The instance with this identity (`host:port`, IPv6 in brackets).
    pub fn get(&self, address: &str) -> Option<&Arc<Instance>> {
        let place = self.instances.binary_search_by(|instance| instance.address().as_str().cmp(address)).ok()?;
        self.instances.get(place)
    }

    /// Since when and why the store has not been heard; `None` when the snapshot is fresh.
    pub fn stale(&self) -> Option<&Stale> {
        self.stale.as_deref()
    }

    /// Whether this instance's removal is being held back (clause W4).
    pub fn is_unconfirmed(&self, address: &Address) -> bool {
        self.unconfirmed.contains(address)
    }

    /// The addresses whose removal is being held back (clause W4).
    pub fn unconfirmed(&self) -> &BTreeSet<Address> {
        &self.unconfirmed
    }

    /// One instance at random, in proportion to the effective weights at this moment.
    ///
    /// # Errors
    /// [`NoInstance`] when there is none, or when nothing is known yet.
    pub fn pick(&self) -> Result<&Arc<Instance>, NoInstance> {
        self.pick_at(SystemTime::now(), fastrand::u64(..))
    }

    /// [`pick`](Self::pick) at a given time with a given random number, for tests and for callers with a generator of their own.
    ///
    /// # Errors
    /// As [`pick`](Self::pick).
    pub fn pick_at(&self, now: SystemTime, random: u64) -> Result<&Arc<Instance>, NoInstance> {
        if self.instances.is_empty() {
            return Err(NoInstance { service: self.service.clone(), known: self.known });
        }
        let weights = self.weights.get_or_init(|| Weights::of(&self.instances));
        let place = if weights.from.is_none_or(|from| from <= now) {
            let point = scale(random, weights.sums.last().copied().unwrap_or(1));
            weights.sums.partition_point(|sum| *sum <= point)
        } else {
            let total = self.instances.iter().map(|instance| u64::from(instance.effective_weight(now))).sum();
            let mut left = scale(random, total);
            self.instances
                .iter()
                .position(|instance| match left.checked_sub(u64::from(instance.effective_weight(now))) {
                    Some(rest) => {
                        left = rest;
                        false
                    }
                    None => true,
                })
                .unwrap_or(0)
        };
        Ok(&self.instances[place.min(self.instances.len() - 1)])
    }

    /// What changed from `before` to this snapshot.
    pub fn difference(&self, before: &Snapshot) -> Difference {
        let mut difference = Difference::default();
        if Arc::ptr_eq(&self.instances, &before.instances) {
            return difference;
        }
        let (mut old, mut new) = (before.instances.iter().peekable(), self.instances.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return difference,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) if Arc::ptr_eq(a, b) => {
                    old.next();
                    new.next();
                    continue;
                }
                (Some(a), Some(b)) => a.address().as_str().cmp(b.address().as_str()),
            };
            match order {
                std::cmp::Ordering::Less => difference.removed.extend(old.next().cloned()),
                std::cmp::Ordering::Greater => difference.added.extend(new.next().cloned()),
                std::cmp::Ordering::Equal => {
                    let (a, b) = (old.next(), new.next());
                    if a != b {
                        difference.updated.extend(b.cloned());
                    }
                }
            }
        }
    }

    /// Whether both are known or both unknown, with equal instances. Marks (stale, unconfirmed) do not count.
    pub fn same_set(&self, other: &Snapshot) -> bool {
        self.known == other.known
            && (Arc::ptr_eq(&self.instances, &other.instances) || self.instances == other.instances)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("service", &self.service)
            .field("known", &self.known)
            .field("instances", &self.instances)
            .field("unconfirmed", &self.unconfirmed)
            .field("stale", &self.stale)
            .finish_non_exhaustive()
    }
}

impl Weights {
    fn of(instances: &[Arc<Instance>]) -> Self {
        let mut sum = 0u64;
        let sums = instances
            .iter()
            .map(|instance| {
                sum += u64::from(instance.weight());
                sum
            })
            .collect();
        Self { from: instances.iter().filter_map(|instance| instance.warm_from()).max(), sums }
    }
}

/// Maps a random `u64` evenly onto `0..total`.
fn scale(random: u64, total: u64) -> u64 {
    ((u128::from(random) * u128::from(total)) >> 64) as u64
}

/// What changed between two snapshots, each list ordered by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Instances that were not there before.
    pub added: Vec<Arc<Instance>>,
    /// Instances of which a field changed, as they are now.
    pub updated: Vec<Arc<Instance>>,
    /// Instances that are gone, as they were.
    pub removed: Vec<Arc<Instance>>,
}

impl Difference {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.updated.is_empty() && self.removed.is_empty()
    }
}

/// There is no instance to pick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoInstance {
    /// The service without instances.
    pub service: ServiceName,
    /// Whether the store said so; `false` when it has not answered yet.
    pub known: bool,
}

impl fmt::Display for NoInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.known {
            write!(f, "no instance of {} is registered", self.service)
        } else {
            write!(f, "no instance of {} is known yet: the store has not answered", self.service)
        }
    }
}

impl std::error::Error for NoInstance {}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn instance(address: &str, weight: u32) -> Instance {
        Instance::new(ServiceName::new("demo").unwrap(), Address::tcp(address).unwrap()).with_weight(i64::from(weight))
    }

    fn snapshot(instances: impl IntoIterator<Item = Instance>) -> Snapshot {
        Snapshot::new(ServiceName::new("demo").unwrap(), instances.into_iter().map(Arc::new))
    }

    /// How often each address is picked over evenly spread random numbers.
    fn shares(snapshot: &Snapshot, now: SystemTime, rounds: u64) -> Vec<u64> {
        let mut counts = vec![0; snapshot.len()];
        for round in 0..rounds {
            let picked = snapshot.pick_at(now, u64::MAX / rounds * round).unwrap();
            counts[snapshot.instances().iter().position(|i| Arc::ptr_eq(i, picked)).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn picks_are_in_proportion_to_the_weights() {
        let picks = shares(&snapshot([instance("h:1", 1), instance("h:2", 2), instance("h:3", 7)]), UNIX_EPOCH, 1_000);
        for (picks, share) in picks.into_iter().zip([100u64, 200, 700]) {
            assert!(picks.abs_diff(share) <= 1, "{picks} instead of {share}");
        }
    }

    #[test]
    fn an_instance_that_warms_up_is_picked_less() {
        let now = UNIX_EPOCH + Duration::from_secs(100);
        let cold = instance("h:1", 9).with_start_time(Some(now)).with_warm_up(Duration::from_secs(10));
        let snapshot = snapshot([cold, instance("h:2", 9)]);
        let picks = shares(&snapshot, now, 1_000);
        assert!(picks[0].abs_diff(100) <= 1, "{picks:?}");
        let warm = shares(&snapshot, now + Duration::from_secs(11), 1_000);
        assert!(warm[0].abs_diff(500) <= 1, "{warm:?}");
    }

    #[test]
    fn picking_from_nothing_says_whether_the_store_said_so() {
        let service = ServiceName::new("demo").unwrap();
        assert!(!Snapshot::unknown(service.clone()).pick().unwrap_err().known);
        assert!(Snapshot::new(service, []).pick().unwrap_err().known);
    }

    #[test]
    fn a_difference_has_added_updated_and_removed() {
        let before = snapshot([instance("h:1", 1), instance("h:2", 1), instance("h:3", 1)]);
        let after = snapshot([instance("h:2", 5), instance("h:3", 1), instance("h:4", 1)]);
        let difference = after.difference(&before);
        let texts = |list: &[Arc<Instance>]| list.iter().map(|i| i.address().to_string()).collect::<Vec<_>>();
        assert_eq!(texts(&difference.added), ["h:4"]);
        assert_eq!(texts(&difference.updated), ["h:2"]);
        assert_eq!(texts(&difference.removed), ["h:1"]);
        assert!(after.difference(&after.clone()).is_empty());
    }

    #[test]
    fn of_two_instances_with_one_address_the_later_stays() {
        let snapshot = snapshot([instance("h:2", 1), instance("h:1", 1), instance("h:2", 7)]);
        assert_eq!(snapshot.len(), 2);
        assert_eq!(snapshot.get("h:2").unwrap().weight(), 7);
    }
}
