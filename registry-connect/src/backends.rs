//! The backends of this workspace, each behind its Cargo feature.

use crate::connector::Backend;

#[cfg(feature = "consul")]
mod consul;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(feature = "memory")]
mod memory;
#[cfg(feature = "zookeeper")]
mod zookeeper;

#[cfg(feature = "zookeeper")]
pub use self::zookeeper::options as zookeeper_options;

/// The backends that are compiled in.
pub(crate) fn compiled_in() -> Vec<Backend> {
    vec![
        #[cfg(feature = "consul")]
        consul::BACKEND,
        #[cfg(feature = "etcd")]
        etcd::BACKEND,
        #[cfg(feature = "memory")]
        memory::BACKEND,
        #[cfg(feature = "zookeeper")]
        zookeeper::BACKEND,
    ]
}
