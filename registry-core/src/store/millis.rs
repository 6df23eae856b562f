//! Times as the stores keep them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whole milliseconds since 1970, as every adapter writes a start time; 0 for a time before that.
pub fn unix_millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// The time that [`unix_millis`] wrote. One that is past what this platform can represent is no time.
pub fn from_unix_millis(millis: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_milliseconds_survive_the_round_trip() {
        for millis in [0, 1, 1_700_000_000_123] {
            assert_eq!(unix_millis(from_unix_millis(millis).unwrap()), millis);
        }
        assert_eq!(unix_millis(UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(
            from_unix_millis(u64::MAX).map(unix_millis),
            UNIX_EPOCH.checked_add(Duration::from_millis(u64::MAX)).map(unix_millis)
        );
    }
}
