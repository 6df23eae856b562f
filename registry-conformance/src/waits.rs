//! How much of its limit each bounded wait of a case used.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// The worst use of one bounded wait in a case that passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// What was waited for.
    pub what: String,
    /// How long it might have taken, in milliseconds.
    pub limit_ms: u64,
    /// How long it took, in milliseconds.
    pub used_ms: u64,
    /// The use as a share of the limit, in per cent.
    pub percent: u64,
}

/// The waits of one case, by what was waited for.
#[derive(Debug, Default)]
pub(crate) struct Waits(RefCell<BTreeMap<String, (Duration, Duration)>>);

impl Waits {
    /// One wait was over within its limit.
    pub(crate) fn add(&self, what: &str, limit: Duration, used: Duration) {
        let mut worst = self.0.borrow_mut();
        let worst = worst.entry(what.to_owned()).or_insert((limit, Duration::ZERO));
        if share(limit, used) >= share(worst.0, worst.1) {
            *worst = (limit, used);
        }
    }

    /// All of them, the worst first.
    pub(crate) fn taken(&self) -> Vec<Wait> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let worst = self.0.take();
        let mut waits: Vec<Wait> = worst
            .into_iter()
            .map(|(what, (limit, used))| Wait {
                what,
                limit_ms: millis(limit),
                used_ms: millis(used),
                percent: u64::from(share(limit, used)),
            })
            .collect();
        waits.sort_by_key(|wait| std::cmp::Reverse(wait.percent));
        waits
    }
}

/// The use in per cent, rounded up.
fn share(limit: Duration, used: Duration) -> u32 {
    let percent = (used.as_micros() * 100).div_ceil(limit.as_micros().max(1));
    u32::try_from(percent).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_wait_the_worst_use_is_kept_and_the_worst_wait_comes_first() {
        let (second, waits) = (Duration::from_secs(1), Waits::default());
        waits.add("a", second, Duration::from_millis(300));
        waits.add("a", second, Duration::from_millis(200));
        waits.add("b", second * 10, Duration::from_millis(6401));
        let seen: Vec<_> = waits.taken().into_iter().map(|wait| (wait.what, wait.used_ms, wait.percent)).collect();
        assert_eq!(seen, [("b".to_owned(), 6401, 65), ("a".to_owned(), 300, 30)]);
    }
}
