//! What watches log: changes of state, once, however many services a handle watches (clause L6).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::ErrorKind;
use crate::name::ServiceName;
use crate::quota::Quota;
use crate::store::StoreError;

/// The outages of all watches of one handle.
#[derive(Debug)]
pub(super) struct Outages {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Watches that cannot reach the store at present.
    away: usize,
    quota: Quota,
}

impl Outages {
    /// Beginnings that are logged at `warn` in a quarter of an hour; each has one line for its end.
    const LOUD: u32 = 2;

    /// Whether an outage that begins now is logged loudly.
    fn began(&self, away: bool) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if away {
            state.away += 1;
            if state.away > 1 {
                return false;
            }
        }
        state.quota.take(Instant::now())
    }

    fn returned(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.away = state.away.saturating_sub(1);
    }
}

impl Default for Outages {
    fn default() -> Self {
        let quota = Quota::new(Self::LOUD, Duration::from_secs(900));
        Self { state: Mutex::new(State { away: 0, quota }) }
    }
}

/// The log of one watch's outages. When the store is away, all services of a handle are: only the first watch that notices says so
/// at `warn`, the others at `debug`.
#[derive(Debug)]
pub(super) struct OutageLog {
    shared: Arc<Outages>,
    service: ServiceName,
    present: Option<Present>,
}

#[derive(Debug)]
struct Present {
    away: bool,
    loud: bool,
    since: Instant,
}

impl OutageLog {
    pub(super) fn new(shared: Arc<Outages>, service: ServiceName) -> Self {
        Self { shared, service, present: None }
    }

    /// An attempt failed, or the view was lost. Only the first failure of an outage is logged.
    pub(super) fn failed(&mut self, error: &StoreError) {
        if self.present.is_some() {
            return;
        }
        let (service, kind) = (&self.service, error.kind().as_str());
        let away = matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::TimedOut);
        let loud = self.shared.began(away);
        if loud {
            tracing::warn!(%service, kind, %error, "a watch lost the store: its last snapshot stays, marked stale; trying again");
        } else {
            tracing::debug!(%service, kind, %error, "a watch lost the store: its last snapshot stays, marked stale; trying again");
        }
        self.present = Some(Present { away, loud, since: Instant::now() });
    }

    /// A full list was delivered again.
    pub(super) fn answered(&mut self) {
        let Some(present) = self.close() else { return };
        let (service, lasted) = (&self.service, present.since.elapsed());
        if present.loud {
            tracing::info!(%service, ?lasted, "a watch has the store again");
        } else {
            tracing::debug!(%service, ?lasted, "a watch has the store again");
        }
    }

    fn close(&mut self) -> Option<Present> {
        let present = self.present.take()?;
        if present.away {
            self.shared.returned();
        }
        Some(present)
    }
}

impl Drop for OutageLog {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(shared: &Arc<Outages>, name: &str) -> OutageLog {
        OutageLog::new(shared.clone(), ServiceName::new(name).unwrap())
    }

    fn is_loud(log: &OutageLog) -> bool {
        log.present.as_ref().is_some_and(|present| present.loud)
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_watches_that_lose_the_store_together_one_says_so() {
        let shared = Arc::new(Outages::default());
        let mut logs: Vec<OutageLog> = (0..100).map(|number| log(&shared, &format!("s{number}"))).collect();
        logs.iter_mut().for_each(|log| log.failed(&StoreError::unreachable("gone")));
        assert_eq!(logs.iter().filter(|log| is_loud(log)).count(), 1);
        logs.iter_mut().for_each(OutageLog::answered);
        logs[7].failed(&StoreError::unreachable("gone again"));
        assert!(is_loud(&logs[7]), "the next outage is told");
    }

    #[tokio::test(start_paused = true)]
    async fn what_concerns_one_service_is_told_for_each() {
        let shared = Arc::new(Outages::default());
        let (mut first, mut second) = (log(&shared, "a"), log(&shared, "b"));
        first.failed(&StoreError::new(ErrorKind::Denied, "no"));
        second.failed(&StoreError::new(ErrorKind::Denied, "no"));
        assert!(is_loud(&first) && is_loud(&second));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_ends_in_an_outage_does_not_silence_the_next_outage() {
        let shared = Arc::new(Outages::default());
        let mut first = log(&shared, "a");
        first.failed(&StoreError::unreachable("gone"));
        drop(first);
        let mut second = log(&shared, "b");
        second.failed(&StoreError::unreachable("gone"));
        assert!(is_loud(&second));
    }
}
