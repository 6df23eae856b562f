#![doc = include_str!("../README.md")]

mod client;
mod config;
mod entries;
mod options;
mod prefix;
mod session;
mod transport;
mod view;

use std::sync::Arc;

pub use registry_core::{
    Error, Handle, HandleOptions, Info, Instance, Material, Registry, Resolver, Secret, ServiceName, Snapshot, Tls,
    Watch,
};

pub use self::client::Client;
pub use self::options::Options;
pub use self::prefix::DEFAULT_PREFIX;

/// Connects a new owner to etcd.
///
/// # Errors
/// `InvalidInput` for an option that cannot work; otherwise what kept the first session from standing, within the operation timeout: `Unreachable`,
/// `TimedOut`, `Denied` (user, password, permissions) or `Misconfigured` (TLS, certificates, files). With [`HandleOptions::lazy`] etcd may be away.
///
/// # Cancel safety
/// Dropping the future leaves nothing running.
///
/// # Panics
/// When called outside a tokio runtime.
pub async fn connect(options: Options) -> Result<Handle, Error> {
    let client = options.client()?;
    Handle::open(Arc::new(client), options.handle).await
}
