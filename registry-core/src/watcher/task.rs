//! The task of one watched service: opens a view, follows it, and opens the next when it is lost.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::report::OutageLog;
use super::table::Table;
use crate::backoff::Backoff;
use crate::error::ErrorKind;
use crate::handle::HandleOptions;
use crate::metrics;
use crate::name::ServiceName;
use crate::quota::Quota;
use crate::snapshot::{Snapshot, Stale};
use crate::store::{Capabilities, Store, StoreError, View, ViewChange};
use crate::watch::Publisher;

/// How many entries are taken in before the next snapshot is published and other tasks get their turn.
const BATCH: usize = 4_096;

/// Longer than any process lives, and short enough for a clock to add.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Malformed entries that are logged in a minute.
const MALFORMED_LINES: u32 = 4;

/// The timings of a watch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    attempt_timeout: Duration,
    backoff_cap: Duration,
    grace: Duration,
    settle: Duration,
}

impl Settings {
    pub(super) fn new(options: &HandleOptions, capabilities: &Capabilities) -> Self {
        Self {
            attempt_timeout: options.attempt_timeout,
            backoff_cap: options.backoff_cap,
            grace: options.grace(capabilities).min(FOR_EVER),
            settle: capabilities.settle.min(FOR_EVER),
        }
    }
}

/// A watched service, before its task runs.
pub(super) struct Task {
    pub(super) store: Arc<dyn Store>,
    pub(super) service: ServiceName,
    pub(super) settings: Settings,
    pub(super) turns: Arc<Semaphore>,
    pub(super) publisher: Publisher,
    pub(super) log: OutageLog,
}

impl Task {
    /// Keeps the watch going until nobody watches any more, or the sender of `stop` is gone.
    pub(super) async fn run(self, mut stop: watch::Receiver<()>) {
        let Self { store, service, settings, turns, publisher, log } = self;
        let mut follower = Follower {
            store: &*store,
            service: &service,
            settings,
            turns: &turns,
            publisher: &publisher,
            table: Table::new(settings.grace, settings.settle),
            stale: None,
            stale_changed: false,
            known: false,
            log,
            malformed: Quota::new(MALFORMED_LINES, Duration::from_secs(60)),
        };
        tokio::select! {
            biased;
            _ = stop.changed() => {}
            () = publisher.unwatched() => {}
            () = follower.run() => {}
        }
    }
}

struct Follower<'a> {
    store: &'a dyn Store,
    service: &'a ServiceName,
    settings: Settings,
    turns: &'a Semaphore,
    publisher: &'a Publisher,
    table: Table,
    stale: Option<Stale>,
    stale_changed: bool,
    known: bool,
    log: OutageLog,
    malformed: Quota,
}

