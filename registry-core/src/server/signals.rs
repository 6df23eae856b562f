//! SIGTERM and SIGINT.

use std::io;

/// The signals that end a server, or nothing when they are left to the caller.
pub(super) struct Signals {
    #[cfg(unix)]
    both: Option<(tokio::signal::unix::Signal, tokio::signal::unix::Signal)>,
    #[cfg(not(unix))]
    listens: bool,
}

impl Signals {
    /// None at all.
    pub(super) fn none() -> Self {
        #[cfg(unix)]
        return Self { both: None };
        #[cfg(not(unix))]
        return Self { listens: false };
    }

    /// From now on the signals end the process no more.
    #[cfg(unix)]
    pub(super) fn listen(wanted: bool) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        if !wanted {
            return Ok(Self::none());
        }
        Ok(Self { both: Some((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)) })
    }

    #[cfg(not(unix))]
    pub(super) fn listen(wanted: bool) -> io::Result<Self> {
        Ok(Self { listens: wanted })
    }

    /// The name of the next signal. Cancel safe.
    #[cfg(unix)]
    pub(super) async fn next(&mut self) -> &'static str {
        let Some((terminate, interrupt)) = &mut self.both else { return std::future::pending().await };
        tokio::select! {
            Some(()) = terminate.recv() => "SIGTERM",
            Some(()) = interrupt.recv() => "SIGINT",
            else => std::future::pending().await,
        }
    }

    #[cfg(not(unix))]
    pub(super) async fn next(&mut self) -> &'static str {
        match self.listens {
            true if tokio::signal::ctrl_c().await.is_ok() => "Ctrl-C",
            _ => std::future::pending().await,
        }
    }
}
