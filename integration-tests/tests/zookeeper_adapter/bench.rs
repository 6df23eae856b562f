//! What the tests stand on: a chroot of its own each, and a back door to ZooKeeper.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use integration_tests::{Node, ZooKeeperDoor};
use libtest_mimic::{Failed, Trial};
use registry_core::Info;
use registry_core::store::{Guard, Lineage, OpenRequest, OwnerToken, Put, Record, Session, Store, WriteError};
use registry_zookeeper::{Client, Options};

/// What every test is given.
pub(crate) struct Bench {
    pub(crate) server: SocketAddr,
    pub(crate) chroot: String,
    pub(crate) door: ZooKeeperDoor,
}

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;
pub(crate) type Body = fn(Bench) -> Pin<Box<dyn Future<Output = Outcome>>>;

/// Tests of the names `module::function`.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) fn tests() -> Vec<libtest_mimic::Trial> {
            let module = module_path!().rsplit("::").next().unwrap_or_default();
            let name = |function| format!("{module}::{function}");
            vec![$($crate::bench::trial(&name(stringify!($name)), |bench| Box::pin($name(bench)))),*]
        }
    };
}
pub(crate) use tests;

/// Runs `body` on a runtime of its own, when there is a server.
pub(crate) fn trial(name: &str, body: Body) -> Trial {
    const VARIABLE: &str = "REGISTRY_TEST_ZOOKEEPER";
    let missing = std::env::var_os(VARIABLE).is_none();
    let required =
        std::env::var("REGISTRY_TEST_REQUIRE").is_ok_and(|list| list.split(',').any(|one| one == "zookeeper"));
    let shown = if missing && !required { format!("{name} ({VARIABLE} is not set)") } else { name.to_owned() };
    let run = move || {
        if missing {
            return Err(format!("{VARIABLE} is not set, and REGISTRY_TEST_REQUIRE wants zookeeper").into());
        }
        run(body).map_err(|error| Failed::from(error.to_string()))
    };
    Trial::test(shown, run).with_ignored_flag(missing && !required)
}

fn run(body: Body) -> Outcome {
    let server: SocketAddr = std::env::var("REGISTRY_TEST_ZOOKEEPER")?.parse()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let door = ZooKeeperDoor::open(server).await?;
        body(Bench { server, chroot: fresh_chroot(), door }).await
    })
}

fn fresh_chroot() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("/test-{since:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Bench {
    pub(crate) fn options(&self) -> Options {
        self.options_at(self.server)
    }

    /// By another way, through a proxy.
    pub(crate) fn options_at(&self, server: SocketAddr) -> Options {
        Options::new(format!("{server}{}", self.chroot)).with_ttl(Duration::from_secs(4))
    }

    pub(crate) fn client(&self) -> Client {
        self.options().client().unwrap()
    }

    /// A new owner.
    pub(crate) async fn owner(&self) -> Owner {
        Owner::open(self.client()).await
    }

    pub(crate) fn path(&self, record: &Record) -> String {
        format!("{}{}", self.chroot, record.key())
    }

    pub(crate) async fn node(&mut self, record: &Record) -> Option<Node> {
        let path = self.path(record);
        // The session of a door that was idle for some seconds is over.
        self.door = ZooKeeperDoor::open(self.server).await.unwrap();
        self.door.get(&path).await.unwrap()
    }
}

/// A client with one open session.
pub(crate) struct Owner {
    pub(crate) client: Client,
    pub(crate) session: Arc<dyn Session>,
    pub(crate) lineage: Lineage,
}

impl Owner {
    pub(crate) async fn open(client: Client) -> Self {
        let token = OwnerToken::random();
        let mut lineage = Lineage::new(token.clone());
        let session = client.open(OpenRequest::new(Duration::from_secs(4), 0, token)).await.unwrap();
        lineage.add(session.id());
        Self { client, session, lineage }
    }

    /// Another session of the same owner.
    pub(crate) async fn reopen(&mut self) {
        let request = OpenRequest::new(Duration::from_secs(4), 0, self.lineage.owner().clone());
        self.session = self.client.open(request).await.unwrap();
        self.lineage.add(self.session.id());
    }

    pub(crate) async fn put(&self, record: &Record, guard: Guard) -> Result<(), WriteError> {
        let put = Put { record: record.clone(), guard };
        self.session.put(&[put], &self.lineage).await.remove(0)
    }
}

/// An entry of the service `demo`.
pub(crate) fn record(client: &Client, port: u16, weight: u32) -> Record {
    let info = Info::builder("demo").address(format!("10.0.0.5:{port}")).weight(weight).build().unwrap();
    client.encode(&info).unwrap()
}
