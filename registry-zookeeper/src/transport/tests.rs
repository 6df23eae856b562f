//! The rules that the client is used by, each on a scripted client: without the rule its test fails.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use registry_core::{Material, Secret};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, oneshot};

use super::{IN_FLIGHT, Line};
use crate::Options;
use crate::config::Config;
use crate::engine::{Access, Connection, Engine, Event, Failure, Kind, Stat, Watch};

/// The session timeout of these tests: an answer may take a third of it.
const TTL: Duration = Duration::from_millis(600);

/// A client that notes what is asked, and answers when it is let.
#[derive(Default)]
struct Script {
    /// What was asked, in order.
    asked: Mutex<Vec<String>>,
    /// Servers that were connected to, in order.
    servers: Mutex<Vec<SocketAddr>>,
    /// The first so many connections answer nothing.
    mute: AtomicUsize,
    alive: AtomicUsize,
    flying: AtomicUsize,
    most_flying: AtomicUsize,
    /// How many reads were in flight when it was authenticated last.
    flying_beside_authentication: AtomicUsize,
    /// Reads of `/denied` are.
    denies: AtomicBool,
    events: Mutex<Option<UnboundedSender<Event>>>,
}

struct Scripted {
    script: Arc<Script>,
    mute: bool,
    /// Reads of `/slow…` wait for it.
    gate: Arc<Semaphore>,
}

struct Maker(Arc<Script>, Arc<Semaphore>);

