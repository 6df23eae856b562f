//! tonic servers and a client whose channel follows the registry: one server leaves under load, and no request fails.
//!
//! ```text
//! cargo run -p registry-examples --bin grpc            # a registry in this process
//! cargo run -p registry-examples --bin grpc -- URL     # any other that is compiled in
//! ```
//!
//! The service is gRPC's own health check, so that nothing is generated here.
#![allow(clippy::print_stdout, reason = "a program that shows a person what happens")]

use std::error::Error;
use std::time::{Duration, Instant};

use registry_connect::server::{Server, ServerBasicInfo, Stopper};
use registry_connect::{Registry, Resolver, ServiceName, connect};
use registry_tower::Channel;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const SERVICE: &str = "grpc";

/// Short, because every client of this program hears of changes at once, or half a second later on ZooKeeper. Servers in production keep the default of 7 s.
const DRAIN: Duration = Duration::from_secs(2);

/// Between two calls: a steady load that leaves the machine to others, too.
const PAUSE: Duration = Duration::from_millis(1);

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory://grpc".to_owned());
    let registry = connect(&url).await?;
    let channel = Channel::new(registry.watch(&ServiceName::new(SERVICE)?)?);
    let (first, second) = (start(&url).await?, start(&url).await?);

    println!("-- two servers are called");
    println!("   {} calls", call_for(&channel, Duration::from_millis(500)).await?);

    println!("-- one is told to stop, under load");
    second.stopper.stop();
    println!("   {} calls", call_for(&channel, DRAIN + Duration::from_secs(1)).await?);
    second.serving.await??;
    println!("   the channel goes to {:?}", channel.addresses());

    first.stopper.stop();
    first.serving.await??;
    registry.close().await?;
    println!("\nNo request failed.");
    Ok(())
}

struct Running {
    stopper: Stopper,
    serving: JoinHandle<Result<(), Failure>>,
}

/// Starts a server on a free port; it is registered when this returns.
async fn start(url: &str) -> Result<Running, Failure> {
    let listener = TcpListener::bind("0.0.0.0:0").await?;
    let server = Server::new()
        .with_registry(connect(url).await?)
        .with_server_basic_info(ServerBasicInfo::new(SERVICE).with_payload_codec("protobuf"))
        .with_listener(&listener)
        .with_drain(DRAIN);
    let (stopper, readiness) = (server.stopper(), server.readiness());
    let serving = tokio::spawn(async move {
        let (_, health) = tonic_health::server::health_reporter();
        let serve = async |stop| {
            let incoming = TcpIncoming::from(listener);
            tonic::transport::Server::builder().add_service(health).serve_with_incoming_shutdown(incoming, stop).await
        };
        Ok(server.run(serve).await??)
    });
    if !readiness.serving().await {
        serving.await??;
        return Err("the server ended before it was registered".into());
    }
    Ok(Running { stopper, serving })
}

/// Calls for this long; how often. The first failure ends it.
async fn call_for(channel: &Channel, time: Duration) -> Result<u32, Failure> {
    let (began, mut calls) = (Instant::now(), 0);
    let mut client = HealthClient::new(channel.clone());
    while began.elapsed() < time {
        client.check(HealthCheckRequest::default()).await?;
        calls += 1;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(calls)
}
