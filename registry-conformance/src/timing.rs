//! The one source of every wait in the suite.

use std::time::Duration;

use registry_core::HandleOptions;

/// The environment variable that stretches every allowance: `2` on a slow machine, `1` by default.
pub const TIMING_VARIABLE: &str = "REGISTRY_CONFORMANCE_TIMING";

/// What a busy machine may add to a call that ends by its timeout. At a scale of one, a call of [`Timing::hurry`] that ends with an attempt of two
/// seconds is late with it, too.
const MARGIN: Duration = Duration::from_secs(1);

/// Every wait of every case, from the store's smallest TTL and one scale.
///
/// The scale stretches the TTL and with it what is allowed to an adapter; it never shortens what the contract demands.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    ttl: Duration,
    scale: f64,
}

impl Timing {
    /// The timing for a store whose smallest TTL is `smallest_ttl`, stretched by `scale` (1 or more; less counts as 1).
    pub fn new(smallest_ttl: Duration, scale: f64) -> Self {
        let scale = if scale.is_finite() { scale.clamp(1.0, 100.0) } else { 1.0 };
        Self { ttl: smallest_ttl.mul_f64(scale), scale }
    }

    /// The timing with the scale of [`TIMING_VARIABLE`].
    ///
    /// # Errors
    /// When the variable is set and is no number.
    pub fn from_environment(smallest_ttl: Duration) -> Result<Self, String> {
        match std::env::var(TIMING_VARIABLE) {
            Err(_) => Ok(Self::new(smallest_ttl, 1.0)),
            Ok(text) => match text.trim().parse::<f64>() {
                Ok(scale) => Ok(Self::new(smallest_ttl, scale)),
                Err(_) => Err(format!("{TIMING_VARIABLE} is {text:?}: give a number such as 2 or 1.5")),
            },
        }
    }

    /// The TTL that handles are opened with.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// How much the allowances are stretched.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The options that handles are opened with: the contract's limits, and audits so frequent that cases need not wait half a minute.
    pub fn options(&self) -> HandleOptions {
        let mut options = HandleOptions::with_ttl(self.ttl);
        options.audit_interval = self.audit();
        options.operation_timeout = self.operation();
        options.removal_grace = Some(self.grace());
        options
    }

    /// How often handles audit their entries (L4). However long the TTL, it is so short that what is allowed for one attempt counts: an owner
    /// that needs no more than its interval uses two thirds of [`restored_by_audit`](Self::restored_by_audit) at most.
    pub fn audit(&self) -> Duration {
        (self.ttl * 2).min(self.allow(Duration::from_secs(2)))
    }

    /// Within what time an entry that vanished is back: the audit interval with its jitter, the wait before restoring (L4), and one attempt.
    pub fn restored_by_audit(&self) -> Duration {
        self.audit().mul_f64(1.1) + self.allow(Duration::from_secs(1 + 2))
    }

    /// Within what time an audit has noticed what it finds (R7, L6): the audit interval with its jitter, and one attempt.
    pub fn noticed_by_audit(&self) -> Duration {
        self.audit().mul_f64(1.1) + self.allow(Duration::from_secs(2))
    }

    /// How long an owner leaves an entry alone that vanished under its session (L4), less one look.
    pub fn left_to_a_claimer(&self) -> Duration {
        Duration::from_secs(1).saturating_sub(self.look())
    }

    /// The TTL of an owner whose session outlives calls that time out.
    pub fn patient_ttl(&self) -> Duration {
        self.ttl.max(self.operation() * 3)
    }

    /// The operation timeout: no call takes longer (V3).
    pub fn operation(&self) -> Duration {
        self.allow(Duration::from_secs(5))
    }

    /// [`operation`](Self::operation) and a margin for the machine.
    pub fn call_ends(&self) -> Duration {
        self.operation() + self.allow(MARGIN)
    }

    /// The operation timeout of an owner whose calls are to run into it: short, so that the margin of [`hurry_ends`](Self::hurry_ends) counts.
    pub fn hurry(&self) -> Duration {
        self.allow(Duration::from_millis(800))
    }

    /// [`hurry`](Self::hurry) and the same margin for the machine as elsewhere.
    pub fn hurry_ends(&self) -> Duration {
        self.hurry() + self.allow(MARGIN)
    }

    /// Within what time a change that nothing hinders is seen by a watcher.
    pub fn prompt(&self) -> Duration {
        self.allow(Duration::from_secs(2))
    }

    /// When a crashed owner's entry is gone at the latest (L2): 2 x TTL + 2 s.
    pub fn crash_is_over(&self) -> Duration {
        self.ttl * 2 + self.allow(Duration::from_secs(2))
    }

    /// How long a crashed owner's entry stands at least (L2): half a TTL.
    pub fn crash_is_unnoticed(&self) -> Duration {
        self.ttl / 2
    }

    /// The recovery bound (contract, Words): 5 s, one renewal interval and its answer limit, and the time to write a few entries.
    pub fn recovery(&self) -> Duration {
        self.ttl / 3 + self.allow(Duration::from_secs(5 + 2 + 1))
    }

    /// The grace for which removals are held after an outage (W4), which handles are opened with: one TTL, also where the default is longer.
    pub fn grace(&self) -> Duration {
        self.ttl
    }

    /// How long the promise "nothing happens" is watched.
    pub fn quiet(&self) -> Duration {
        self.ttl * 3
    }

    /// The pause between two looks at something that is waited for.
    pub fn look(&self) -> Duration {
        (self.ttl / 100).clamp(Duration::from_millis(2), Duration::from_millis(50))
    }

    /// `time` stretched by the scale.
    pub fn allow(&self, time: Duration) -> Duration {
        time.mul_f64(self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_stretches_ttl_and_allowances_alike() {
        let (plain, slow) = (Timing::new(Duration::from_secs(2), 1.0), Timing::new(Duration::from_secs(2), 2.0));
        assert_eq!((plain.ttl(), slow.ttl()), (Duration::from_secs(2), Duration::from_secs(4)));
        assert_eq!((plain.crash_is_over(), slow.crash_is_over()), (Duration::from_secs(6), Duration::from_secs(12)));
        assert_eq!(slow.operation(), plain.operation() * 2);
    }

    #[test]
    fn a_scale_below_one_makes_nothing_stricter() {
        for scale in [0.0, -3.0, f64::NAN] {
            assert_eq!(Timing::new(Duration::from_secs(2), scale), Timing::new(Duration::from_secs(2), 1.0));
        }
    }
}
