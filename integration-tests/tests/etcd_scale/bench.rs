//! A server of one test, a runtime on the test's thread, and what is allocated there.

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_client::{Client, GetOptions};
use integration_tests::EtcdServer;
use integration_tests::environment::{Availability, Backend};
use libtest_mimic::{Completion, Failed, Trial};
use registry_core::{Handle, Info, ServiceName};
use registry_etcd::{DEFAULT_PREFIX, Options, connect};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::Outcome;

/// How long anything may take that has no bound of its own: a debug build on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How many times larger everything is.
const SCALE: &str = "REGISTRY_TEST_SCALE";

pub(crate) struct Bench {
    pub(crate) runtime: Runtime,
    pub(crate) server: EtcdServer,
    scale: usize,
}

/// What stands in the store for an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) weight: u32,
    pub(crate) lease: i64,
}

pub(crate) fn trial(name: &str, body: fn(&Bench) -> Outcome) -> Trial {
    Trial::ignorable_test(format!("etcd::{name}"), move || match Backend::Etcd.availability() {
        Availability::Ready => {
            let ran = Bench::new().and_then(|bench| body(&bench));
            ran.map(|()| Completion::Completed).map_err(|error| Failed::from(error.to_string()))
        }
        Availability::Ignored(reason) => Ok(Completion::ignored_with(reason)),
        Availability::Failed(reason) => Err(Failed::from(reason)),
    })
}

impl Bench {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let scale = match std::env::var(SCALE) {
            Ok(text) => text.parse().map_err(|_| format!("{SCALE} is {text:?}: give a whole number"))?,
            Err(_) => 1,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = runtime.block_on(EtcdServer::start())?;
        Ok(Self { runtime, server, scale })
    }

    /// So many, or a multiple.
    pub(crate) fn scaled(&self, count: usize) -> usize {
        count * self.scale
    }

    pub(crate) fn options(&self) -> Options {
        Options::new([self.server.address().to_string()])
    }

    pub(crate) fn connect(&self) -> Result<Handle, registry_core::Error> {
        self.runtime.block_on(connect(self.options()))
    }

    /// Runs something, and returns what it had allocated at most beside what stood before, in bytes.
    pub(crate) fn counted<T>(&self, work: impl Future<Output = T>) -> (T, usize) {
        let mut result = None;
        let counted = allocation_counter::measure(|| result = Some(self.runtime.block_on(work)));
        let peak = usize::try_from(counted.bytes_max).expect("invariant: it fitted into memory");
        (result.expect("invariant: it was run"), peak)
    }

    /// What stands in the store under a service, around the adapter, by address.
    pub(crate) async fn stored(&self, service: &str) -> Result<BTreeMap<String, Entry>, etcd_client::Error> {
        let mut door =
            Client::connect([self.server.url()], None).await?.kv_client().max_decoding_message_size(usize::MAX);
        let folder = format!("{DEFAULT_PREFIX}/{service}/");
        let read = door.get(&*folder, Some(GetOptions::new().with_prefix())).await?;
        let entry = |entry: &etcd_client::KeyValue| {
            let value: Value = serde_json::from_slice(entry.value()).expect("an entry is JSON");
            let weight = value["weight"].as_u64().and_then(|weight| u32::try_from(weight).ok());
            let address = String::from_utf8_lossy(&entry.key()[folder.len()..]).into_owned();
            (address, Entry { weight: weight.expect("an entry has a weight"), lease: entry.lease() })
        };
        Ok(read.kvs().iter().map(entry).collect())
    }
}

pub(crate) fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("invariant: a valid name")
}

/// The instance of this number, with a tag of so many bytes.
pub(crate) fn info(service: &str, number: usize, weight: u32, tag: usize) -> Info {
    let address = format!("10.{}.{}.{}:8888", number >> 16 & 255, number >> 8 & 255, number & 255);
    let info = Info::builder(service).address(address).weight(weight).tag("fill", "x".repeat(tag));
    info.build().expect("invariant: all fields are valid")
}
