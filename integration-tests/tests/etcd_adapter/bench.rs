//! What the tests stand on: a prefix of its own each, and a back door to etcd.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use etcd_client::{GetOptions, PutOptions};
use libtest_mimic::{Failed, Trial};
use registry_core::Info;
use registry_core::store::{Guard, Lineage, OpenRequest, OwnerToken, Put, Record, Session, Store, WriteError};
use registry_etcd::{Client, Options};

/// What every test is given.
pub(crate) struct Bench {
    pub(crate) url: String,
    pub(crate) prefix: String,
    pub(crate) door: etcd_client::Client,
}

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;
pub(crate) type Body = fn(Bench) -> Pin<Box<dyn Future<Output = Outcome>>>;

/// Tests of the names `module::function`; those that need more than the shared etcd begin with the variables: `tests!["…", "…" => function, …]`.
macro_rules! tests {
    ($($name:ident),* $(,)?) => { $crate::bench::tests!["REGISTRY_TEST_ETCD" => $($name),*]; };
    ($($variable:literal),+ => $($name:ident),* $(,)?) => {
        pub(crate) fn tests() -> Vec<libtest_mimic::Trial> {
            const VARIABLES: &[&str] = &[$($variable),+];
            let module = module_path!().rsplit("::").next().unwrap_or_default();
            let name = |function| format!("{module}::{function}");
            vec![$($crate::bench::trial(VARIABLES, &name(stringify!($name)), |bench| Box::pin($name(bench)))),*]
        }
    };
}
pub(crate) use tests;

/// Runs `body` on a runtime of its own, when all these variables are set.
pub(crate) fn trial(variables: &[&'static str], name: &str, body: Body) -> Trial {
    let missing = variables.iter().find(|variable| std::env::var_os(variable).is_none()).copied();
    let required = std::env::var("REGISTRY_TEST_REQUIRE").is_ok_and(|list| list.split(',').any(|one| one == "etcd"));
    let shown = match missing {
        Some(variable) if !required => format!("{name} ({variable} is not set)"),
        _ => name.to_owned(),
    };
    let run = move || match missing {
        Some(variable) => Err(format!("{variable} is not set, and REGISTRY_TEST_REQUIRE wants etcd").into()),
        None => run(body).map_err(|error| Failed::from(error.to_string())),
    };
    Trial::test(shown, run).with_ignored_flag(missing.is_some() && !required)
}

fn run(body: Body) -> Outcome {
    let url = std::env::var("REGISTRY_TEST_ETCD")?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let door = etcd_client::Client::connect([&url], None).await?;
        body(Bench { url, prefix: fresh_prefix(), door }).await
    })
}

fn fresh_prefix() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("test/{since:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Bench {
    pub(crate) fn options(&self) -> Options {
        Options::new([self.url.as_str()]).with_prefix(&self.prefix).with_ttl(Duration::from_secs(2))
    }

    pub(crate) fn client(&self) -> Client {
        self.options().client().unwrap()
    }

    /// A new owner.
    pub(crate) async fn owner(&self) -> Owner {
        Owner::open(self.client()).await
    }

    pub(crate) fn key(&self, rest: &str) -> String {
        format!("{}/{rest}", self.prefix)
    }

    /// Value and lease under a key of the prefix.
    pub(crate) async fn raw(&self, rest: &str) -> Option<(String, i64)> {
        let got = self.door.kv_client().get(self.key(rest), None).await.unwrap();
        let entry = got.kvs().first()?;
        Some((entry.value_str().unwrap().to_owned(), entry.lease()))
    }

    /// How many keys begin with the prefix.
    pub(crate) async fn count(&self) -> i64 {
        let options = GetOptions::new().with_prefix().with_count_only();
        self.door.kv_client().get(self.key(""), Some(options)).await.unwrap().count()
    }

    /// Writes around the adapter.
    pub(crate) async fn raw_put(&self, rest: &str, value: impl Into<Vec<u8>>, lease: i64) {
        let options = PutOptions::new().with_lease(lease);
        self.door.kv_client().put(self.key(rest), value, Some(options)).await.unwrap();
    }

    pub(crate) async fn raw_delete(&self, rest: &str) {
        self.door.kv_client().delete(self.key(rest), None).await.unwrap();
    }

    pub(crate) async fn revoke(&self, owner: &Owner) {
        self.door.lease_client().revoke(owner.lease()).await.unwrap();
    }
}

/// Of sessions that nobody renews: longer than a test takes, also on a busy machine.
pub(crate) const TTL: Duration = Duration::from_secs(60);

/// One session and what it recognises as its own.
pub(crate) struct Owner {
    pub(crate) client: Client,
    pub(crate) session: Arc<dyn Session>,
    pub(crate) lineage: Lineage,
}

impl Owner {
    pub(crate) async fn open(client: Client) -> Self {
        let token = OwnerToken::random();
        let session = client.open(OpenRequest::new(TTL, 0, token.clone())).await.unwrap();
        let mut lineage = Lineage::new(token);
        lineage.add(session.id());
        Self { client, session, lineage }
    }

    /// Another session of the same owner.
    pub(crate) async fn reopen(&mut self) {
        let request = OpenRequest::new(TTL, 1, self.lineage.owner().clone());
        self.session = self.client.open(request).await.unwrap();
        self.lineage.add(self.session.id());
    }

    pub(crate) fn lease(&self) -> i64 {
        self.session.id().0.cast_signed()
    }

    pub(crate) fn record(&self, number: u32) -> Record {
        self.client.encode(&info(number)).unwrap()
    }

    pub(crate) async fn put(&self, number: u32, guard: Guard) -> Result<(), WriteError> {
        self.put_all(&[(number, guard)]).await.remove(0)
    }

    pub(crate) async fn put_all(&self, entries: &[(u32, Guard)]) -> Vec<Result<(), WriteError>> {
        let puts: Vec<_> =
            entries.iter().map(|(number, guard)| Put { record: self.record(*number), guard: *guard }).collect();
        self.session.put(&puts, &self.lineage).await
    }
}

/// The instance of this number, of the service `demo`.
pub(crate) fn info(number: u32) -> Info {
    let [_, _, high, low] = number.to_be_bytes();
    Info::builder("demo").address(format!("10.0.{high}.{low}:8888").as_str()).build().unwrap()
}

/// The key of that instance below the prefix.
pub(crate) fn place(number: u32) -> String {
    let [_, _, high, low] = number.to_be_bytes();
    format!("demo/10.0.{high}.{low}:8888")
}

/// Waits until `fact` holds.
pub(crate) async fn eventually(what: &str, mut fact: impl AsyncFnMut() -> bool) {
    for _ in 0..300 {
        if fact().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within 6 s: {what}");
}
