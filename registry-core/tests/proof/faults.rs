//! The way from one handle to the world: every request of a handle is numbered here, and here it meets its fault.
//!
//! One SPI call is one or several requests ([`Client::request`]), as it is with a real store. A fault is planned for the k-th request of a handle,
//! or drawn at random; on top of that the whole handle can be cut off for a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use registry_core::store::{Applied, SessionError, StoreError, WriteError};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::world::{Availability, ClientId, State, World};

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The store gives up the session, or the entries, of this handle just before the request arrives.
    LoseSession,
    /// It fails, and the store says that nothing was done.
    Fail,
    /// It fails with an unknown outcome; nothing was done.
    FailUnsure,
    /// It fails with an unknown outcome; it was done.
    FailApplied,
    /// No answer; nothing was done.
    Hang,
    /// No answer; it was done.
    HangApplied,
    /// No answer; it is done this much later.
    Late(Duration),
    /// The user drops the future of the call that is under way.
    DropCall,
}

impl Fault {
    /// It arrives when the attempt has been given up and tried again.
    pub(crate) const LATE: Self = Self::Late(Duration::from_millis(2_100));

    /// It arrives when the call has ended, and others may have been made.
    pub(crate) const LONG_AFTER: Self = Self::Late(Duration::from_millis(7_300));
}

/// How a handle is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Requests are refused at once.
    Refused,
    /// Nothing comes back; requests are lost.
    Silent,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    error: StoreError,
    applied: Applied,
}

impl Failure {
    fn new(message: &str, applied: Applied) -> Self {
        Self { error: StoreError::unreachable(message), applied }
    }

    /// The result of a write of which an earlier part was done already.
    pub(crate) fn into_write(self, begun: bool) -> WriteError {
        let applied = if begun { Applied::Unknown } else { self.applied };
        WriteError::Failed { error: self.error, applied }
    }

    pub(crate) fn into_store(self) -> StoreError {
        self.error
    }

    pub(crate) fn into_session(self) -> SessionError {
        SessionError::Failed(self.error)
    }
}

/// One handle's way to the world.
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) world: Arc<World>,
    line: Mutex<Line>,
    /// Tells the driver to drop the call that is under way.
    pub(crate) drop_call: Notify,
    /// Tells views and signals that the line changed.
    pub(crate) line_changed: Notify,
    /// Sessions and views that exist.
    live: AtomicUsize,
}

struct Line {
    requests: u64,
    plan: Option<(u64, Fault)>,
    /// One request in so many meets a random fault; 0 for none.
    one_in: u32,
    /// So many more meet one at once.
    burst: u32,
    cut: Option<Cut>,
    random: fastrand::Rng,
}

/// Counts one session or view while it exists.
pub(crate) struct Live(Arc<Client>);

impl Client {
    pub(crate) fn new(id: usize, world: Arc<World>, seed: u64) -> Arc<Self> {
        let random = fastrand::Rng::with_seed(seed ^ (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Arc::new(Self {
            id: ClientId(id),
            world,
            line: Mutex::new(Line { requests: 0, plan: None, one_in: 0, burst: 0, cut: None, random }),
            drop_call: Notify::new(),
            line_changed: Notify::new(),
            live: AtomicUsize::new(0),
        })
    }

    /// Plans a fault for the `k`-th request from the start on.
    pub(crate) fn plan(&self, k: u64, fault: Fault) {
        self.line().plan = Some((k, fault));
    }

    /// Whether the planned request was never reached.
    pub(crate) fn is_untouched(&self) -> bool {
        self.line().plan.is_some()
    }

    /// One request in `one_in` meets a random fault from now on; 0 for none.
    pub(crate) fn set_random(&self, one_in: u32) {
        self.line().one_in = one_in;
    }

    pub(crate) fn set_cut(&self, cut: Option<Cut>) {
        self.line().cut = cut;
        let mut state = self.world.lock();
        state.note(format_args!("handle {}: cut: {cut:?}", self.id.0));
        state.disturbed |= cut.is_some();
        drop(state);
        self.line_changed.notify_waiters();
    }

    pub(crate) fn cut(&self) -> Option<Cut> {
        self.line().cut
    }

    /// Sessions and views of this handle that still exist.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    pub(crate) fn alive(self: &Arc<Self>) -> Live {
        self.live.fetch_add(1, Ordering::Relaxed);
        Live(self.clone())
    }

    /// A delay of this handle's own generator.
    pub(crate) fn draw(&self, range: std::ops::RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.line().random.u64(range))
    }

