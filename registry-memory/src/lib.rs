#![doc = include_str!("../README.md")]

mod client;
mod link;
mod namespace;
mod options;
mod session;
mod state;
mod store;
mod view;
mod wait;

use std::sync::Arc;

pub use registry_core::{
    Error, Handle, HandleOptions, Info, Instance, Registry, Resolver, ServiceName, Snapshot, Watch,
};

pub use self::client::Client;
pub use self::link::{Access, Fault, Link};
pub use self::options::Options;
pub use self::store::{MemoryStore, RawEntry, Usage};

/// Connects a new owner to a store in this process.
///
/// # Errors
/// `InvalidInput` for an option that cannot work; otherwise what kept the first session from standing, within the operation timeout.
///
/// # Panics
/// When called outside a tokio runtime.
pub async fn connect(options: Options) -> Result<Handle, Error> {
    let client = options.client()?;
    Handle::open(Arc::new(client), options.handle).await
}
