//! Whether a server is ready, and why not.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use crate::registry::Registry;
use crate::status::NotServing;

/// Tells whether a server is ready: it accepts, it is registered, and it is not stopping. Cheap to clone, for an HTTP handler or a gRPC health service.
///
/// Made for readiness probes, never for liveness: restarting a server because its registry is away helps nobody.
#[derive(Clone)]
pub struct Readiness {
    phase: Arc<watch::Sender<Phase>>,
    registry: Option<Arc<dyn Registry>>,
}

/// How far a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not known to accept yet; why the last probe failed.
    Starting(String),
    /// It accepts, and is about to be registered.
    Registering,
    /// Registered, or announced.
    Serving,
    /// On its way to the end, for this reason.
    Stopping(String),
}

/// Why a server is not ready. `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotReadyToServe {
    /// The listener does not accept yet, or the server has not given its own signal: what was seen last.
    Starting(String),
    /// It accepts; the registration is under way.
    Registering,
    /// It is stopping, for this reason.
    Stopping(String),
    /// It serves, but what stands in the store is not what it wants.
    Registry(NotServing),
}

impl Readiness {
    pub(super) fn new(registry: Option<Arc<dyn Registry>>) -> Self {
        Self { phase: Arc::new(watch::Sender::new(Phase::Starting("not run yet".to_owned()))), registry }
    }

    pub(super) fn set(&self, phase: Phase) {
        self.phase.send_if_modified(|before| {
            let changed = *before != phase;
            *before = phase;
            changed
        });
    }

    /// Whether the server is ready. Synchronous, without I/O.
    ///
    /// # Errors
    /// [`NotReadyToServe`] names the cause. Where a server is to serve although the registry is away, take
    /// [`NotReadyToServe::Registry`] as ready.
    pub fn is_ready(&self) -> Result<(), NotReadyToServe> {
        match self.phase.borrow().clone() {
            Phase::Starting(seen) => Err(NotReadyToServe::Starting(seen)),
            Phase::Registering => Err(NotReadyToServe::Registering),
            Phase::Stopping(reason) => Err(NotReadyToServe::Stopping(reason)),
            Phase::Serving => match &self.registry {
                Some(registry) => registry.is_ready().map_err(NotReadyToServe::Registry),
                None => Ok(()),
            },
        }
    }

    /// Waits until the server was registered or announced; `false` when it stopped before. The registry may be troubled again meanwhile: ask
    /// [`is_ready`](Self::is_ready).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn serving(&self) -> bool {
        let mut phase = self.phase.subscribe();
        let reached = phase.wait_for(|phase| matches!(phase, Phase::Serving | Phase::Stopping(_))).await;
        reached.is_ok_and(|phase| *phase == Phase::Serving)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("phase", &*self.phase.borrow()).finish_non_exhaustive()
    }
}

impl fmt::Display for NotReadyToServe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting(seen) => write!(f, "the server does not accept yet: {seen}"),
            Self::Registering => f.write_str("the server accepts and is being registered"),
            Self::Stopping(reason) => write!(f, "the server is stopping: {reason}"),
            Self::Registry(cause) => cause.fmt(f),
        }
    }
}

impl std::error::Error for NotReadyToServe {}
