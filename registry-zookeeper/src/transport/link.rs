//! One connection: its requests, its limits, its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};

use super::thread::{self, Job, Run, Shared, Start};
use crate::config::Config;
use crate::engine::{Access, Connection, Engine, Failure, Kind, Stat, Watch};

/// How many requests are in flight at most (rule 5): with 64 in its queue the client can block on its own ping, for good.
pub(crate) const IN_FLIGHT: usize = 32;

/// A version that no node has.
const NO_VERSION: i32 = i32::MAX;

/// One connection and its ZooKeeper session, from the first answer to the first sign of trouble. Dropping it ends its thread.
pub(crate) struct Link {
    shared: Arc<Shared>,
    jobs: UnboundedSender<Job>,
    config: Arc<Config>,
    /// What the session is known by.
    digest: Mutex<Option<Vec<u8>>>,
    claimed: AtomicBool,
    barrier: String,
}

impl Link {
    /// Connects to the server whose turn it is. Dropping the future ends what it began.
    pub(super) async fn connect(
        engine: &Arc<dyn Engine>,
        config: &Arc<Config>,
        threads: Arc<Semaphore>,
        turn: usize,
    ) -> Result<Arc<Self>, Failure> {
        let digest = config.digest()?;
        let closed = |_| Failure::Unreachable("the client is closed".into());
        // A thread that still looks a name up holds the next one up, rather than that they pile up.
        let permit = threads.acquire_owned().await.map_err(closed)?;
        let (jobs, receiver) = unbounded_channel();
        let host = config.hosts[turn % config.hosts.len()].clone();
        let link = Self {
            shared: Arc::default(),
            jobs,
            config: config.clone(),
            digest: Mutex::new(digest.clone()),
            claimed: AtomicBool::new(false),
            barrier: format!("{}/registry-barrier-{:016x}", config.chroot, fastrand::u64(..)),
        };
        thread::start(Start {
            engine: engine.clone(),
            host: host.clone(),
            turn: turn / config.hosts.len(),
            timeout: config.ttl,
            jobs: receiver,
            shared: link.shared.clone(),
            permit,
        })?;
        let unanswered = || Failure::Unreachable(format!("{host}: no answer within {:?}", config.connect_timeout));
        let ready = tokio::time::timeout(config.connect_timeout, link.prepare(digest)).await;
        match ready.unwrap_or_else(|_| Err(unanswered())) {
            Ok(()) => Ok(Arc::new(link)),
            Err(Failure::Gone(why) | Failure::Broken(why)) => Err(Failure::Unreachable(why)),
            Err(failure) => Err(failure),
        }
    }

    /// Rule 7: the authentication, and a barrier, so that nothing older than what others have seen is read. An answered barrier is also what makes the connection
    /// count (rule 2). Both are sent at once: over a long way each answer that is waited for is a large part of the limit.
    async fn prepare(&self, digest: Option<Vec<u8>>) -> Result<(), Failure> {
        let authenticate = async {
            match digest {
                Some(digest) => self.authenticate(digest).await,
                None => Ok(()),
            }
        };
        let (authenticated, passed) = join(authenticate, self.barrier()).await;
        authenticated.and(passed)
    }

    /// The server answers an authentication as soon as it has read it, past what still waits for the leader, and the client takes each answer for that of its
    /// oldest request: so nothing is in flight before it.
    async fn authenticate(&self, digest: Vec<u8>) -> Result<(), Failure> {
        self.hand_over(true, |connection| async move { connection.authenticate(digest).await }).await
    }

    /// The session timeout that the server granted, as far as it is known.
    pub(crate) fn ttl(&self) -> Duration {
        self.shared.granted().map_or(self.config.ttl, |(timeout, _)| timeout)
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.shared.is_alive()
    }

    /// Ends the connection without a word to the server.
    pub(crate) fn kill(&self, why: &str) {
        self.shared.kill(why);
    }

    /// Waits until the connection is dead. Cancel safe.
    pub(crate) async fn death(&self) {
        self.shared.death().await;
    }

    /// Why the connection is dead.
    pub(crate) fn gone(&self) -> Failure {
        Failure::Gone(self.shared.verdict().unwrap_or_else(|| "the connection is gone".into()))
    }

