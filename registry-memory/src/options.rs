//! How to connect.

use std::time::Duration;

use registry_core::{Error, HandleOptions};

use crate::client::{Client, Connection};
use crate::link::Link;
use crate::namespace::{self, Namespace};
use crate::store::MemoryStore;

/// Which store, where in it, and over which link; and the timings of the handle.
///
/// ```
/// use registry_memory::{Link, MemoryStore, Options};
///
/// let link = Link::new();
/// let options = Options::new(MemoryStore::named("tests")).with_namespace("team-a").with_link(link.clone());
/// link.cut(); // whoever connects with these options now talks into a black hole
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The store. Default: an empty one of its own.
    pub store: MemoryStore,
    /// The first part of every key: path elements joined by `/`. Handles in different namespaces never see each other's entries. Default
    /// `registry`.
    pub namespace: String,
    /// The way to the store, for putting faults on it. Default: one of its own without faults.
    pub link: Link,
    /// TTL, limits and the like. The TTL is granted as asked; 10 ms is the least.
    pub handle: HandleOptions,
}

impl Options {
    /// The defaults, on this store.
    pub fn new(store: MemoryStore) -> Self {
        Self { store, namespace: namespace::DEFAULT.to_owned(), link: Link::new(), handle: HandleOptions::default() }
    }

    /// The same options in this namespace.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The same options over this link.
    #[must_use]
    pub fn with_link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// The same options with this TTL.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.handle.ttl = ttl;
        self
    }

    /// The same options with these timings.
    #[must_use]
    pub fn with_handle(mut self, handle: HandleOptions) -> Self {
        self.handle = handle;
        self
    }

    /// The client that a handle with these options drives: the store operations, one by one.
    ///
    /// # Errors
    /// `InvalidInput` on the field `namespace`.
    pub fn client(&self) -> Result<Client, Error> {
        let namespace =
            Namespace::new(&self.namespace).map_err(|refused| Error::from(refused).in_operation("connect"))?;
        let connection = Connection { store: self.store.clone(), link: self.link.clone() };
        Ok(Client { connection, namespace })
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new(MemoryStore::new())
    }
}
