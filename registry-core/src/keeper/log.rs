//! What the keeper logs: changes of state, once, and few of them when they come again and again (clause L6).

use std::time::Duration;

use tokio::time::Instant;

use crate::quota::Quota;
use crate::store::{Key, StoreError};

/// Faults that are told loudly in a quarter of an hour; most have a second line for their end.
const FAULTS: u32 = 3;
/// Takeovers that are told loudly in a quarter of an hour.
const TAKEOVERS: u32 = 10;
const PERIOD: Duration = Duration::from_secs(900);

/// What has been logged of the present outage.
pub(super) struct KeeperLog {
    faults: Quota,
    takeovers: Quota,
    unreachable: Option<Told>,
    /// A session was lost and its registrations are not all back.
    restoring: Option<Told>,
    /// A failing write was logged and has not been followed by a good one.
    writes_failing: bool,
}

/// A fault that lasts, and whether its beginning was told loudly: then its end is, too.
#[derive(Clone, Copy)]
struct Told {
    since: Instant,
    loud: bool,
}

/// At `warn` or `info` while the quota lasts, at `debug` from then on.
macro_rules! tell {
    ($loud:expr, $level:ident, $($what:tt)*) => {
        if $loud {
            tracing::$level!($($what)*);
        } else {
            tracing::debug!($($what)*);
        }
    };
}

impl KeeperLog {
    pub(super) fn new() -> Self {
        Self {
            faults: Quota::new(FAULTS, PERIOD),
            takeovers: Quota::new(TAKEOVERS, PERIOD),
            unreachable: None,
            restoring: None,
            writes_failing: false,
        }
    }

    pub(super) fn unreachable(&mut self, error: &StoreError) {
        if self.unreachable.is_some() {
            return;
        }
        let told = self.begin();
        self.unreachable = Some(told);
        let (kind, error) = (error.kind().as_str(), error.message());
        tell!(told.loud, warn, kind, error, "registry store unreachable; trying on");
    }

    pub(super) fn reachable(&mut self) {
        if let Some(told) = self.unreachable.take() {
            tell!(told.loud, info, after = ?told.since.elapsed(), "registry store reachable again");
        }
    }

    pub(super) fn session_lost(&mut self, registrations: usize) {
        if self.restoring.is_some() {
            return;
        }
        let told = self.begin();
        self.restoring = Some(told);
        tell!(told.loud, warn, registrations, "registry session lost; opening another and registering again");
    }

    pub(super) fn is_restoring(&self) -> bool {
        self.restoring.is_some()
    }

    pub(super) fn restored(&mut self) {
        if let Some(told) = self.restoring.take() {
            tell!(told.loud, info, after = ?told.since.elapsed(), "all registrations are written again");
        }
    }

    pub(super) fn write_failed(&mut self, key: &Key, error: &StoreError) {
        if self.writes_failing {
            return;
        }
        self.writes_failing = true;
        let loud = self.faults.take(Instant::now());
        let (kind, error) = (error.kind().as_str(), error.message());
        tell!(loud, warn, key = %key, kind, error, "registry write failed; trying on");
    }

    pub(super) fn written(&mut self) {
        self.writes_failing = false;
    }

    pub(super) fn displaced(&mut self, key: &Key) {
        let loud = self.takeovers.take(Instant::now());
        tell!(loud, warn, key = %key, "another owner registered the same address: yielding to it");
    }

    fn begin(&mut self) -> Told {
        let since = Instant::now();
        Told { since, loud: self.faults.take(since) }
    }
}
