//! volo-http servers and a volo-http client that finds them in the registry: one server leaves under load, and no request fails.
//!
//! ```text
//! cargo run -p registry-examples --bin volo            # a registry in this process
//! cargo run -p registry-examples --bin volo -- URL     # any other that is compiled in
//! ```
#![allow(clippy::print_stdout, reason = "a program that shows a person what happens")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use registry_connect::server::{Server, ServerBasicInfo, Stopper};
use registry_connect::{Info, Registry, Resolver, ServiceName, connect};
use registry_volo::RegistryDiscover;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use volo::loadbalance::random::WeightedRandomBalance;
use volo_http::ClientBuilder;
use volo_http::body::BodyConversion as _;
use volo_http::client::Client;
use volo_http::server::route::{Router, get};

/// The name in the registry, and the host of the URLs that the client calls.
const SERVICE: &str = "volo";

/// Short, because every client of this program hears of changes at once, or half a second later on ZooKeeper. Servers in production keep the default of 7 s.
const DRAIN: Duration = Duration::from_secs(2);

/// Between two calls: a steady load that leaves the machine to others, too.
const PAUSE: Duration = Duration::from_millis(1);

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory://volo".to_owned());
    let registry = connect(&url).await?;
    let watch = registry.watch(&ServiceName::new(SERVICE)?)?;
    let red = start(&url, "red", 10).await?;
    let blue = start(&url, "blue", 30).await?;
    watch.ready(2, Duration::from_secs(5)).await?;
    let client = ClientBuilder::new()
        .load_balance(WeightedRandomBalance::new())
        .discover(RegistryDiscover::new(registry.clone()))
        .build()?;

    println!("-- both are called, in proportion to their weights");
    println!("   {:?}", call_for(&client, Duration::from_millis(500)).await?);

    println!("-- blue is told to stop, under load");
    blue.stopper.stop();
    println!("   {:?}", call_for(&client, DRAIN + Duration::from_secs(1)).await?);
    blue.serving.await??;

    println!("-- red alone is left");
    let answers = call_for(&client, Duration::from_millis(200)).await?;
    println!("   {answers:?}");
    if answers.contains_key("blue") {
        return Err("blue answered after it had stopped".into());
    }
    red.stopper.stop();
    red.serving.await??;
    registry.close().await?;
    println!("\nNo request failed.");
    Ok(())
}

struct Running {
    stopper: Stopper,
    serving: JoinHandle<Result<(), Failure>>,
}

/// Starts a server on a free port; it is registered when this returns.
async fn start(url: &str, name: &'static str, weight: u32) -> Result<Running, Failure> {
    let listener = TcpListener::bind("0.0.0.0:0").await?;
    let server = Server::new()
        .with_registry(connect(url).await?)
        .with_server_basic_info(ServerBasicInfo::new(SERVICE).with_tag("name", name))
        .with_registry_info(Info::builder("").weight(weight))
        .with_listener(&listener)
        .with_drain(DRAIN);
    let (stopper, readiness) = (server.stopper(), server.readiness());
    let app: Router = Router::new().route("/", get(async move || name));
    let serving = tokio::spawn(async move { Ok(server.run(|stop| registry_volo::serve(app, listener, stop)).await??) });
    if !readiness.serving().await {
        serving.await??;
        return Err("the server ended before it was registered".into());
    }
    Ok(Running { stopper, serving })
}

/// Calls for this long; who answered how often. The first failure ends it.
async fn call_for(client: &Client, time: Duration) -> Result<BTreeMap<String, u32>, Failure> {
    let (began, mut answers) = (Instant::now(), BTreeMap::new());
    while began.elapsed() < time {
        let answer = client.get(format!("http://{SERVICE}/")).send().await?;
        *answers.entry(answer.into_string().await?).or_default() += 1;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(answers)
}
