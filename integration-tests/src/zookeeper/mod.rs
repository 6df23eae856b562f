//! ZooKeeper servers that belong to one test: a node alone, or three that form an ensemble, and the way in around the adapter.

mod door;
mod ensemble;
mod server;
mod wire;

pub use self::door::{Acl, Node, ZooKeeperDoor};
pub use self::ensemble::ZooKeeperEnsemble;
pub use self::server::{ZooKeeperServer, Zookeeper};
