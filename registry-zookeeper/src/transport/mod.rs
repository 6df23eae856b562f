//! From options to requests: which connection is used, and when another one is made.

mod link;
mod router;
#[cfg(test)]
mod tests;
mod thread;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;

pub(crate) use self::link::{IN_FLIGHT, Link};
use crate::config::Config;
use crate::engine::{Engine, Failure};

/// How many threads a handle has at most: the present connection's, and one that is ending or beginning.
const THREADS: usize = 2;

/// The connections of one handle, one at a time.
///
/// A connection is never mended. At the first sign of trouble it is dead, and with it its ZooKeeper session; the next request makes a new one, with a new
/// session. The client cannot take up a session again on another connection, and a reconnect of its own drops watches and authentication silently.
pub(crate) struct Line {
    engine: Arc<dyn Engine>,
    config: Arc<Config>,
    threads: Arc<Semaphore>,
    kept: Mutex<Kept>,
    /// Held while a connection is made, so that who needs one at the same time gets the same.
    making: tokio::sync::Mutex<()>,
    /// Counts attempts, so that each begins with the next server (rule 3).
    turn: AtomicUsize,
}

#[derive(Default)]
struct Kept {
    link: Option<Arc<Link>>,
    /// The handle is closed.
    closed: bool,
}

impl Line {
    pub(crate) fn new(engine: Arc<dyn Engine>, config: Config) -> Self {
        // Handles of many processes spread over the servers.
        let turn = AtomicUsize::new(fastrand::usize(..config.hosts.len()));
        Self {
            engine,
            config: Arc::new(config),
            threads: Arc::new(Semaphore::new(THREADS)),
            kept: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            turn,
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The present connection, or a new one.
    pub(crate) async fn link(&self) -> Result<Arc<Link>, Failure> {
        let _one_at_a_time = self.making.lock().await;
        if let Some(link) = self.kept()?.link.as_ref().filter(|link| link.is_alive()) {
            return Ok(link.clone());
        }
        self.keep(self.fresh().await?)
    }

    /// A connection whose session nothing was registered through yet, for that to be done.
    pub(crate) async fn claim(&self) -> Result<Arc<Link>, Failure> {
        let _one_at_a_time = self.making.lock().await;
        if let Some(link) = self.kept()?.link.as_ref() {
            if link.is_alive() && link.claim() {
                return Ok(link.clone());
            }
            link.kill("another session takes its place");
        }
        let link = self.fresh().await?;
        link.claim();
        self.keep(link)
    }

    /// What is kept, unless the handle is closed.
    fn kept(&self) -> Result<MutexGuard<'_, Kept>, Failure> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.closed { Err(closed()) } else { Ok(kept) }
    }

    /// Keeps the connection for the next one who needs it. One that was made while the handle was closed ends.
    fn keep(&self, link: Arc<Link>) -> Result<Arc<Link>, Failure> {
        match self.kept() {
            Ok(mut kept) => kept.link = Some(link.clone()),
            Err(failure) => {
                link.kill("the handle is closed");
                return Err(failure);
            }
        }
        Ok(link)
    }

    /// Keeps no connection from now on.
    pub(crate) fn close(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.closed = true;
        if let Some(link) = kept.link.take() {
            link.kill("the handle is closed");
        }
    }

    /// A new connection, for the caller alone: to the first server, in turn, that answers.
    pub(crate) async fn fresh(&self) -> Result<Arc<Link>, Failure> {
        let mut failure = Failure::Unreachable("there is no server to connect to".into());
        for _ in 0..self.config.hosts.len() {
            let turn = self.turn.load(Ordering::Relaxed);
            match Link::connect(&self.engine, &self.config, self.threads.clone(), turn).await {
                Ok(link) => return Ok(link),
                Err(Failure::Misconfigured(why)) => return Err(Failure::Misconfigured(why)),
                Err(next) => failure = next,
            }
            self.turn.fetch_add(1, Ordering::Relaxed);
        }
        Err(failure)
    }

    /// After this the next connection is made to the next server.
    pub(crate) fn turn(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }
}

fn closed() -> Failure {
    Failure::Gone("the handle is closed".into())
}

/// The results of many requests, in their order; no more begin at a time than are sent at a time.
pub(crate) async fn all<R: Future>(requests: Vec<R>) -> Vec<R::Output> {
    stream::iter(requests).buffered(IN_FLIGHT).collect().await
}
