//! The discovery side.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Error;
use crate::name::ServiceName;
use crate::snapshot::Snapshot;
use crate::watch::Watch;

/// Finds the instances of a service: Kitex's `discovery.Resolver`, with a watch.
///
/// Object-safe; `&T`, `Box<T>` and `Arc<T>` are resolvers, too.
///
/// # To ensure correctness
/// Whoever implements this trait keeps clauses D, W, V and X of the [contract](crate::contract).
#[async_trait]
pub trait Resolver: Send + Sync {
    /// Asks the store, never a cache, for all live instances of `service` (D1). An unknown service is `Ok` with no instances.
    ///
    /// An entry that cannot be decoded is left out and hides nothing (D3).
    ///
    /// # Errors
    /// `Unreachable` or `TimedOut` when the store does not answer: never an empty list instead. `InvalidInput` when the store cannot carry the
    /// name. Ends within the operation timeout (V3). Must be polled within a tokio runtime with time enabled.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn resolve(&self, service: &ServiceName) -> Result<Snapshot, Error>;

    /// Watches `service`. Returns at once, also while the store is away or denies it: the first snapshot is unknown (W1).
    ///
    /// All watches of one service on one handle share one watch on the store (W5). Must be called within a runtime's context, or
    /// on a handle that remembers its own.
    ///
    /// # Errors
    /// `InvalidInput` when the store cannot carry the name, and `Closed`.
    fn watch(&self, service: &ServiceName) -> Result<Watch, Error>;
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        impl<T: Resolver + ?Sized> Resolver for $pointer {
            async fn resolve(&self, service: &ServiceName) -> Result<Snapshot, Error> {
                (**self).resolve(service).await
            }
            fn watch(&self, service: &ServiceName) -> Result<Watch, Error> {
                (**self).watch(service)
            }
        }
    )*};
}

forward!(&T, Box<T>, Arc<T>);
