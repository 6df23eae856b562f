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
    made: HashSet<String>,
    asked: Vec<String>,
}

#[async_trait]
impl Engine for Fake {
    async fn connect(
        &self,
        _: SocketAddr,
        _: Duration,
        events: UnboundedSender<Event>,
    ) -> Result<Arc<dyn Connection>, Failure> {
        let granted = Event::Granted { timeout: Duration::from_secs(10), session: SESSION };
        events.send(granted).map_err(|_| Failure::Other("nobody listens".into()))?;
        Ok(Arc::new(One { fake: self.clone(), _events: events }))
    }
}

struct One {
    fake: Fake,
    _events: UnboundedSender<Event>,
}

impl One {
    fn state(&self, asked: String) -> MutexGuard<'_, State> {
        let mut state = self.fake.0.lock().unwrap();
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
        let mut state = self.state(format!("create {path}"));
        if !is_entry(path) && state.narrow {
            return Err(Failure::NoAuth);
        }
        if is_entry(path) && state.taken {
            return Err(Failure::NodeExists);
        }
        state.made.insert(path.to_owned());
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
        Ok(state.made.contains(path).then(|| of(SESSION)))
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
        self.state("close".to_owned()).made.clear();
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