#[async_trait]
impl Engine for Maker {
    async fn connect(
        &self,
        server: SocketAddr,
        _: Duration,
        events: UnboundedSender<Event>,
    ) -> Result<Arc<dyn Connection>, Failure> {
        self.0.servers.lock().unwrap().push(server);
        *self.0.events.lock().unwrap() = Some(events);
        self.0.alive.fetch_add(1, Ordering::SeqCst);
        let mute = self.0.mute.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        Ok(Arc::new(Scripted { script: self.0.clone(), mute, gate: self.1.clone() }))
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.script.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Scripted {
    async fn note(&self, what: String) {
        self.script.asked.lock().unwrap().push(what);
        if self.mute {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Connection for Scripted {
    async fn authenticate(&self, digest: Vec<u8>) -> Result<(), Failure> {
        let flying = self.script.flying.load(Ordering::SeqCst);
        self.script.flying_beside_authentication.store(flying, Ordering::SeqCst);
        self.script.denies.store(false, Ordering::SeqCst);
        self.note(format!("authenticate {}", String::from_utf8_lossy(&digest))).await;
        Ok(())
    }

    async fn create(&self, path: &str, _: &[u8], kind: Kind, access: Access) -> Result<(String, Stat), Failure> {
        self.note(format!("create {path} {kind:?} {access:?}")).await;
        Ok((path.to_owned(), Stat { owner: 7, ..Stat::default() }))
    }

    async fn delete(&self, path: &str, _: i32) -> Result<(), Failure> {
        self.note(format!("delete {path}")).await;
        Err(Failure::NoNode)
    }

    async fn set(&self, _: &str, _: &[u8], _: i32) -> Result<Stat, Failure> {
        Ok(Stat::default())
    }

    async fn exists(&self, path: &str, _: Watch) -> Result<Option<Stat>, Failure> {
        self.note(format!("exists {path}")).await;
        if path == "/mute" {
            std::future::pending::<()>().await;
        }
        Ok(None)
    }

    async fn get(&self, path: &str, _: Watch) -> Result<(Vec<u8>, Stat), Failure> {
        if path == "/denied" && self.script.denies.load(Ordering::SeqCst) {
            return Err(Failure::NoAuth);
        }
        let flying = self.script.flying.fetch_add(1, Ordering::SeqCst) + 1;
        self.script.most_flying.fetch_max(flying, Ordering::SeqCst);
        let permit = self.gate.acquire().await;
        self.script.flying.fetch_sub(1, Ordering::SeqCst);
        drop(permit);
        self.note(format!("get {path}")).await;
        Ok((Vec::new(), Stat::default()))
    }

    async fn children(&self, _: &str, _: Watch) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }

    async fn close(&self) -> Result<(), Failure> {
        Ok(())
    }
}

fn line(options: &Options) -> (Line, Arc<Script>, Arc<Semaphore>) {
    let (script, gate) = (Arc::<Script>::default(), Arc::new(Semaphore::new(0)));
    let config = Config::new(&options.clone().with_ttl(TTL)).unwrap();
    (Line::new(Arc::new(Maker(script.clone(), gate.clone())), config), script, gate)
}

fn one_host() -> Options {
    Options::new("127.0.0.1:1")
}

/// Waits for what another thread brings about.
async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
}

#[tokio::test]
async fn rule_1_a_dead_connection_is_dropped_with_its_thread() {
    let (line, script, _) = line(&one_host());
    let link = line.link().await.unwrap();
    link.kill("test");
    until(|| script.alive.load(Ordering::SeqCst) == 0).await;
    until(|| line.threads.available_permits() == super::THREADS).await;
}

#[tokio::test]
async fn rules_2_and_3_an_unanswered_connection_does_not_count_and_the_next_server_is_asked() {
    let (line, script, _) = line(&Options::new("127.0.0.1:1,127.0.0.2:1"));
    script.mute.store(1, Ordering::SeqCst);
    line.link().await.unwrap();
    let servers = script.servers.lock().unwrap().clone();
    assert_eq!(servers.len(), 2);
    assert_ne!(servers[0], servers[1]);
}

#[tokio::test]
async fn rule_4_a_connection_that_does_not_answer_is_dead() {
    let (line, _, _) = line(&one_host());
    let link = line.link().await.unwrap();
    assert!(matches!(link.exists("/mute", Watch::None).await, Err(Failure::Broken(_))));
    assert!(!link.is_alive());
    assert!(matches!(link.heartbeat().await, Err(Failure::Gone(_))));
}

#[tokio::test]
async fn rule_5_no_more_than_32_requests_are_in_flight() {
    let (line, script, gate) = line(&one_host());
    let link = line.link().await.unwrap();
    let reads = join_all((0..200).map(|at| {
        let link = link.clone();
        async move { link.get(&format!("/slow{at}"), Watch::None).await }
    }));
    let open = async {
        until(|| script.flying.load(Ordering::SeqCst) == IN_FLIGHT).await;
        gate.add_permits(1000);
    };
    let (answers, ()) = tokio::join!(reads, open);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(script.most_flying.load(Ordering::SeqCst), 32);
}

#[tokio::test]
async fn rule_5_a_request_that_was_sent_runs_to_its_end_when_its_caller_leaves() {
    let (line, script, gate) = line(&one_host());
    let link = line.link().await.unwrap();
    let (left, leave) = oneshot::channel::<()>();
    let caller = async {
        tokio::select! {
            _ = link.get("/slow", Watch::None) => {}
            _ = leave => {}
        }
    };
    let leaving = async {
        until(|| script.flying.load(Ordering::SeqCst) == 1).await;
        let _ = left.send(());
    };
    tokio::join!(caller, leaving);
    gate.add_permits(1);
    until(|| script.asked.lock().unwrap().contains(&"get /slow".to_owned())).await;
    assert!(link.is_alive());
}

#[tokio::test]
async fn rule_6_a_connection_that_broke_is_dead_at_once_and_the_next_request_makes_another() {
    let (line, script, _) = line(&one_host());
    let link = line.link().await.unwrap();
    let events = script.events.lock().unwrap().clone().unwrap();
    events.send(Event::Down("test")).unwrap();
    tokio::time::timeout(Duration::from_secs(10), link.death()).await.unwrap();
    assert!(line.link().await.unwrap().is_alive());
    assert_eq!(script.servers.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn rule_7_a_connection_begins_with_authentication_and_a_barrier() {
    let password = Material::Inline(Secret::new("tiger"));
    let (line, script, _) = line(&one_host().with_user("me", password));
    let link = line.link().await.unwrap();
    link.exists("/first", Watch::None).await.unwrap();
    let asked = script.asked.lock().unwrap().clone();
    assert!(asked[1].starts_with("delete /registry-barrier-"), "{asked:?}");
    assert_eq!([&*asked[0], &*asked[2]], ["authenticate me:tiger", "exists /first"]);
}

#[tokio::test]
async fn rule_7_nothing_is_in_flight_when_a_session_authenticates_anew() {
    let file = std::env::temp_dir().join(format!("registry-zookeeper-password-{}", std::process::id()));
    std::fs::write(&file, "tiger").unwrap();
    let (line, script, gate) = line(&one_host().with_user("me", Material::File(file.clone())));
    let link = line.link().await.unwrap();
    script.denies.store(true, Ordering::SeqCst);
    std::fs::write(&file, "lion").unwrap();
    let slow = join_all((0..3).map(|at| {
        let link = link.clone();
        async move { link.get(&format!("/slow{at}"), Watch::None).await }
    }));
    let denied = async {
        until(|| script.flying.load(Ordering::SeqCst) == 3).await;
        link.get("/denied", Watch::None).await
    };
    let open = async {
        until(|| script.flying.load(Ordering::SeqCst) == 3).await;
        // It would be noticed by now if it did not wait.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(10);
    };
    let (slow, denied, ()) = tokio::join!(slow, denied, open);
    std::fs::remove_file(&file).unwrap();
    assert!(slow.iter().all(Result::is_ok) && denied.is_ok());
    assert!(script.asked.lock().unwrap().contains(&"authenticate me:lion".to_owned()));
    assert_eq!(script.flying_beside_authentication.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn rule_8_changes_are_passed_on_to_who_listens() {
    let (line, script, _) = line(&one_host());
    let link = line.link().await.unwrap();
    let mut changes = link.listen("/demo");
    let events = script.events.lock().unwrap().clone().unwrap();
    events.send(Event::Changed("/demo/a:1".into())).unwrap();
    assert_eq!(changes.recv().await.unwrap(), "/demo/a:1");
}

#[tokio::test]
async fn rule_9_the_session_id_is_the_owner_of_a_node_that_is_removed_again() {
    let (line, script, _) = line(&one_host());
    assert_eq!(line.link().await.unwrap().session_id().await.unwrap(), 7);
    let asked = script.asked.lock().unwrap().clone();
    assert_eq!(asked[1..], ["create /registry-session- EphemeralSequential Open", "delete /registry-session-"]);
}

#[tokio::test]
async fn rule_10_parents_are_made_one_by_one_open_and_persistent_whatever_their_names() {
    let password = Material::Inline(Secret::new("tiger"));
    let (line, script, _) = line(&one_host().with_user("me", password));
    line.link().await.unwrap().create_folder("/ä/b").await.unwrap();
    let asked = script.asked.lock().unwrap().clone();
    assert_eq!(asked[2..], ["create /ä Persistent Open", "create /ä/b Persistent Open"]);
}

#[tokio::test]
async fn a_session_is_claimed_once() {
    let (line, script, _) = line(&one_host());
    let first = line.claim().await.unwrap();
    let second = line.claim().await.unwrap();
    assert!(!first.is_alive() && second.is_alive());
    assert_eq!(script.servers.lock().unwrap().len(), 2);
}
