//! One program on each backend's own crate, without the facade: what differs is one `use` line and the options.
//!
//! ```text
//! cargo run -p registry-examples --bin any_backend                                              # memory
//! cargo run -p registry-examples --bin any_backend --features etcd -- etcd 127.0.0.1:2379       # also zookeeper, consul
//! ```

#[cfg(feature = "consul")]
mod on_consul;
#[cfg(feature = "etcd")]
mod on_etcd;
mod on_memory;
#[cfg(feature = "zookeeper")]
mod on_zookeeper;

use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next().as_deref()) {
        (None | Some("memory"), _) => on_memory::main().await,
        #[cfg(feature = "etcd")]
        (Some("etcd"), address) => on_etcd::main(address.unwrap_or("127.0.0.1:2379")).await,
        #[cfg(feature = "zookeeper")]
        (Some("zookeeper"), address) => on_zookeeper::main(address.unwrap_or("127.0.0.1:2181")).await,
        #[cfg(feature = "consul")]
        (Some("consul"), address) => on_consul::main(address.unwrap_or("127.0.0.1:8500")).await,
        (Some(other), _) => Err(format!(
            "`{other}` is no backend here: memory, and etcd, zookeeper and consul with the Cargo feature of that name"
        )
        .into()),
    }
}
