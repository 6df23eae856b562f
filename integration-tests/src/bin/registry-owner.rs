//! One owner in a process of its own, for tests that freeze and kill it.
//!
//! `registry-owner URL SERVICE ADDRESS` announces the instance and prints a line at each change of its status: `registration: …`. On the line
//! `close` it closes its handle and ends with 0, or with 1 when that failed. When its standard input ends it ends at once, without
//! `close`: a crash.

use std::error::Error;
use std::io::Write as _;

use registry_connect::{Info, Registry as _, connect};
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, service, address] = &arguments[..] else {
        return Err("usage: registry-owner URL SERVICE ADDRESS".into());
    };
    let info = Info::builder(service.as_str()).address(address.as_str()).build()?;
    let registry = connect(url).await?;
    registry.announce(&info)?;
    let mut status = loop {
        match registry.registration(&info) {
            Some(status) => break status,
            // The handle takes note of it when its task runs.
            None => tokio::task::yield_now().await,
        }
    };
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    tell(&status.borrow_and_update().to_string());
    loop {
        tokio::select! {
            changed = status.changed() => {
                changed?;
                tell(&status.borrow_and_update().to_string());
            }
            order = orders.next_line() => match order?.as_deref() {
                Some("close") => return Ok(registry.close().await?),
                Some(_) => {}
                // Nobody needs us any more.
                None => std::process::exit(2),
            }
        }
    }
}

fn tell(status: &str) {
    // Who listened may have gone; standard input tells that, too.
    let _ = writeln!(std::io::stdout(), "registration: {status}");
}
