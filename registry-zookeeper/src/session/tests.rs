use std::net::SocketAddr;

use registry_core::store::{OpenRequest, OwnerToken, Store};
use registry_core::{Handle, HandleOptions, Info, Registry as _};
use tokio::sync::mpsc::UnboundedSender;

use super::*;
use crate::engine::{Access, Connection, Engine, Event};
use crate::{Client, Options};

const SESSION: i64 = 7;

/// A server on which one instance is fought for.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Nothing may be made but entries of services.
    narrow: bool,
    /// Another owner's node is there at each create, and gone at so many looks at it.
    flaps: usize,
    taken: bool,
    /// So many creates of an entry find the service's node removed again.
    pruned: usize,
    /// What another session made in the place of ours.
    others: HashSet<String>,
    /// Somebody removes an entry as soon as it stands.
    snatched: bool,
    /// The server is in no hurry to end a session.
    lingers: bool,
    /// No create of an entry is answered.
    mute: bool,
    /// What a connection takes.
    far: Duration,
    made: HashSet<String>,
    asked: Vec<String>,
    connections: usize,
    events: Vec<UnboundedSender<Event>>,
}

impl State {
    /// The session is over at last.
    fn expire(&mut self) {
        self.lingers = false;
        for path in self.made.drain().collect::<Vec<_>>() {
            self.events.retain(|events| events.send(Event::Changed(path.clone())).is_ok());
        }
    }
}

#[async_trait]
impl Engine for Fake {
    async fn connect(
        &self,
        _: SocketAddr,
        _: Duration,
        events: UnboundedSender<Event>,
    ) -> Result<Arc<dyn Connection>, Failure> {
        let far = self.0.lock().unwrap().far;
        tokio::time::sleep(far).await;
        let granted = Event::Granted { timeout: Duration::from_secs(10), session: SESSION };
        events.send(granted).map_err(|_| Failure::Other("nobody listens".into()))?;
        let mut state = self.0.lock().unwrap();
        state.connections += 1;
        state.events.push(events);
        Ok(Arc::new(One(self.clone())))
    }
}

struct One(Fake);

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().connections -= 1;
    }
}

impl One {
    fn state(&self, asked: String) -> MutexGuard<'_, State> {
        let mut state = self.0.0.lock().unwrap();
        state.asked.push(asked);
        state
    }
}

fn is_entry(path: &str) -> bool {
    path.starts_with("/demo/")
}

fn of(owner: i64) -> Stat {
    Stat { owner, ..Stat::default() }
}

#[async_trait]
impl Connection for One {
    async fn authenticate(&self, _: Vec<u8>) -> Result<(), Failure> {
        Ok(())
    }

    async fn create(&self, path: &str, _: &[u8], _: Kind, _: Access) -> Result<(String, Stat), Failure> {
        let mute = is_entry(path) && self.0.0.lock().unwrap().mute;
        if mute {
            return std::future::pending().await;
        }
        let mut state = self.state(format!("create {path}"));
        if !is_entry(path) && state.narrow {
            return Err(Failure::NoAuth);
        }
        if is_entry(path) && state.taken {
            return Err(Failure::NodeExists);
        }
        if is_entry(path) && state.pruned > 0 {
            state.pruned -= 1;
            return Err(Failure::NoNode);
        }
        if !is_entry(path) || !state.snatched {
            state.made.insert(path.to_owned());
        }
        Ok((path.to_owned(), of(SESSION)))
    }

    async fn delete(&self, path: &str, _: i32) -> Result<(), Failure> {
        let mut state = self.state(format!("delete {path}"));
        if is_entry(path) && state.taken { Ok(()) } else { state.made.take(path).map(drop).ok_or(Failure::NoNode) }
    }

    async fn set(&self, path: &str, _: &[u8], _: i32) -> Result<Stat, Failure> {
        drop(self.state(format!("set {path}")));
        Err(Failure::NoNode)
    }

