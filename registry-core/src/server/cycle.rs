//! From the first poll of a server to its last.

use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FutureExt as _, join_all};

use super::error::RunError;
use super::listen::ListenAddr;
use super::probe;
use super::readiness::{Phase, Readiness};
use super::signals::Signals;
use super::stop::{Stop, Stopper};
use crate::error::{Error, Outcome};
use crate::info::Info;
use crate::registry::Registry;

/// When a server counts as accepting.
pub(super) enum Accepting {
    /// When a connection to here is accepted.
    Probed(ListenAddr),
    /// When this ends.
    Told(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// One server, ready to be run once.
pub(super) struct Cycle {
    pub(super) registry: Arc<dyn Registry>,
    pub(super) infos: Vec<Info>,
    pub(super) accepting: Accepting,
    pub(super) readiness: Readiness,
    pub(super) asked: Stopper,
    pub(super) signals: Signals,
    pub(super) policy: Policy,
}

/// What is done how.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) announce: bool,
    pub(super) drain: Duration,
    pub(super) request_limit: Duration,
    pub(super) close_registry: bool,
}

/// Why a server stops.
enum Reason {
    /// Its future ended, or panicked.
    ByItself,
    Signal(&'static str),
    Asked,
    Refused(Error),
}

/// The server's future, and its result once there is one.
struct Served<F: Future> {
    future: F,
    output: Option<F::Output>,
}

impl<F: Future + Unpin> Served<F> {
    /// Ends when the server has ended. Cancel safe.
    async fn ended(&mut self) {
        if self.output.is_none() {
            self.output = Some((&mut self.future).await);
        }
    }

    /// Carries `work` out while the server goes on.
    async fn meanwhile<R>(&mut self, work: impl Future<Output = R>) -> R {
        let mut work = pin!(work);
        if self.output.is_none() {
            tokio::select! {
                biased;
                () = self.ended() => {}
                done = &mut work => return done,
            }
        }
        work.await
    }
}

impl Cycle {
    /// Runs the server that `serve` makes to its end.
    pub(super) async fn run<S, F, T>(mut self, serve: S) -> Result<T, RunError>
    where
        S: FnOnce(Stop) -> F,
        F: Future<Output = T>,
    {
        let stop = Stopper::new();
        let word = stop.listener();
        let future = pin!(AssertUnwindSafe(async move { serve(word).await }).catch_unwind());
        let mut served = Served { future, output: None };
        // Those that a client may have seen: what was never published is never withdrawn, so that a predecessor's entry is not touched.
        let mut published = Vec::new();
        let reason = self.until_a_reason(&mut served, &mut published).await;
        tracing::info!(reason = %reason, "the server stops");
        self.readiness.set(Phase::Stopping(reason.to_string()));

        // Taken apart, so that what the caller gave need not be shared for the future to be `Send`.
        let Self { registry, mut signals, policy, .. } = self;
        let finish = policy.finish(&*registry, &mut served, &published, &stop);
        let again = async {
            if !matches!(reason, Reason::Signal(_)) {
                signals.next().await;
            }
            signals.next().await
        };
        tokio::select! {
            biased;
            signal = again => {
                tracing::warn!(signal, "a second signal ends the shutdown at once");
                return Err(RunError::Interrupted);
            }
            () = finish => {}
        }
        policy.result(served.output, reason)
    }

    /// Starts the server, registers it once it accepts, and waits for a reason to stop.
    async fn until_a_reason<F: Future + Unpin>(&mut self, served: &mut Served<F>, published: &mut Vec<Info>) -> Reason {
        let Self { registry, infos, accepting, readiness, asked, signals, policy } = self;
        let up = async {
            match accepting {
                Accepting::Probed(target) => probe::accepts(target, readiness).await,
                Accepting::Told(told) => {
                    readiness.set(Phase::Starting("it has not said so".to_owned()));
                    told.await;
                }
            }
            readiness.set(Phase::Registering);
            for info in infos {
                if let Err(error) = publish(&**registry, info, policy.announce, published).await {
                    return error;
                }
            }
            readiness.set(Phase::Serving);
            std::future::pending().await
        };
        tokio::select! {
            biased;
            () = served.ended() => Reason::ByItself,
            signal = signals.next() => Reason::Signal(signal),
            () = asked.asked() => Reason::Asked,
            error = up => Reason::Refused(error),
        }
    }
}

impl Policy {
    /// Withdraws, drains, lets the server finish, and closes the registry.
    async fn finish<F: Future + Unpin>(
        &self,
        registry: &dyn Registry,
        served: &mut Served<F>,
        published: &[Info],
        stop: &Stopper,
    ) {
        let withdrawn = join_all(published.iter().map(async |info| match registry.deregister(info).await {
            Ok(()) => tracing::info!(service = %info.service(), address = %info.address(), "deregistered"),
            Err(error) => tracing::warn!(%error, "not deregistered yet; the server stops all the same"),
        }));
        served.meanwhile(withdrawn).await;
        if !published.is_empty() && !self.drain.is_zero() {
            tokio::select! {
                biased;
                () = served.ended() => {}
                () = tokio::time::sleep(self.drain) => {}
            }
        }
        stop.stop();
        // Whoever is late is told of by the result.
        let _ = tokio::time::timeout(self.request_limit, served.ended()).await;
        if self.close_registry
            && let Err(error) = registry.close().await
        {
            tracing::warn!(%error, "the registry was closed without confirmation; what it still holds expires");
        }
    }

    /// What the caller gets: the server's own result before anything else, and its panic as a panic.
    fn result<T>(&self, output: Option<Result<T, Box<dyn Any + Send>>>, reason: Reason) -> Result<T, RunError> {
        match (output, reason) {
            (Some(Err(panic)), _) => resume_unwind(panic),
            (_, Reason::Refused(error)) => Err(RunError::Register(error)),
            (Some(Ok(value)), _) => Ok(value),
            (None, _) => Err(RunError::Overdue(self.request_limit)),
        }
    }
}

/// Registers or announces one instance. It counts as published before the call is polled, because dropping the call leaves its outcome unknown.
async fn publish(registry: &dyn Registry, info: &Info, announce: bool, published: &mut Vec<Info>) -> Result<(), Error> {
    published.push(info.clone());
    let result = if announce { registry.announce(info) } else { registry.register(info).await };
    match result {
        Ok(()) => {
            let (service, address) = (info.service(), info.address());
            tracing::info!(%service, %address, weight = info.weight(), announced = announce, "the server is published");
            Ok(())
        }
        Err(error) => {
            if error.outcome() == Outcome::NotApplied {
                published.pop();
            }
            Err(error)
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ByItself => f.write_str("its future ended"),
            Self::Signal(name) => f.write_str(name),
            Self::Asked => f.write_str("it was asked to"),
            Self::Refused(error) => write!(f, "it could not be registered: {error}"),
        }
    }
}
