#![doc = include_str!("../README.md")]

mod check;
mod client;
mod config;
mod definition;
mod entries;
#[cfg(test)]
mod fake;
mod options;
mod owned;
mod session;
mod transport;
mod view;

use std::sync::Arc;

pub use registry_core::{
    Error, Handle, HandleOptions, Info, Instance, Material, Registry, Resolver, Secret, ServiceName, Snapshot, Tls,
    Watch,
};

pub use self::check::{AgentCheck, Check};
pub use self::client::Client;
pub use self::options::{Consistency, DEFAULT_TTL, DEFAULT_WAIT, Options};

/// Connects a new owner to a Consul agent.
///
/// # Errors
/// `InvalidInput` for an option that cannot work; otherwise what kept the first session from standing, within the operation timeout: `Unreachable`,
/// `TimedOut`, `Denied` (a token that Consul does not know) or `Misconfigured` (TLS, certificates, files). With [`HandleOptions::lazy`] the agent may be
/// away.
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