    async fn exists(&self, path: &str, _: Watch) -> Result<Option<Stat>, Failure> {
        let state = self.state(format!("exists {path}"));
        let other = state.others.contains(path).then(|| of(99));
        Ok(other.or(state.made.contains(path).then(|| of(SESSION))))
    }

    async fn get(&self, path: &str, _: Watch) -> Result<(Vec<u8>, Stat), Failure> {
        let mut state = self.state(format!("get {path}"));
        if state.flaps > 0 {
            state.flaps -= 1;
            return Err(Failure::NoNode);
        }
        Ok((Vec::new(), of(99)))
    }

    async fn children(&self, path: &str, _: Watch) -> Result<Vec<String>, Failure> {
        drop(self.state(format!("children {path}")));
        Ok(Vec::new())
    }

    async fn close(&self) -> Result<(), Failure> {
        let mut state = self.state("close".to_owned());
        if !state.lingers {
            state.expire();
        }
        Ok(())
    }
}

fn client(state: State) -> (Fake, Client) {
    let fake = Fake(Arc::new(Mutex::new(state)));
    let config = crate::config::Config::new(&Options::new("127.0.0.1:1")).unwrap();
    (fake.clone(), Client::on(Arc::new(fake), config))
}

fn info() -> Info {
    Info::builder("demo").address("10.0.0.5:1").build().unwrap()
}

async fn session(fake: &Fake) -> ZooKeeperSession {
    let config = crate::config::Config::new(&Options::new("127.0.0.1:1")).unwrap();
    ZooKeeperSession::open(Arc::new(Line::new(Arc::new(fake.clone()), config))).await.unwrap()
}

fn put(port: u16) -> Put {
    let info = Info::builder("demo").address(format!("10.0.0.5:{port}")).build().unwrap();
    Put { record: crate::entries::record(&info, "").unwrap(), guard: Guard::Claim }
}

async fn stand(session: &ZooKeeperSession, ports: [u16; 2]) {
    let done = session.put(&ports.map(put), &Lineage::new(OwnerToken::random())).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
}

/// Ends it, which is over when it is, and not before.
async fn ends_with_the_session(session: &ZooKeeperSession, fake: &Fake) {
    let early = tokio::time::timeout(Duration::from_millis(200), session.end()).await;
    assert!(early.is_err(), "an entry of the session stands: {early:?}");
    let (ended, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(10), session.end()), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        fake.0.lock().unwrap().expire();
    });
    ended.expect("the removal is told").unwrap();
}

#[tokio::test]
async fn without_a_node_of_its_own_the_end_is_seen_by_all_entries() {
    let fake = Fake(Arc::new(Mutex::new(State { narrow: true, lingers: true, ..State::default() })));
    let session = session(&fake).await;
    stand(&session, [1, 2]).await;
    // A successor took the first one over, and the second one is ours.
    fake.0.lock().unwrap().others.insert("/demo/10.0.0.5:1".into());
    ends_with_the_session(&session, &fake).await;
}

#[tokio::test]
async fn the_end_of_a_session_whose_connection_is_gone_is_seen_too() {
    let fake = Fake(Arc::new(Mutex::new(State { lingers: true, ..State::default() })));
    let session = session(&fake).await;
    stand(&session, [1, 2]).await;
    session.link.kill("the server is gone");
    ends_with_the_session(&session, &fake).await;
}

#[tokio::test]
async fn what_was_sent_for_a_caller_who_left_is_known_at_the_end() {
    let fake = Fake(Arc::new(Mutex::new(State { mute: true, ..State::default() })));
    let session = session(&fake).await;
    let (puts, ours) = ([put(1)], Lineage::new(OwnerToken::random()));
    assert!(futures_util::FutureExt::now_or_never(session.put(&puts, &ours)).is_none(), "nothing is answered");
    assert!(session.nodes().contains("/demo/10.0.0.5:1"));
}

