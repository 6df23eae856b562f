//! A limit on loud log lines (clause L6).

use std::time::Duration;

use tokio::time::Instant;

/// So many loud lines in such a time.
#[derive(Debug)]
pub(crate) struct Quota {
    lines: u32,
    period: Duration,
    since: Option<Instant>,
    used: u32,
}

impl Quota {
    pub(crate) fn new(lines: u32, period: Duration) -> Self {
        Self { lines, period, since: None, used: 0 }
    }

    /// Whether one more line may be written.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= self.period) {
            self.since = Some(now);
            self.used = 0;
        }
        self.used = self.used.saturating_add(1);
        self.used <= self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_quota_is_so_many_lines_in_each_period() {
        let mut quota = Quota::new(2, Duration::from_secs(60));
        let start = Instant::now();
        let taken = [0, 1, 2, 59, 60, 61, 62].map(|second| quota.take(start + Duration::from_secs(second)));
        assert_eq!(taken, [true, true, false, false, true, true, false]);
    }
}
