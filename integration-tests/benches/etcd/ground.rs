//! What all rows share: a server, a runtime on this thread, instances, and how a row is printed.

use std::time::Duration;

use futures_util::future::join_all;
use integration_tests::EtcdServer;
use registry_core::{Handle, Info, Registry, ServiceName};
use registry_etcd::{Options, connect};
use tokio::runtime::Runtime;

/// Of the large service, and of the registrations of one handle.
pub(crate) const INSTANCES: usize = 10_000;

pub(crate) type Failure = Box<dyn std::error::Error>;

pub(crate) fn rounds() -> usize {
    let wanted = std::env::var("REGISTRY_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(7).max(7)
}

/// A server of one group of rows.
pub(crate) struct Ground {
    pub(crate) runtime: Runtime,
    pub(crate) server: EtcdServer,
}

impl Ground {
    pub(crate) fn new() -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = runtime.block_on(EtcdServer::start())?;
        Ok(Self { runtime, server })
    }

    pub(crate) fn options(&self) -> Options {
        Options::new([self.server.address().to_string()])
    }

    pub(crate) async fn handle(&self) -> Result<Handle, Failure> {
        Ok(connect(self.options()).await?)
    }
}

/// All calls at once.
pub(crate) async fn register_all(owner: &Handle, infos: &[Info]) -> Result<(), Failure> {
    join_all(infos.iter().map(|info| owner.register(info))).await.into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok(())
}

pub(crate) fn infos() -> Vec<Info> {
    (0..INSTANCES).map(|number| info(number, 10)).collect()
}

pub(crate) fn service() -> ServiceName {
    ServiceName::new("demo").expect("a valid name")
}

pub(crate) fn info(number: usize, weight: u32) -> Info {
    let address = format!("10.{}.{}.{}:8888", number >> 16 & 255, number >> 8 & 255, number & 255);
    Info::builder("demo").address(address).weight(weight).tag("idc", "hd1").build().expect("valid")
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The value below which this share of them lies.
pub(crate) fn percentile(times: &[Duration], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort();
    let place = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted[place].as_secs_f64()
}

/// Prints a row of pairs: ours, and the floor of the same round.
pub(crate) fn row(what: &str, pairs: &[(f64, f64)], show: impl Fn(f64) -> String, goal: &str) {
    let (ours, floor): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let mut ratios: Vec<f64> = pairs.iter().map(|(ours, floor)| ours / floor).collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "| {what} | {} | {} | {:.2} ({:.2} to {:.2}) | {goal} |",
        show(median(&ours)),
        show(median(&floor)),
        median(&ratios),
        ratios[0],
        ratios[ratios.len() - 1]
    );
}

pub(crate) fn time(seconds: f64) -> String {
    format!("{:.1?}", Duration::from_secs_f64(seconds))
}
