#![doc = include_str!("../README.md")]

mod client;
mod session;

use std::path::PathBuf;
use std::sync::Arc;

use registry_core::{Error, Handle, HandleOptions};

pub use self::client::Client;

/// Connects a new owner to the table in `folder`, which is made when it is not there.
///
/// # Errors
/// `InvalidInput` for an option that cannot work; otherwise what kept the first session from standing, within the operation timeout.
///
/// # Panics
/// When called outside a tokio runtime.
pub async fn connect(folder: impl Into<PathBuf>, options: HandleOptions) -> Result<Handle, Error> {
    Handle::open(Arc::new(Client::new(folder)), options).await
}