#[tokio::test]
async fn a_service_that_is_pruned_again_and_again_is_made_again() {
    let fake = Fake(Arc::new(Mutex::new(State { pruned: TRIES, ..State::default() })));
    stand(&session(&fake).await, [1, 2]).await;
}

#[tokio::test]
async fn an_entry_that_is_removed_or_replaced_before_it_is_watched_is_told() {
    for (snatched, replaced) in [(true, false), (false, true)] {
        let fake = Fake(Arc::new(Mutex::new(State { snatched, ..State::default() })));
        if replaced {
            fake.0.lock().unwrap().others.insert("/demo/10.0.0.5:2".into());
        }
        let session = session(&fake).await;
        // A successor came after it: the register is not tried again over that one.
        stand(&session, [2, 3]).await;
        let told = tokio::time::timeout(Duration::from_secs(10), session.signal()).await.unwrap();
        let Signal::Look(key) = told else { panic!("{told:?}") };
        assert!(key.as_str() == "/demo/10.0.0.5:2" || snatched, "{key}");
    }
}

async fn no_connection_is_left(fake: &Fake) {
    let began = std::time::Instant::now();
    while fake.0.lock().unwrap().connections > 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "a connection is left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_closed_client_keeps_no_connection_and_makes_none() {
    let (fake, client) = client(State::default());
    let demo = "demo".try_into().unwrap();
    client.list(&demo).await.unwrap();
    assert_eq!(fake.0.lock().unwrap().connections, 1);
    client.close();
    no_connection_is_left(&fake).await;
    assert!(client.list(&demo).await.is_err() && client.view(&demo, 0).await.is_err());
    assert!(client.open(OpenRequest::new(Duration::from_secs(10), 0, OwnerToken::random())).await.is_err());
    no_connection_is_left(&fake).await;
}

#[tokio::test]
async fn a_connection_that_is_made_while_the_client_is_closed_is_ended() {
    let (fake, client) = client(State { far: Duration::from_millis(200), ..State::default() });
    let demo = "demo".try_into().unwrap();
    let (listed, ()) = tokio::join!(client.list(&demo), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.close();
    });
    assert!(listed.is_err());
    no_connection_is_left(&fake).await;
}

#[tokio::test]
async fn who_may_write_below_services_only_can_close() {
    let (fake, client) = client(State { narrow: true, ..State::default() });
    let handle = Handle::open(Arc::new(client), HandleOptions::with_ttl(Duration::from_secs(10))).await.unwrap();
    handle.register(&info()).await.unwrap();
    handle.close().await.unwrap();
    let asked = fake.0.lock().unwrap().asked.clone();
    let closed = asked.iter().position(|one| one == "close").expect("the end was sent");
    assert!(asked[closed..].iter().any(|one| one == "exists /demo/10.0.0.5:1"), "and seen by the entry: {asked:?}");
}

#[tokio::test]
async fn a_write_that_removed_another_owners_node_never_says_that_it_did_nothing() {
    // However often it comes and goes before it is caught.
    for flaps in 0..TRIES {
        let (fake, client) = client(State { taken: true, flaps, ..State::default() });
        let owner = OwnerToken::random();
        let session = client.open(OpenRequest::new(Duration::from_secs(10), 0, owner.clone())).await.unwrap();
        let put = Put { record: client.encode(&info()).unwrap(), guard: Guard::Claim };
        let done = session.put(&[put], &Lineage::new(owner)).await;
        assert!(matches!(done[..], [Err(WriteError::Failed { applied: Applied::Unknown, .. })]), "{done:?}");
        let asked = fake.0.lock().unwrap().asked.clone();
        let removed = asked.iter().position(|one| one == "delete /demo/10.0.0.5:1").unwrap();
        assert_eq!(asked[removed + 1], "create /demo/10.0.0.5:1", "its place was tried for: {asked:?}");
    }
}
