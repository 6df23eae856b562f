//! Consul servers that belong to one test, and a way in around the adapter.

mod cluster;
mod door;
mod server;

pub use self::cluster::ConsulCluster;
pub use self::door::{Answer, Door};
pub(crate) use self::server::ROOT_TOKEN;
pub use self::server::{Consul, ConsulServer};
