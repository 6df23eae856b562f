//! What the tests stand on: a service of its own each, and a back door to the agent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use integration_tests::standings;
use libtest_mimic::{Failed, Trial};
use registry_consul::{Client, Options};
use registry_core::store::{
    Guard, Lineage, OpenRequest, OwnerToken, Put, Record, Removed, Session, Standing, Store, WriteError,
};
use registry_core::{Info, ServiceName};

use crate::door::Door;

/// The TTL of the tests' owners.
pub(crate) const TTL: Duration = Duration::from_secs(3);

/// What every test is given.
pub(crate) struct Bench {
    pub(crate) url: String,
    /// A name that no other test has.
    pub(crate) service: ServiceName,
    pub(crate) door: Door,
}

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;
pub(crate) type Body = fn(Bench) -> Pin<Box<dyn Future<Output = Outcome>>>;

/// Tests of the names `module::function`; those that need more than the shared agent begin with the variables: `tests!["…", "…" => function, …]`.
macro_rules! tests {
    ($($name:ident),* $(,)?) => { $crate::bench::tests!["REGISTRY_TEST_CONSUL" => $($name),*]; };
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
    let required = std::env::var("REGISTRY_TEST_REQUIRE").is_ok_and(|list| list.split(',').any(|one| one == "consul"));
    let shown = match missing {
        Some(variable) if !required => format!("{name} ({variable} is not set)"),
        _ => name.to_owned(),
    };
    let run = move || match missing {
        Some(variable) => Err(format!("{variable} is not set, and REGISTRY_TEST_REQUIRE wants consul").into()),
        None => run(body).map_err(|error| Failed::from(error.to_string())),
    };
    Trial::test(shown, run).with_ignored_flag(missing.is_some() && !required)
}

fn run(body: Body) -> Outcome {
    let url = std::env::var("REGISTRY_TEST_CONSUL")?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let bench = Bench { door: Door::new(&url), url, service: fresh_service().try_into()? };
        body(bench).await
    })
}

fn fresh_service() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("test-{since:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Bench {
    pub(crate) fn options(&self) -> Options {
        Options::new(&self.url).with_ttl(TTL)
    }

    pub(crate) fn client(&self) -> Client {
        self.options().client().unwrap()
    }

    /// A new owner.
    pub(crate) async fn owner(&self) -> Owner {
        self.owner_with(self.client()).await
    }

    pub(crate) async fn owner_with(&self, client: Client) -> Owner {
        let token = OwnerToken::random();
        let session = client.open(OpenRequest::new(TTL, 0, token.clone())).await.unwrap();
        let mut lineage = Lineage::new(token);
        lineage.add(session.id());
        Owner { client, session, lineage, service: self.service.clone() }
    }

    /// The instance of this number.
    pub(crate) fn info(&self, number: u32) -> Info {
        info(&self.service, number)
    }

    /// Its id at the agent.
    pub(crate) fn id(&self, number: u32) -> String {
        format!("{}:{}:8888", self.service, host(number))
    }
}

/// One session and what it recognises as its own.
pub(crate) struct Owner {
    pub(crate) client: Client,
    pub(crate) session: Arc<dyn Session>,
    pub(crate) lineage: Lineage,
    service: ServiceName,
}

impl Owner {
    pub(crate) fn token(&self) -> &str {
        self.lineage.owner().as_str()
    }

    pub(crate) fn record(&self, number: u32) -> Record {
        self.client.encode(&info(&self.service, number)).unwrap()
    }

    pub(crate) async fn put(&self, number: u32, guard: Guard) -> Result<(), WriteError> {
        self.put_record(self.record(number), guard).await
    }

    pub(crate) async fn put_record(&self, record: Record, guard: Guard) -> Result<(), WriteError> {
        self.session.put(&[Put { record, guard }], &self.lineage).await.remove(0)
    }

    pub(crate) async fn remove(&self, number: u32) -> Removed {
        self.session.remove(&[self.record(number)], &self.lineage).await.remove(0).unwrap()
    }

    pub(crate) async fn inspect(&self, number: u32) -> Standing {
        standings(&*self.session, &[self.record(number)], &self.lineage).await.remove(0)
    }

    /// Beats for one entry; whether core is told to look at it.
    pub(crate) async fn beat(&self, number: u32) -> bool {
        !self.session.renew(&[self.record(number)]).await.unwrap().is_empty()
    }
}

fn host(number: u32) -> String {
    let [_, _, high, low] = number.to_be_bytes();
    format!("10.0.{high}.{low}")
}

fn info(service: &ServiceName, number: u32) -> Info {
    Info::builder(service.as_str()).address(format!("{}:8888", host(number)).as_str()).build().unwrap()
}
