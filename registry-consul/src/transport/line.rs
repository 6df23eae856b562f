//! One pool of connections to the agent.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use consulrs::client::ConsulClient;
use rustify::endpoint::Endpoint;
use tokio::sync::Semaphore;

use super::connect::Connector;
use super::error::Failure;
use super::request::{self, Answer, Extra};
use crate::config::{Config, Credentials};

/// A request that is dropped unanswered after this time speaks against its connections: most likely a frozen agent or a black hole. One that is dropped
/// earlier says nothing: its caller may simply have lost interest.
const SUSPICIOUS: Duration = Duration::from_millis(500);

/// A client with a bound on its connections. When it fails as a broken connection does it is replaced, so that no request is ever sent into another
/// one that hung together with the first.
pub(super) struct Line {
    config: Arc<Config>,
    connector: Arc<Connector>,
    places: Semaphore,
    state: Mutex<State>,
}

struct State {
    /// Names the client, made or to be made: it changes when the client is given up.
    number: u64,
    link: Option<Link>,
}

#[derive(Clone)]
struct Link {
    number: u64,
    client: Arc<ConsulClient>,
    credentials: Arc<Credentials>,
}

/// How a request is judged that is dropped before it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// Late, it speaks against the connections.
    Suspicious,
    /// It waits for a change, which may take long.
    Expected,
}

impl Line {
    /// A line of at most so many connections; none is made yet.
    pub(super) fn new(config: Arc<Config>, connector: Arc<Connector>, connections: usize) -> Self {
        let state = State { number: 0, link: None };
        Self { config, connector, places: Semaphore::new(connections), state: Mutex::new(state) }
    }

    /// Runs `endpoint` when there is a place for it. When Consul denies it, and the files say something else by now, once more (X1).
    pub(super) async fn call<E: Endpoint>(
        &self,
        endpoint: &E,
        extra: &Extra<'_>,
        limit: Duration,
        dropped: Dropped,
    ) -> Result<Answer, Failure> {
        // The semaphore is never closed.
        let _place = self.places.acquire().await.ok();
        let link = self.link()?;
        match self.call_on(&link, endpoint, extra, limit, dropped).await {
            Err(failure) if self.credentials_changed(&failure, &link) => {
                self.distrust(link.number);
                self.call_on(&self.link()?, endpoint, extra, limit, dropped).await
            }
            answer => answer,
        }
    }

    async fn call_on<E: Endpoint>(
        &self,
        link: &Link,
        endpoint: &E,
        extra: &Extra<'_>,
        limit: Duration,
        dropped: Dropped,
    ) -> Result<Answer, Failure> {
        let since = (dropped == Dropped::Suspicious).then(Instant::now);
        let mut doubt = Doubt { line: self, number: link.number, since };
        let answer = request::send(&link.client, &link.credentials, endpoint, extra, limit).await;
        doubt.since = None;
        match answer {
            Ok(answer) => {
                self.config.note_answer();
                Ok(answer)
            }
            Err(failure) => {
                if failure.speaks_against_connections() {
                    self.distrust(link.number);
                }
                let (tls, was_answered) = (self.config.tls_with_identity(), self.config.was_answered());
                Err(failure.of_contact(tls, was_answered).at(&self.config.base))
            }
        }
    }

    /// Lets the next request connect anew, with token and certificates read anew (X1).
    pub(super) fn start_afresh(&self) {
        let mut state = self.state();
        state.number += 1;
        state.link = None;
    }

    /// The connections of this client do not answer as they should: the next request makes new ones.
    fn distrust(&self, number: u64) {
        let mut state = self.state();
        if state.number == number {
            state.number += 1;
            state.link = None;
        }
    }

    /// The client, made now if there is none.
    fn link(&self) -> Result<Link, Failure> {
        let mut state = self.state();
        if let Some(link) = &state.link {
            return Ok(link.clone());
        }
        let credentials = Arc::new(self.config.credentials()?);
        let client = Arc::new(self.connector.client(&self.config, &credentials)?);
        let link = Link { number: state.number, client, credentials };
        state.link = Some(link.clone());
        Ok(link)
    }

    /// Whether it makes sense to ask again after `failure` on `link`: it is a denial, and the files say something else than what was denied.
    fn credentials_changed(&self, failure: &Failure, link: &Link) -> bool {
        failure.is_denied()
            && self.config.has_files()
            && self.config.credentials().is_ok_and(|read| read != *link.credentials)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("base", &self.config.base).finish_non_exhaustive()
    }
}

/// Distrusts the connections when a request is dropped late.
struct Doubt<'a> {
    line: &'a Line,
    number: u64,
    /// When the request was made; `None` once it was answered.
    since: Option<Instant>,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() >= SUSPICIOUS) {
            self.line.distrust(self.number);
        }
    }
}
