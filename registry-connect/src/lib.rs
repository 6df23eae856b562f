// The README's program needs a backend.
#![cfg_attr(any(feature = "memory", not(doctest)), doc = include_str!("../README.md"))]

mod backends;
mod connector;
mod options;
mod settings;
mod suggest;
mod url;

/// The Consul backend's own crate, with what a URL cannot say.
#[cfg(feature = "consul")]
pub use registry_consul as consul;
/// The life cycle of a server, from its bound listener to its last request.
pub use registry_core::server;
pub use registry_core::{
    Address, Change, Difference, Error, ErrorKind, Handle, HandleOptions, HandleState, HandleStatus, Info, InfoBuilder,
    Instance, InvalidField, Material, NoInstance, NotReady, NotServing, Outcome, RegistrationState, RegistrationStatus,
    Registry, Resolver, Secret, ServiceName, ServiceRegistry, Snapshot, SnapshotRef, Stale, Trouble, Watch,
};
/// The etcd backend's own crate, with what a URL cannot say.
#[cfg(feature = "etcd")]
pub use registry_etcd as etcd;
/// The memory backend's own crate, with what a URL cannot say.
#[cfg(feature = "memory")]
pub use registry_memory as memory;
/// The ZooKeeper backend's own crate, with what a URL cannot say.
#[cfg(feature = "zookeeper")]
pub use registry_zookeeper as zookeeper;

#[cfg(feature = "zookeeper")]
pub use self::backends::zookeeper_options;
pub use self::connector::{Backend, Connector, Opening};
pub use self::options::{OPTIONS, UrlOption, ValueKind};
pub use self::settings::Settings;
pub use self::url::{Host, Url};

/// Connects to the store that `url` names, on the runtime that this is called on: one value that is [`Registry`] and [`Resolver`].
///
/// ```
/// # #[cfg(feature = "memory")]
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), registry_connect::Error> {
/// use registry_connect::Registry;
///
/// let registry = registry_connect::connect("memory://demo?ttl=3s").await?;
/// assert!(registry.is_ready().is_ok());
/// registry.close().await
/// # }
/// # #[cfg(not(feature = "memory"))] fn main() {}
/// ```
///
/// # Errors
/// `InvalidInput` on the part or key of the URL that cannot be, with the schemes or keys that there are; otherwise what kept the first session
/// from standing, within the operation timeout. With `lazy=true` the store may be away.
///
/// # Cancel safety
/// Dropping the future leaves nothing running.
pub async fn connect(url: &str) -> Result<Handle, Error> {
    Connector::new().connect(url).await
}
