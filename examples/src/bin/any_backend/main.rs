//! One program on each backend's own crate, without the facade: what differs is one `use` line and the options.

#[cfg(feature = "etcd")]
mod on_etcd;
mod on_memory;

use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None | Some("memory"), _) => on_memory::main().await,
        #[cfg(feature = "etcd")]
        (Some("etcd"), endpoint) => on_etcd::main(endpoint.as_deref().unwrap_or("127.0.0.1:2379")).await,
        (Some(other), _) => {
            Err(format!("`{other}` is no backend here: memory, and with the Cargo feature `etcd`, etcd").into())
        }
    }
}
