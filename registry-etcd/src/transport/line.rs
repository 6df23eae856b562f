//! One connection at a time, to one endpoint at a time.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use etcd_client::{Client, Error};

use super::connect;
use super::error::Failure;
use crate::config::{Config, Credentials};

/// A request that is dropped unanswered after this time speaks against its connection: most likely a frozen server or a black hole. One that is
/// dropped earlier says nothing: its caller may simply have lost interest.
const SUSPICIOUS: Duration = Duration::from_millis(500);

/// A sticky connection with fail-over: it stays with one endpoint as long as that answers, and goes on to the next one when it does not.
pub(super) struct Line {
    config: Arc<Config>,
    state: Mutex<State>,
    /// Held while connecting, so that requests that start together share one connection.
    connecting: tokio::sync::Mutex<()>,
}

struct State {
    /// Counts the endpoints gone through.
    endpoint: usize,
    /// Names the connection, made or to be made: it changes when the connection is given up.
    number: u64,
    /// The first connection to this endpoint.
    first: u64,
    link: Option<Link>,
}

/// A connection.
#[derive(Clone)]
struct Link {
    number: u64,
    client: Client,
    url: Arc<str>,
    credentials: Arc<Credentials>,
}

/// Which failures may be answered by asking the next endpoint at once, each endpoint once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Those after which the request certainly was not carried out.
    IfNotSent,
    /// All that speak against the endpoint: asking twice does no harm.
    Always,
}

impl Line {
    /// A line that is not connected yet. `start` chooses the first endpoint.
    pub(super) fn new(config: Arc<Config>, start: usize) -> Self {
        let state = State { endpoint: start, number: 0, first: 0, link: None };
        Self { config, state: Mutex::new(state), connecting: tokio::sync::Mutex::default() }
    }

    /// Runs `request` on the line's connection, and tells it which that is.
    pub(super) async fn call<T, F>(&self, repeat: Repeat, request: impl Fn(Client, u64) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut others = self.config.endpoints.len() - 1;
        let mut renewed = false;
        loop {
            let mut used = None;
            let failure = match self.call_once(&request, &mut used).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if others > 0 && failure.speaks_against_endpoint() && (repeat == Repeat::Always || failure.is_not_applied())
            {
                others -= 1;
            } else if !renewed && used.is_some_and(|used| self.renew(&used, &failure)) {
                renewed = true;
            } else {
                return Err(failure);
            }
        }
    }

