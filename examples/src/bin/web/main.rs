//! axum servers and a hyper client: one server leaves under load, and no request fails.
//!
//! ```text
//! cargo run -p registry-examples --bin web            # a registry in this process
//! cargo run -p registry-examples --bin web -- URL     # any other that is compiled in
//! ```
#![allow(clippy::print_stdout, reason = "a program that shows a person what happens")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use registry_connect::server::{Server, ServerBasicInfo, Stopper};
use registry_connect::{Info, Registry, Resolver, ServiceName, Watch, connect};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const SERVICE: &str = "web";

/// Short, because every client of this program hears of changes at once, or half a second later on ZooKeeper. Servers in production keep the default of 7 s.
const DRAIN: Duration = Duration::from_secs(2);

/// Between two calls: a steady load that leaves the machine to others, too.
const PAUSE: Duration = Duration::from_millis(1);

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory://web".to_owned());
    let registry = connect(&url).await?;
    let watch = registry.watch(&ServiceName::new(SERVICE)?)?;
    let red = start(&url, "red", 10).await?;
    let blue = start(&url, "blue", 30).await?;
    watch.ready(2, Duration::from_secs(5)).await?;

    println!("-- both are called, in proportion to their weights");
    println!("   {:?}", call_for(&watch, Duration::from_millis(500)).await?);

    println!("-- blue is told to stop, and is called until it is out of the watch");
    blue.stopper.stop();
    println!("   {:?}", call_for(&watch, DRAIN + Duration::from_secs(1)).await?);
    blue.serving.await??;

    println!("-- red alone is left");
    let answers = call_for(&watch, Duration::from_millis(200)).await?;
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

/// Starts a server on a free port; it is registered when this returns, and `/ready` says so, too.
async fn start(url: &str, name: &'static str, weight: u32) -> Result<Running, Failure> {
    let listener = TcpListener::bind("0.0.0.0:0").await?;
    let server = Server::new()
        .with_registry(connect(url).await?)
        .with_server_basic_info(ServerBasicInfo::new(SERVICE).with_tag("name", name))
        .with_registry_info(Info::builder("").weight(weight))
        .with_listener(&listener)
        .with_drain(DRAIN);
    let (stopper, readiness) = (server.stopper(), server.readiness());
    let probe = readiness.clone();
    let ready = async move || match probe.is_ready() {
        Ok(()) => (axum::http::StatusCode::OK, "ready".to_owned()),
        Err(cause) => (axum::http::StatusCode::SERVICE_UNAVAILABLE, cause.to_string()),
    };
    let app = axum::Router::new()
        .route("/", axum::routing::get(async move || name))
        .route("/ready", axum::routing::get(ready));
    let serving = tokio::spawn(async move {
        let run = server.run(async |stop| axum::serve(listener, app).with_graceful_shutdown(stop).await);
        Ok(run.await??)
    });
    if !readiness.serving().await {
        serving.await??;
        return Err("the server ended before it was registered".into());
    }
    Ok(Running { stopper, serving })
}

/// Calls for this long, each time whom the newest snapshot picks; who answered how often. The first failure ends it.
async fn call_for(watch: &Watch, time: Duration) -> Result<BTreeMap<String, u32>, Failure> {
    let client: Client<HttpConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let (began, mut answers) = (Instant::now(), BTreeMap::new());
    while began.elapsed() < time {
        let address = watch.latest().pick()?.address().clone();
        let answer = client.get(format!("http://{address}/").parse()?).await;
        let answer = answer.map_err(|error| format!("{address}: {error:?}; listed: {:?}", watch.latest()))?;
        let name = answer.into_body().collect().await?.to_bytes();
        *answers.entry(String::from_utf8_lossy(&name).into_owned()).or_default() += 1;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(answers)
}
