//! Exponential back-off with full jitter and no attempt limit (clause L5).

use std::time::Duration;

/// Pauses between attempts: uniformly random between zero and a bound that doubles from a fiftieth of the cap up to the cap.
///
/// Full jitter spreads handles that lost the store together over the whole bound; a lower limit of a quarter of the first bound keeps a single
/// handle from spinning.
#[derive(Debug)]
pub(crate) struct Backoff {
    cap: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(cap: Duration) -> Self {
        Self { cap, failures: 0 }
    }

    /// Attempts that failed since the last success.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// An attempt succeeded.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// An attempt failed: how long to wait before the next.
    pub(crate) fn failed(&mut self) -> Duration {
        let first = self.cap / 50;
        let bound = first.saturating_mul(1 << self.failures.min(16)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        (bound.mul_f64(fastrand::f64())).max(first / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_are_spread_over_it() {
        let cap = Duration::from_secs(2);
        let mut late: Vec<Duration> = Vec::new();
        for _ in 0..200 {
            let mut backoff = Backoff::new(cap);
            assert!(backoff.failed() <= cap / 50);
            for _ in 0..1_000 {
                assert!(backoff.failed() <= cap);
            }
            late.push(backoff.failed());
        }
        let below_half = late.iter().filter(|pause| **pause < cap / 2).count();
        assert!((60..140).contains(&below_half), "{below_half} of 200 below half the cap");
    }

    #[test]
    fn a_success_starts_over() {
        let mut backoff = Backoff::new(Duration::from_secs(2));
        for _ in 0..20 {
            backoff.failed();
        }
        backoff.reset();
        assert!(backoff.failed() <= Duration::from_millis(40));
    }
}