impl Follower<'_> {
    /// Never returns.
    async fn run(&mut self) {
        let mut backoff = Backoff::new(self.settings.backoff_cap);
        let mut attempt = 0;
        loop {
            let error = match self.open(attempt).await {
                Ok(mut view) => {
                    attempt = 0;
                    let opened = Instant::now();
                    let error = self.follow(&mut view).await;
                    // A view that is lost at once again and again must not be opened at full speed.
                    if opened.elapsed() >= self.settings.backoff_cap {
                        backoff.reset();
                    }
                    error
                }
                Err(error) => {
                    attempt = attempt.saturating_add(1);
                    error
                }
            };
            self.lost(&error);
            sleep(backoff.failed()).await;
        }
    }

    /// Opens a view and takes in its full list, which ends an outage.
    async fn open(&mut self, attempt: u32) -> Result<OpenView, StoreError> {
        let limit = self.settings.attempt_timeout;
        let (store, service) = (self.store, self.service);
        // Waiting for a turn is no part of the attempt. It is never refused: nobody closes the semaphore.
        let _turn = self.turns.acquire().await;
        let opening = async { store.view(service, attempt).await.map(OpenView::new) };
        let mut view = within(limit, guarded(opening)).await?;
        let found = loop {
            match within(limit, view.next()).await? {
                ViewChange::Full(found) => break found,
                // A part of a long list was read.
                ViewChange::Alive => {}
                _ => {
                    return Err(StoreError::new(ErrorKind::Other, "the adapter's view did not begin with a full list"));
                }
            }
        };
        let now = Instant::now();
        metrics::resynced();
        self.table.end_outage(now);
        self.table.full(found, now);
        self.table.expire(now);
        self.log.answered();
        self.stale_changed |= self.stale.take().is_some();
        self.publish();
        Ok(view)
    }

    /// Takes in changes until the view is over, and says why.
    async fn follow(&mut self, view: &mut OpenView) -> StoreError {
        let limit = self.settings.attempt_timeout;
        let mut quiet_until = Instant::now() + view.silence;
        let mut probed = false;
        loop {
            let due = self.table.next_due();
            let change = tokio::select! {
                biased;
                change = view.next() => change,
                () = sleep_until(quiet_until) => {
                    if probed {
                        return StoreError::timed_out(limit);
                    }
                    probed = true;
                    quiet_until = Instant::now() + limit;
                    match within(limit, view.probe()).await {
                        Ok(()) => continue,
                        Err(error) => return error,
                    }
                }
                () = sleep_until(due.unwrap_or(quiet_until)), if due.is_some() => {
                    self.table.expire(Instant::now());
                    self.publish();
                    continue;
                }
            };
            if let Err(error) = self.take_in(change, view) {
                return error;
            }
            probed = false;
            quiet_until = Instant::now() + view.silence;
            tokio::task::yield_now().await;
        }
    }

    /// Takes in a change and all that are ready behind it, and publishes once.
    fn take_in(&mut self, first: Result<ViewChange, StoreError>, view: &mut OpenView) -> Result<(), StoreError> {
        let now = Instant::now();
        let mut taken = 0;
        let mut next = Some(first);
        let mut ended = Ok(());
        while let Some(change) = next.take() {
            match change {
                Ok(change) => taken += self.apply(change, now),
                Err(error) => {
                    // Removals in the same breath as the loss are as doubtful as later ones.
                    self.table.begin_outage();
                    ended = Err(error);
                    break;
                }
            }
            if taken < BATCH {
                // The batch has a bound of its own: the budget of the runtime would cut it short.
                next = tokio::task::unconstrained(view.next()).now_or_never();
            }
        }
        self.table.commit(now);
        self.table.expire(now);
        if ended.is_ok() {
            self.publish();
        }
        ended
    }

    /// Returns what it cost.
    fn apply(&mut self, change: ViewChange, now: Instant) -> usize {
        match change {
            ViewChange::Full(found) => {
                let cost = 1 + found.len();
                self.table.full(found, now);
                return cost;
            }
            ViewChange::Upsert(found) => self.table.upsert(found),
            ViewChange::Remove(key) => self.table.remove(&key),
            ViewChange::Alive => {}
        }
        1
    }

    /// An attempt failed, or the view was lost.
    fn lost(&mut self, error: &StoreError) {
        self.table.begin_outage();
        self.log.failed(error);
        let since = self.stale.as_ref().map_or_else(SystemTime::now, |stale| stale.since);
        let stale = Some(Stale { since, kind: error.kind(), text: error.message().to_owned() });
        if self.stale != stale {
            self.stale = stale;
            self.stale_changed = true;
        }
        self.publish();
    }

    /// Publishes what changed, if anything did.
    fn publish(&mut self) {
        self.complain();
        let changed = self.table.take_changed();
        let first = !self.known && self.stale.is_none();
        if first {
            self.known = true;
        } else if !(changed.set || changed.marks || self.stale_changed) {
            return;
        }
        self.stale_changed = false;
        let mut snapshot = if first || changed.set {
            Snapshot::new(self.service.clone(), self.table.listed())
        } else {
            (*self.publisher.latest()).clone()
        };
        if first {
            tracing::debug!(service = %self.service, instances = snapshot.len(), "a watched service is known");
        }
        let unconfirmed = self.table.unconfirmed();
        if changed.marks || !unconfirmed.is_empty() {
            snapshot = snapshot.with_unconfirmed(unconfirmed);
        }
        self.publisher.publish(snapshot.with_stale(self.stale.clone()));
    }

    fn complain(&mut self) {
        let complaints = self.table.take_complaints();
        for (key, why) in &complaints.listed {
            let service = self.service;
            if self.malformed.take(Instant::now()) {
                tracing::warn!(%service, %key, %why, "a malformed entry is left out");
            } else {
                tracing::debug!(%service, %key, %why, "a malformed entry is left out");
            }
        }
    }
}

/// A view whose panics are errors.
struct OpenView {
    view: Option<Box<dyn View>>,
    silence: Duration,
}

impl OpenView {
    /// A view that wants to be probed without pause would keep a core busy.
    const SHORTEST_SILENCE: Duration = Duration::from_millis(10);

    fn new(view: Box<dyn View>) -> Self {
        let silence = view.silence().clamp(Self::SHORTEST_SILENCE, FOR_EVER);
        Self { view: Some(view), silence }
    }

    /// Cancel safe, as [`View::next`] is.
    async fn next(&mut self) -> Result<ViewChange, StoreError> {
        match &mut self.view {
            Some(view) => guarded(async { view.next().await }).await,
            None => std::future::pending().await,
        }
    }

    async fn probe(&mut self) -> Result<(), StoreError> {
        match &mut self.view {
            Some(view) => guarded(async { view.probe().await }).await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for OpenView {
    fn drop(&mut self) {
        let view = self.view.take();
        if std::panic::catch_unwind(AssertUnwindSafe(|| drop(view))).is_err() {
            tracing::debug!("the adapter panicked while a view was dropped");
        }
    }
}

async fn within<T>(limit: Duration, operation: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout_at(Instant::now() + limit, operation).await.unwrap_or_else(|_| Err(StoreError::timed_out(limit)))
}

/// A panic of the adapter is an error of its store: it ends neither the watch nor the caller.
pub(crate) async fn guarded<T>(operation: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let panicked =
        |_| Err(StoreError::new(ErrorKind::Other, "the adapter panicked: see the panic message on standard error"));
    AssertUnwindSafe(operation).catch_unwind().await.unwrap_or_else(panicked)
}