    /// Whether this call is the first.
    pub(super) fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::SeqCst)
    }

    /// The paths of watched changes, of `folder` and its children; of everything, when it is empty.
    pub(crate) fn listen(&self, folder: &str) -> UnboundedReceiver<String> {
        self.shared.router.listen(folder)
    }

    /// After `Ok` this connection reads nothing older than what stood when it was called: a delete that must fail goes through the leader, as any write.
    pub(crate) async fn barrier(&self) -> Result<(), Failure> {
        let path = self.barrier.clone();
        match self.send(|connection| async move { connection.delete(&path, NO_VERSION).await }).await {
            // A refusal went through the leader, too; whether we may read is for the read to say.
            Ok(()) | Err(Failure::NoNode | Failure::NoAuth | Failure::BadVersion | Failure::NotEmpty) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Asks for a sign of life (rule 4).
    pub(crate) async fn heartbeat(&self) -> Result<(), Failure> {
        self.send(|connection| async move { connection.exists("/", Watch::None).await }).await.map(drop)
    }

    /// The id of the session, which the client does not tell (rule 9): the owner of an ephemeral node. Creates the chroot when it is missing.
    pub(crate) async fn session_id(&self) -> Result<i64, Failure> {
        match self.probe("registry-session-").await {
            Ok((path, stat)) => match self.delete(&path, stat.version).await {
                Ok(()) | Err(Failure::NoNode | Failure::NoAuth) => Ok(stat.owner),
                Err(failure) => Err(failure),
            },
            // Who may write below some services only is known by what the server told at first.
            Err(Failure::NoAuth) => self.shared.granted().map(|(_, session)| session).ok_or(Failure::NoAuth),
            Err(failure) => Err(failure),
        }
    }

    /// Creates an ephemeral node of this session, at the top of the chroot.
    pub(crate) async fn probe(&self, name: &str) -> Result<(String, Stat), Failure> {
        let path = format!("{}/{name}", self.config.chroot);
        match self.create(&path, &[], Kind::EphemeralSequential).await {
            Err(Failure::NoNode) => {
                self.create_folder(&self.config.chroot).await?;
                self.create(&path, &[], Kind::EphemeralSequential).await
            }
            done => done,
        }
    }

    /// Creates a persistent node and those above it, as far as they are missing (rule 10). They are shared, so they are open to everybody.
    pub(crate) async fn create_folder(&self, path: &str) -> Result<(), Failure> {
        let mut denied = false;
        for (at, _) in path.match_indices('/').skip(1).chain([(path.len(), "")]) {
            match self.create(&path[..at], &[], Kind::Persistent).await {
                Ok(_) | Err(Failure::NodeExists) => {}
                // Who may not create what is there already learns it from what comes next.
                Err(Failure::NoAuth) if at < path.len() => denied = true,
                // What is not there is what we were not permitted to create.
                Err(Failure::NoNode) if denied => return Err(Failure::NoAuth),
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    pub(crate) async fn create(&self, path: &str, data: &[u8], kind: Kind) -> Result<(String, Stat), Failure> {
        let owned = kind != Kind::Persistent && self.present_digest().is_some();
        let access = if owned { Access::Creator } else { Access::Open };
        let (path, data): (Arc<str>, Arc<[u8]>) = (path.into(), data.into());
        self.request(move |connection| async move { connection.create(&path, &data, kind, access).await }).await
    }

    pub(crate) async fn delete(&self, path: &str, version: i32) -> Result<(), Failure> {
        let path: Arc<str> = path.into();
        self.request(move |connection| async move { connection.delete(&path, version).await }).await
    }

    pub(crate) async fn set(&self, path: &str, data: &[u8], version: i32) -> Result<Stat, Failure> {
        let (path, data): (Arc<str>, Arc<[u8]>) = (path.into(), data.into());
        self.request(move |connection| async move { connection.set(&path, &data, version).await }).await
    }

    pub(crate) async fn exists(&self, path: &str, watch: Watch) -> Result<Option<Stat>, Failure> {
        let path: Arc<str> = path.into();
        self.request(move |connection| async move { connection.exists(&path, watch).await }).await
    }

    pub(crate) async fn get(&self, path: &str, watch: Watch) -> Result<(Vec<u8>, Stat), Failure> {
        let path: Arc<str> = path.into();
        self.request(move |connection| async move { connection.get(&path, watch).await }).await
    }

    pub(crate) async fn children(&self, path: &str, watch: Watch) -> Result<Vec<String>, Failure> {
        let path: Arc<str> = path.into();
        self.request(move |connection| async move { connection.children(&path, watch).await }).await
    }

    /// Sends that the session is over.
    pub(crate) async fn close(&self) -> Result<(), Failure> {
        self.send(|connection| async move { connection.close().await }).await
    }

    /// A request; once more with the credentials read anew, when it is denied and they have changed (X1).
    async fn request<T, F, R>(&self, request: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(Arc<dyn Connection>) -> R + Clone + Send + 'static,
        R: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let before = self.present_digest();
        match self.send(request.clone()).await {
            Err(Failure::NoAuth) if self.config.has_files() && self.authenticate_anew(before).await? => {
                self.send(request).await
            }
            answer => answer,
        }
    }

    /// Whether the session is known by something else than `before` now.
    async fn authenticate_anew(&self, before: Option<Vec<u8>>) -> Result<bool, Failure> {
        let Some(digest) = self.config.digest()?.filter(|digest| before.as_ref() != Some(digest)) else {
            return Ok(false);
        };
        self.authenticate(digest.clone()).await?;
        *self.digest.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
        Ok(true)
    }

    fn present_digest(&self) -> Option<Vec<u8>> {
        self.digest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn send<T, F, R>(&self, request: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(Arc<dyn Connection>) -> R + Send + 'static,
        R: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        self.hand_over(false, request).await
    }

    /// Hands a request to the thread. One whose future is dropped before it was sent is not sent; after that it runs to its end.
    async fn hand_over<T, F, R>(&self, alone: bool, request: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(Arc<dyn Connection>) -> R + Send + 'static,
        R: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        if !self.is_alive() {
            return Err(self.gone());
        }
        let (reply, answer) = oneshot::channel();
        // Rule 4: an answer that takes so long is no answer, and the connection is not to be trusted.
        let limit = self.ttl() / 3;
        let shared = self.shared.clone();
        let run: Run = Box::new(move |connection| {
            Box::pin(async move {
                if reply.is_closed() {
                    return;
                }
                let answer = tokio::time::timeout(limit, request(connection)).await.unwrap_or_else(|_| {
                    shared.kill(format!("ZooKeeper did not answer within {limit:?}"));
                    Err(Failure::Broken(format!("ZooKeeper did not answer within {limit:?}")))
                });
                // An error of the session is the end of the connection, whichever request learns it.
                if let Err(Failure::Gone(why) | Failure::Broken(why)) = &answer {
                    shared.kill(why.clone());
                }
                let _ = reply.send(answer);
            })
        });
        if self.jobs.send(Job { run, alone }).is_err() {
            return Err(self.gone());
        }
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Broken(match self.gone() {
                Failure::Gone(why) => why,
                _ => String::new(),
            })),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.kill("nobody needs it any more");
    }
}
