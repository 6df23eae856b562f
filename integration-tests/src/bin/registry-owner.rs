//! One owner in a process of its own, for tests that freeze and kill it.
//!
//! `registry-owner URL SERVICE ADDRESS [FIELD=VALUE…]` announces the instance and prints a line at each change of its status:
//! `registration: …`. On the line `close` it closes its handle and ends with 0, or with 1 when that failed. When its standard input ends it
//! ends at once, without `close`: a crash.
//!
//! The fields are `weight`, `payload_codec`, `warm_up` (milliseconds), `start_time` (milliseconds since 1970) and `tag.KEY`.

use std::error::Error;
use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use registry_connect::{Info, Registry as _, connect};
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, service, address, fields @ ..] = &arguments[..] else {
        return Err("usage: registry-owner URL SERVICE ADDRESS [FIELD=VALUE…]".into());
    };
    let info = instance(service, address, fields)?;
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

fn instance(service: &str, address: &str, fields: &[String]) -> Result<Info, Box<dyn Error>> {
    let mut info = Info::builder(service).address(address);
    for field in fields {
        let (name, value) = field.split_once('=').ok_or_else(|| format!("`{field}` is no FIELD=VALUE"))?;
        info = match (name, name.strip_prefix("tag.")) {
            (_, Some(key)) => info.tag(key, value),
            ("weight", _) => info.weight(value.parse()?),
            ("payload_codec", _) => info.payload_codec(value),
            ("warm_up", _) => info.warm_up(Duration::from_millis(value.parse()?)),
            ("start_time", _) => info.start_time(UNIX_EPOCH + Duration::from_millis(value.parse()?)),
            _ => return Err(format!("`{name}` is no field of an instance").into()),
        };
    }
    Ok(info.build()?)
}

fn tell(status: &str) {
    // Who listened may have gone; standard input tells that, too.
    let _ = writeln!(std::io::stdout(), "registration: {status}");
}
