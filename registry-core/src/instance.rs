//! What a resolver returns.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::address::Address;
use crate::info::{DEFAULT_WEIGHT, Info};
use crate::name::ServiceName;

/// One live instance of a service, as a resolver returns it: every field of the [`Info`] that was registered (clause D2).
///
/// Equality compares all fields; a difference in any of them is an update (clause W1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    service: ServiceName,
    address: Address,
    payload_codec: Box<str>,
    weight: u32,
    start_time: Option<SystemTime>,
    warm_up: Duration,
    tags: BTreeMap<String, String>,
}

impl Instance {
    /// A plain instance: the default weight, no tags. Adapters fill the rest with the `with_…` methods.
    pub fn new(service: ServiceName, address: Address) -> Self {
        Self {
            service,
            address,
            payload_codec: "".into(),
            weight: DEFAULT_WEIGHT,
            start_time: None,
            warm_up: Duration::ZERO,
            tags: BTreeMap::new(),
        }
    }

    /// The same instance with this payload codec.
    #[must_use]
    pub fn with_payload_codec(mut self, codec: impl Into<Box<str>>) -> Self {
        self.payload_codec = codec.into();
        self
    }

    /// The same instance with this weight as the store has it: 0 or less means [`DEFAULT_WEIGHT`], as in Kitex; what is past
    /// `u32` counts as `u32::MAX`.
    #[must_use]
    pub fn with_weight(mut self, weight: i64) -> Self {
        self.weight = if weight <= 0 { DEFAULT_WEIGHT } else { u32::try_from(weight).unwrap_or(u32::MAX) };
        self
    }

    /// The same instance with this start time.
    #[must_use]
    pub fn with_start_time(mut self, start: Option<SystemTime>) -> Self {
        self.start_time = start;
        self
    }

    /// The same instance with this warm-up.
    #[must_use]
    pub fn with_warm_up(mut self, warm_up: Duration) -> Self {
        self.warm_up = warm_up;
        self
    }

    /// The same instance with these tags.
    #[must_use]
    pub fn with_tags(mut self, tags: BTreeMap<String, String>) -> Self {
        self.tags = tags;
        self
    }

    /// The service that the instance belongs to.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// Where the instance is reached.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The payload codec; empty when none was named.
    pub fn payload_codec(&self) -> &str {
        &self.payload_codec
    }

    /// The weight when warmed up, at least 1.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// When the instance started.
    pub fn start_time(&self) -> Option<SystemTime> {
        self.start_time
    }

    /// How long the weight ramps up after the start; zero for no ramp.
    pub fn warm_up(&self) -> Duration {
        self.warm_up
    }

    /// Free tags.
    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.tags
    }

    /// The value of one tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.get(key).map(String::as_str)
    }

    /// The weight at `now`: it ramps from 1 to [`weight`](Self::weight) over `warm_up` since `start_time`.
    ///
    /// Tolerant of clock skew between the instance and the reader: a start time ahead of `now` counts as a start just now, but one
    /// that is further ahead than the warm-up lasts is a wrong clock and is not held against the instance. Whatever the skew, an
    /// instance stays below its weight for at most twice its warm-up, and the result is between 1 and the weight.
    pub fn effective_weight(&self, now: SystemTime) -> u32 {
        let Some(start) = self.start_time else { return self.weight };
        let elapsed = match now.duration_since(start) {
            Ok(elapsed) => elapsed,
            Err(ahead) if ahead.duration() > self.warm_up => return self.weight,
            Err(_) => Duration::ZERO,
        };
        if elapsed >= self.warm_up {
            return self.weight;
        }
        let gained = u128::from(self.weight - 1) * elapsed.as_nanos() / self.warm_up.as_nanos();
        1 + u32::try_from(gained).expect("invariant: elapsed < warm_up, so the gain is below the weight")
    }

    /// The time from which on the effective weight is the weight, unless the clocks disagree.
    pub(crate) fn warm_from(&self) -> Option<SystemTime> {
        if self.warm_up.is_zero() {
            return None;
        }
        self.start_time?.checked_add(self.warm_up)
    }
}

impl From<&Info> for Instance {
    fn from(info: &Info) -> Self {
        Self {
            service: info.service().clone(),
            address: info.address().clone(),
            payload_codec: info.payload_codec().into(),
            weight: info.weight(),
            start_time: info.start_time(),
            warm_up: info.warm_up(),
            tags: info.tags().clone(),
        }
    }
}

impl PartialEq<Info> for Instance {
    /// Whether the instance is what `info` registered, field by field (`skip_listen_addr` is no field of the entry).
    fn eq(&self, info: &Info) -> bool {
        self.service == *info.service()
            && self.address == *info.address()
            && *self.payload_codec == *info.payload_codec()
            && self.weight == info.weight()
            && self.start_time == info.start_time()
            && self.warm_up == info.warm_up()
            && self.tags == *info.tags()
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    fn warming(weight: u32, start_ms: u64, warm_up_ms: u64) -> Instance {
        Instance::new(ServiceName::new("demo").unwrap(), Address::tcp("10.0.0.5:1").unwrap())
            .with_weight(i64::from(weight))
            .with_start_time(Some(at(start_ms)))
            .with_warm_up(Duration::from_millis(warm_up_ms))
    }

    fn at(ms: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(ms)
    }

    #[test]
    fn the_weight_ramps_linearly_from_one() {
        let instance = warming(101, 1_000, 1_000);
        let seen: Vec<u32> =
            [1_000, 1_250, 1_500, 1_999, 2_000, 9_000].map(|ms| instance.effective_weight(at(ms))).into();
        assert_eq!(seen, [1, 26, 51, 100, 101, 101]);
    }

    #[test]
    fn a_clock_ahead_by_more_than_the_warm_up_is_not_held_against_the_instance() {
        let instance = warming(101, 100_000, 1_000);
        assert_eq!(instance.effective_weight(at(99_500)), 1);
        assert_eq!(instance.effective_weight(at(98_000)), 101);
    }

    proptest! {
        #[test]
        fn the_effective_weight_is_between_one_and_the_weight(
            weight in 1u32.., start in 0u64..1 << 53, warm_up in 0u64..1 << 53, now in 0u64..1 << 53
        ) {
            let effective = warming(weight, start, warm_up).effective_weight(at(now));
            prop_assert!((1..=weight).contains(&effective));
        }

        #[test]
        fn the_effective_weight_never_falls_once_the_ramp_began(
            weight in 1u32.., start in 0u64..1 << 40, warm_up in 0u64..1 << 30, early in 0u64..1 << 31, later in 0u64..1 << 31
        ) {
            let instance = warming(weight, start + warm_up, warm_up);
            let (early, later) = (start + early.min(later), start + early.max(later));
            prop_assert!(instance.effective_weight(at(early)) <= instance.effective_weight(at(later)));
        }

        #[test]
        fn the_weight_is_full_unless_the_start_is_within_one_warm_up(
            weight in 1u32.., start in 0u64..1 << 41, now in 0u64..1 << 41, warm_up in 0u64..1 << 40
        ) {
            prop_assume!(start.abs_diff(now) > warm_up);
            prop_assert_eq!(warming(weight, start, warm_up).effective_weight(at(now)), weight);
        }
    }
}
