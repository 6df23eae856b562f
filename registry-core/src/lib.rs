//! Service registry and discovery for Rust, whatever store is behind it.
//!
//! Depend on this crate when you write an adapter, a wrapper, or a library that takes any registry. A program depends on one backend crate
//! (`registry-memory`, `registry-etcd`, …) or on the facade `registry-connect`, which re-export what they need from here.
//!
//! | you want to | look at |
//! |---|---|
//! | register a server | [`Registry`], [`Info`] |
//! | run a server from listener to drained | [`server`] |
//! | find servers | [`Resolver`], [`Snapshot`], [`Watch`] |
//! | write an adapter | [`store`], [`Handle`] |
//! | know what is promised | [`contract`] |

pub mod contract;
pub mod metrics;
pub mod server;
pub mod store;

mod address;
mod backoff;
mod error;
mod handle;
mod info;
mod instance;
mod keeper;
mod name;
mod quota;
mod registry;
mod resolver;
mod secret;
mod snapshot;
mod status;
mod tls;
mod watch;
mod watcher;

pub use self::address::Address;
pub use self::error::{Error, ErrorKind, InvalidField, Outcome};
pub use self::handle::{Handle, HandleOptions};
pub use self::info::{DEFAULT_WEIGHT, Info, InfoBuilder, MAX_ENTRY};
pub use self::instance::Instance;
pub use self::name::{MAX_SERVICE_NAME, ServiceName};
pub use self::registry::{Registry, ServiceRegistry};
pub use self::resolver::Resolver;
pub use self::secret::{Material, Secret};
pub use self::snapshot::{Difference, NoInstance, Snapshot, Stale};
pub use self::status::{HandleState, HandleStatus, NotServing, RegistrationState, RegistrationStatus, Trouble};
pub use self::tls::{Tls, TlsTexts};
pub use self::watch::{Change, NotReady, Publisher, SnapshotRef, Watch, WeakWatch};