    /// One try; `used` becomes the connection that it was made on.
    async fn call_once<T, F>(&self, request: &impl Fn(Client, u64) -> F, used: &mut Option<Link>) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let link = used.insert(self.link().await?);
        let answer = self.judged(link.number, &link.url, request(link.client.clone(), link.number)).await?;
        // Not before: without a user, making a client sends nothing.
        self.config.note_answer();
        Ok(answer)
    }

    /// Runs `request`, which was made on the connection `number`: when it fails as a broken connection does, or is dropped as one that hangs, the line
    /// takes another next time.
    pub(super) async fn judged<T, F>(&self, number: u64, url: &str, request: F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut doubt = Doubt { line: self, number, since: Some(Instant::now()) };
        let result = request.await;
        doubt.since = None;
        result.map_err(|error| {
            let failure = self.failure(&error, url);
            if failure.speaks_against_endpoint() {
                self.distrust(number);
            }
            failure
        })
    }

    /// What `error` of a request to `place` means.
    pub(super) fn failure(&self, error: &Error, place: &str) -> Failure {
        let failure = Failure::new(error, place);
        if self.config.was_answered() { failure } else { failure.of_first_contact(self.config.tls_with_identity()) }
    }

    /// Lets the next request connect anew, with credentials and certificates read anew (X1).
    pub(super) fn start_afresh(&self) {
        let number = self.state().number;
        self.start_afresh_after(number);
    }

    /// The same, unless the connection `number` has been given up already.
    fn start_afresh_after(&self, number: u64) {
        let mut state = self.state();
        if state.number == number {
            state.number += 1;
            state.link = None;
        }
    }

    /// The connection `number` does not answer as it should: the next request takes the next endpoint.
    pub(super) fn distrust(&self, number: u64) {
        let mut state = self.state();
        if state.number == number {
            state.leave();
        }
    }

    /// The endpoint that the connection `number` was made to does not answer, whatever connection to it is the present one: the next request takes
    /// the next endpoint.
    fn doubt(&self, number: u64) {
        let mut state = self.state();
        if state.first <= number {
            state.leave();
        }
    }

    /// The connection, made now if there is none.
    async fn link(&self) -> Result<Link, Failure> {
        if let Some(link) = self.present() {
            return Ok(link);
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(link) = self.present() {
            return Ok(link);
        }
        let (number, endpoint) = {
            let state = self.state();
            (state.number, state.endpoint)
        };
        let url: Arc<str> = self.config.url(endpoint).into();
        let credentials = Arc::new(self.config.credentials()?);
        let client = connect::client(&url, &credentials, self.config.connect_timeout);
        let client = self.judged(number, &url, client).await.map_err(Failure::not_applied)?;
        let link = Link { number, client, url, credentials };
        let mut state = self.state();
        if state.number == number {
            state.link = Some(link.clone());
        }
        Ok(link)
    }

    fn present(&self) -> Option<Link> {
        self.state().link.clone()
    }

    /// Whether it makes sense to ask again after `failure` on the connection `used`, as what was denied has changed: another connection is in its place
    /// already, made since; or the files say something else, or etcd says that our token is out of date, and the next request connects anew.
    fn renew(&self, used: &Link, failure: &Failure) -> bool {
        if !failure.is_denied() {
            return false;
        }
        if self.state().number != used.number {
            return true;
        }
        let changed = self.is_outdated(failure, used);
        if changed {
            self.start_afresh_after(used.number);
        }
        changed
    }

    /// Whether it makes sense to connect anew after `failure` on the present connection.
    pub(super) fn credentials_changed(&self, failure: &Failure) -> bool {
        failure.is_denied() && self.present().is_some_and(|link| self.is_outdated(failure, &link))
    }

    fn is_outdated(&self, failure: &Failure, used: &Link) -> bool {
        failure.is_outdated_token()
            || (self.config.has_files() && self.config.credentials().is_ok_and(|read| read != *used.credentials))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn leave(&mut self) {
        self.number += 1;
        self.first = self.number;
        self.endpoint = self.endpoint.wrapping_add(1);
        self.link = None;
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Line").field("endpoint", &self.config.url(state.endpoint)).finish_non_exhaustive()
    }
}

/// Distrusts a connection when it is dropped late.
struct Doubt<'a> {
    line: &'a Line,
    number: u64,
    /// When the request was made; `None` once it was answered.
    since: Option<Instant>,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() >= SUSPICIOUS) {
            self.line.doubt(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    fn line() -> Line {
        let config = Config::new(&Options::new(["one", "two"])).unwrap();
        Line::new(Arc::new(config), 0)
    }

    fn endpoint(line: &Line) -> usize {
        line.state().endpoint
    }

    /// A request on the connection `number` that was dropped unanswered after a while.
    fn dropped(line: &Line, number: u64, after: Duration) {
        drop(Doubt { line, number, since: Instant::now().checked_sub(after) });
    }

    #[test]
    fn a_request_that_hangs_speaks_against_its_endpoint_also_after_a_fresh_start() {
        let line = line();
        line.start_afresh();
        dropped(&line, 0, SUSPICIOUS);
        assert_eq!(endpoint(&line), 1);
    }

    #[test]
    fn requests_that_hang_together_speak_once_against_one_endpoint() {
        let line = line();
        dropped(&line, 0, SUSPICIOUS);
        dropped(&line, 0, SUSPICIOUS);
        assert_eq!(endpoint(&line), 1);
    }

    #[test]
    fn a_request_that_is_dropped_soon_says_nothing() {
        let line = line();
        dropped(&line, 0, SUSPICIOUS / 2);
        assert_eq!(endpoint(&line), 0);
    }

    #[tokio::test]
    async fn what_was_denied_on_a_connection_that_was_replaced_is_asked_again() {
        let line = line();
        let used = line.link().await.unwrap();
        let denied = Failure::from(registry_core::store::StoreError::denied("the password is wrong"));
        assert!(!line.renew(&used, &denied), "nothing has changed");
        line.start_afresh();
        assert!(line.renew(&used, &denied), "while the next one is being made");
        let next = line.link().await.unwrap();
        assert!(line.renew(&used, &denied) && !line.renew(&next, &denied));
        assert_eq!(line.link().await.unwrap().number, next.number, "nobody has to connect once more");
    }

    #[test]
    fn a_connection_that_broke_says_nothing_about_its_successor() {
        let line = line();
        line.start_afresh();
        line.distrust(0);
        assert_eq!(endpoint(&line), 0);
    }
}