    /// Sends one request and waits for its answer. The request arrives also when this future is dropped after its first poll.
    pub(crate) async fn request<T, F>(&self, name: &'static str, apply: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&mut State) -> T + Send + 'static,
    {
        let there = self.draw(1..=3);
        let back = self.draw(1..=3);
        let fault = self.next(name);
        let now = Instant::now();
        let arrives = match fault {
            Some(Fault::Fail) => {
                tokio::time::sleep(there + back).await;
                return Err(Failure::new("planned: refused", Applied::Never));
            }
            Some(Fault::FailUnsure) => {
                tokio::time::sleep(there + back).await;
                return Err(Failure::new("planned: connection reset", Applied::Unknown));
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Late(delay)) => now + delay,
            _ => now + there,
        };
        match self.cut() {
            Some(Cut::Refused) => {
                tokio::time::sleep(there).await;
                return Err(Failure::new("cut: connection refused", Applied::Never));
            }
            Some(Cut::Silent) => std::future::pending().await,
            None => {}
        }
        if self.world.lock().availability == Availability::Down {
            tokio::time::sleep(there).await;
            return Err(Failure::new("down: connection refused", Applied::Never));
        }
        let (answer, answered) = oneshot::channel();
        let request = move |state: &mut State| {
            let _ = answer.send(apply(state));
        };
        self.world.send(arrives, Box::new(request));
        if matches!(fault, Some(Fault::HangApplied | Fault::Late(_))) {
            std::future::pending::<()>().await;
        }
        let result = answered.await;
        tokio::time::sleep(back).await;
        if self.cut() == Some(Cut::Silent) {
            std::future::pending::<()>().await;
        }
        match result {
            Ok(_) if fault == Some(Fault::FailApplied) => Err(Failure::new("planned: reset", Applied::Unknown)),
            Ok(result) => Ok(result),
            Err(_) => Err(Failure::new("the store went away", Applied::Unknown)),
        }
    }

    /// Counts one request; what happens at once happens here, the rest is for the caller to do.
    pub(crate) fn next(&self, name: &'static str) -> Option<Fault> {
        let mut line = self.line();
        line.requests += 1;
        let number = line.requests;
        let fault = match line.plan {
            Some((k, fault)) if k == number => {
                line.plan = None;
                Some(fault)
            }
            _ => line.random_fault(),
        };
        drop(line);
        let mut state = self.world.lock();
        match fault {
            Some(fault) => state.note(format_args!("handle {}: {number} {name}: {fault:?}", self.id.0)),
            None => state.note(format_args!("handle {}: {number} {name}", self.id.0)),
        }
        drop(state);
        if fault == Some(Fault::LoseSession) {
            self.world.with(|state| state.lose(self.id));
        }
        if fault == Some(Fault::DropCall) {
            self.drop_call.notify_waiters();
        }
        fault
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().expect("invariant: nothing panics while it holds the line")
    }
}

impl Line {
    /// Troubles come in bursts: two faults in a row are what undoes a repair.
    fn random_fault(&mut self) -> Option<Fault> {
        if self.one_in == 0 {
            return None;
        }
        let random = &mut self.random;
        if self.burst > 0 {
            self.burst -= 1;
        } else if random.u32(0..self.one_in) > 0 {
            return None;
        } else {
            self.burst = [0, 0, 0, 1, 2, 5][random.usize(..6)];
        }
        // Before an attempt is given up, just when it is tried again, and long after.
        let late = [100..2_000, 1_990..2_100, 2_100..12_000][random.usize(..3)].clone();
        let late = Duration::from_millis(random.u64(late));
        Some(match random.u8(0..8) {
            0 => Fault::LoseSession,
            1 => Fault::Fail,
            2 => Fault::FailUnsure,
            3 => Fault::FailApplied,
            4 => Fault::Hang,
            5 => Fault::HangApplied,
            6 => Fault::Late(late),
            _ => Fault::DropCall,
        })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}
