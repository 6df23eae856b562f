//! etcd servers that belong to one test: a node alone, or three that form a cluster.

mod cluster;
mod server;

pub use self::cluster::EtcdCluster;
pub use self::server::{Etcd, EtcdServer};
