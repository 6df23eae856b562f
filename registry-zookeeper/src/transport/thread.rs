//! The thread of one connection.

use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::link::IN_FLIGHT;
use super::router::Router;
use crate::engine::{Connection, Engine, Event, Failure, Told};

/// A request, once it has a connection to be sent on. Ends when it was answered, and never late: it watches its own limit.
pub(super) struct Job {
    pub(super) run: Run,
    /// Whether it waits until everything before it was answered. What comes after it does not wait for it.
    pub(super) alone: bool,
}

pub(super) type Run = Box<dyn FnOnce(Arc<dyn Connection>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What thread and [`Link`](super::Link) both know.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) router: Router,
    /// What the server granted, once it is known.
    granted: Mutex<Option<(Duration, i64)>>,
    /// Why the connection is dead.
    verdict: watch::Sender<Option<String>>,
}

impl Shared {
    pub(super) fn granted(&self) -> Option<(Duration, i64)> {
        *self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection; the first reason counts.
    pub(super) fn kill(&self, why: impl Into<String>) {
        self.verdict.send_if_modified(|verdict| {
            let first = verdict.is_none();
            verdict.get_or_insert_with(|| why.into());
            first
        });
    }

    pub(super) fn verdict(&self) -> Option<String> {
        self.verdict.borrow().clone()
    }

    pub(super) fn is_alive(&self) -> bool {
        self.verdict.borrow().is_none()
    }

    /// Waits until the connection is dead. Cancel safe.
    pub(super) async fn death(&self) {
        // The sender is our own, so that waiting never fails.
        let _ = self.verdict.subscribe().wait_for(Option::is_some).await;
    }
}

/// What a thread is started with.
pub(super) struct Start {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) host: String,
    /// Which of the addresses of the host is meant.
    pub(super) turn: usize,
    pub(super) timeout: Duration,
    pub(super) jobs: UnboundedReceiver<Job>,
    pub(super) shared: Arc<Shared>,
    /// Given back when the thread ends.
    pub(super) permit: OwnedSemaphorePermit,
}

/// Starts the thread. It ends when the connection is dead.
pub(super) fn start(start: Start) -> Result<(), Failure> {
    let builder = std::thread::Builder::new().name("zookeeper".into());
    builder
        .spawn(move || run(start))
        .map(drop)
        .map_err(|error| Failure::Other(format!("no thread could be started: {error}")))
}

/// Dropping the runtime is what kills the client: its tasks, timers and socket (rule 1).
fn run(start: Start) {
    let shared = start.shared.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (events, told) = unbounded_channel();
    let quiet = tracing::dispatcher::set_default(&tracing::Dispatch::new(Told(events.clone())));
    let permit = match runtime {
        Ok(runtime) => {
            let Start { engine, host, turn, timeout, jobs, permit, .. } = start;
            runtime.block_on(async {
                let life = async {
                    match look_up(&host, turn) {
                        Ok(server) => match engine.connect(server, timeout, events).await {
                            Ok(connection) => serve(&connection, jobs, &shared).await,
                            Err(failure) => shared.kill(format!("{host}: {failure}")),
                        },
                        Err(why) => shared.kill(format!("{host}: {why}")),
                    }
                };
                tokio::select! {
                    biased;
                    () = shared.death() => {}
                    () = listen(told, &shared, &host) => {}
                    () = life => {}
                }
            });
            runtime.shutdown_background();
            permit
        }
        Err(error) => {
            shared.kill(format!("no runtime could be made: {error}"));
            start.permit
        }
    };
    shared.kill("nobody needs it any more");
    drop((quiet, permit));
}

/// Looks a name up (rule 3): here, where it holds up nobody, however long it takes.
fn look_up(host: &str, turn: usize) -> Result<SocketAddr, String> {
    let found = host.to_socket_addrs().map_err(|error| format!("the name cannot be looked up: {error}"))?;
    let found: Vec<_> = found.collect();
    found.get(turn % found.len().max(1)).copied().ok_or_else(|| "the name has no address".into())
}

/// Passes on what the connection tells, until it is down.
async fn listen(mut told: UnboundedReceiver<Event>, shared: &Shared, host: &str) {
    while let Some(event) = told.recv().await {
        match event {
            Event::Changed(path) => shared.router.tell(&path),
            Event::Granted { timeout, session } => {
                *shared.granted.lock().unwrap_or_else(PoisonError::into_inner) = Some((timeout, session));
            }
            Event::Down(why) => return shared.kill(format!("{host}: {why}")),
        }
    }
}

/// Sends requests, a limited number at a time, each on a task of its own: one whose caller has left still waits for its answer (rule 5). Ends when nobody can
/// give it any more.
async fn serve(connection: &Arc<dyn Connection>, mut jobs: UnboundedReceiver<Job>, shared: &Shared) {
    let slots = Arc::new(Semaphore::new(IN_FLIGHT));
    while let Some(Job { run, alone }) = jobs.recv().await {
        if alone && slots.acquire_many(IN_FLIGHT as u32).await.is_err() {
            break;
        }
        let Ok(slot) = slots.clone().acquire_owned().await else { break };
        let request = run(connection.clone());
        tokio::spawn(async move {
            request.await;
            drop(slot);
        });
    }
    shared.kill("nobody needs it any more");
}
