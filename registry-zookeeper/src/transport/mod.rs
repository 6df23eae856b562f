//! From options to requests: which connection is used, and when another one is made.

mod link;
mod router;
#[cfg(test)]
mod tests;
mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::{StreamExt, stream};
use tokio::sync::{Mutex, Semaphore};

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
    current: Mutex<Option<Arc<Link>>>,
    /// The handle is closed: no connection is kept any more.
    closed: AtomicBool,
    /// Counts attempts, so that each begins with the next server (rule 3).
    turn: AtomicUsize,
}

impl Line {
    pub(crate) fn new(engine: Arc<dyn Engine>, config: Config) -> Self {
        // Handles of many processes spread over the servers.
        let turn = AtomicUsize::new(fastrand::usize(..config.hosts.len()));
        Self {
            engine,
            config: Arc::new(config),
            threads: Arc::new(Semaphore::new(THREADS)),
            current: Mutex::default(),
            closed: AtomicBool::new(false),
            turn,
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The present connection, or a new one.
    pub(crate) async fn link(&self) -> Result<Arc<Link>, Failure> {
        let link = self.present().await?;
        self.unless_closed(link)
    }

    async fn present(&self) -> Result<Arc<Link>, Failure> {
        let mut current = self.current.lock().await;
        if let Some(link) = current.as_ref().filter(|link| link.is_alive()) {
            return Ok(link.clone());
        }
        *current = None;
        Ok(current.insert(self.fresh_unless_closed().await?).clone())
    }

    /// A connection whose session nothing was registered through yet, for that to be done.
    pub(crate) async fn claim(&self) -> Result<Arc<Link>, Failure> {
        let link = self.unclaimed().await?;
        self.unless_closed(link)
    }

    async fn unclaimed(&self) -> Result<Arc<Link>, Failure> {
        let mut current = self.current.lock().await;
        if let Some(link) = current.take() {
            if link.is_alive() && link.claim() {
                return Ok(current.insert(link).clone());
            }
            link.kill("another session takes its place");
        }
        let link = self.fresh_unless_closed().await?;
        link.claim();
        Ok(current.insert(link).clone())
    }

    async fn fresh_unless_closed(&self) -> Result<Arc<Link>, Failure> {
        if self.closed.load(Ordering::SeqCst) { Err(closed()) } else { self.fresh().await }
    }

    /// The connection, unless `close` came while it was made and could not see it.
    fn unless_closed(&self, link: Arc<Link>) -> Result<Arc<Link>, Failure> {
        if self.closed.load(Ordering::SeqCst) {
            link.kill("the handle is closed");
            self.close();
            return Err(closed());
        }
        Ok(link)
    }

    /// Keeps no connection from now on. Who makes one at this moment ends it.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        if let Ok(mut current) = self.current.try_lock()
            && let Some(link) = current.take()
        {
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
