//! The main job of a registry, from the first register to the last removal, with real TCP servers on this machine.
//!
//! ```text
//! cargo run -p quickstart            # a registry in this process
//! cargo run -p quickstart -- URL     # any other that is compiled in
//! ```
//!
//! Three servers register with weights and tags. A client watches them and calls them in proportion to their weights; one changes its weight, one
//! leaves, one crashes. Every step is checked: a wrong outcome ends the program with an exit code other than zero.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that shows a person what happens")]

mod client;
mod server;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use registry_connect::{Registry, Resolver, ServiceName, connect};

use crate::client::Client;
use crate::server::Server;

/// Three seconds, so that the crash is over soon. Servers in production keep the default of 15 s.
const DEFAULT_URL: &str = "memory://quickstart?ttl=3s";

/// How long a change may take to be seen. On most stores it takes milliseconds.
const SOON: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let url = std::env::args().nth(1).unwrap_or_else(|| DEFAULT_URL.to_owned());
    match tokio::time::timeout(Duration::from_secs(90), run(&url)).await {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("\nWRONG: {error}");
            ExitCode::FAILURE
        }
        Err(_) => {
            eprintln!("\nWRONG: not done within 90 s");
            ExitCode::FAILURE
        }
    }
}

async fn run(url: &str) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let service = ServiceName::new("greeter")?;

    title("three servers start, each with a registry handle of its own");
    let red = Server::start(url, &service, "red", 10).await?;
    let mut green = Server::start(url, &service, "green", 20).await?;
    let blue = Server::start(url, &service, "blue", 30).await?;

    title("a client finds them through a watch");
    let registry = connect(url).await?;
    let ttl = registry.options().ttl;
    let mut client = Client::new(registry.watch(&service)?);
    client.expect(&["red", "green", "blue"], SOON).await?;

    title("it calls them in proportion to their weights");
    client.call_in_proportion(&[("red", 10), ("green", 20), ("blue", 30)]).await?;

    title("green changes its weight from 20 to 80");
    green.change_weight(80).await?;
    client.expect_weight("green", 80, SOON).await?;
    client.call_in_proportion(&[("red", 10), ("green", 80), ("blue", 30)]).await?;

    title("blue leaves: it deregisters first, and stops accepting when no client knows it any more");
    blue.leave().await?;
    client.expect(&["red", "green"], SOON).await?;
    client.call_in_proportion(&[("red", 10), ("green", 80)]).await?;
    blue.stop().await?;

    title("red crashes: nobody deregisters it, so that its entry stands until its TTL is over");
    let crash = Instant::now();
    red.crash();
    let refused = client.call_around_the_dead("red").await?;
    println!("   {refused} calls were refused by red's port, and green answered them instead");
    client.expect(&["green"], 2 * ttl + SOON).await?;
    let gone = crash.elapsed();
    println!("   gone {:.1} s after the crash, with a TTL of {ttl:?}", gone.as_secs_f64());
    if gone < ttl / 2 {
        return Err(format!("red was gone {gone:?} after the crash, before half of its TTL was over").into());
    }
    client.call_in_proportion(&[("green", 80)]).await?;

    title("everybody goes home");
    green.leave().await?;
    client.expect(&[], SOON).await?;
    green.stop().await?;
    let left = registry.resolve(&service).await?;
    if !left.is_empty() {
        return Err(format!("the registry still has {left:?}").into());
    }
    registry.close().await?;
    println!("\nAll as expected, in {:.1} s.", started.elapsed().as_secs_f64());
    Ok(())
}

fn title(text: &str) {
    println!("\n-- {text}");
}
