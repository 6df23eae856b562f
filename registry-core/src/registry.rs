//! The registration side.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::error::Error;
use crate::info::Info;
use crate::resolver::Resolver;
use crate::status::{HandleState, HandleStatus, NotServing, RegistrationState, RegistrationStatus};

/// Registers instances with a store and keeps them registered: Kitex's `registry.Registry`.
///
/// One value is one *handle*: one owner, with one session for all that is registered through it. It lives until
/// [`close`](Self::close); dropping it without `close` is a crash, and its entries expire after their TTL (clauses R9, L2).
///
/// Object-safe; `&T`, `Box<T>` and `Arc<T>` are registries, too. All calls work on a current-thread runtime.
///
/// # To ensure correctness
/// Whoever implements this trait keeps clauses R, L, V and X of the [contract](crate::contract), and proves it with the conformance
/// suite. An adapter gets most of them by supplying [`Store`](crate::store::Store) instead and using [`Handle`](crate::Handle).
#[async_trait]
pub trait Registry: Send + Sync {
    /// Registers `info`, or replaces this handle's registration of the same identity in place (service and address).
    ///
    /// - When it has returned `Ok`, any other client that asks afterwards sees the instance (R1).
    /// - An identity that another owner still holds is taken over at once (R7).
    /// - From then on the entry is kept, and restored after any fault, until it is deregistered (L1, L3, L4).
    /// - Within the operation timeout it tries again what failed; after an error it never does (use [`announce`](Self::announce) for that).
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), `Denied`, `Misconfigured` and `Closed` have changed nothing. With
    /// [`Outcome::Unknown`](crate::Outcome) the entry may be seen until the handle has brought the store back to what it wanted before the
    /// call (R4). Ends within the operation timeout (V3).
    ///
    /// # Cancel safety
    /// Dropping the future is a failure with unknown outcome (R3, R4): the previous registration is restored.
    async fn register(&self, info: &Info) -> Result<(), Error>;

    /// Withdraws this handle's registration of the identity of `info` (service and address; the other fields do not matter).
    ///
    /// - When it has returned `Ok`, no client that asks afterwards sees an entry of this owner (R5).
    /// - What this handle does not hold is left alone, a successor's entry above all: that is `Ok`, too (R5, R6).
    /// - Once called, the registration is never published again; a withdrawal that failed is completed in the background (R8).
    ///
    /// # Errors
    /// Any error but `InvalidInput` and `Closed` means: not confirmed yet, and still going on. Ends within the operation timeout (V3).
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the withdrawal (R3).
    async fn deregister(&self, info: &Info) -> Result<(), Error>;

    /// Validates `info` and returns at once; the handle publishes it when the store answers, until it is deregistered (R10).
    ///
    /// # Errors
    /// `InvalidInput` and `Closed` only.
    fn announce(&self, info: &Info) -> Result<(), Error>;

    /// Withdraws everything, ends the session and waits until that is confirmed (R9). A second `close` is `Ok`.
    ///
    /// # Errors
    /// With the store away it returns the error within the operation timeout, and the handle is closed all the same; the entries expire.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop it.
    async fn close(&self) -> Result<(), Error>;

    /// The status of the handle: a channel with the present value (L6).
    fn status(&self) -> watch::Receiver<HandleStatus>;

    /// The status of the registration with the identity of `info`: a channel that ends when it was withdrawn (L6). `None` when this handle
    /// holds no such registration.
    fn registration(&self, info: &Info) -> Option<watch::Receiver<RegistrationStatus>>;

    /// The present status of every registration of this handle, in no particular order. One pass over all of them.
    fn registrations(&self) -> Vec<RegistrationStatus>;

    /// Where the store is dialled, each `host:port`; empty where it is in this process or unknown. The server life cycle advertises the address of
    /// this machine that faces it (S2). A wrapper passes it on.
    fn store_endpoints(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether the handle is connected and everything registered through it stands (L6). Made for readiness probes, never for liveness:
    /// restarting a server because its registry is away helps nobody.
    ///
    /// # Errors
    /// [`NotServing`] names the first cause.
    fn is_ready(&self) -> Result<(), NotServing> {
        let handle = self.status().borrow().clone();
        if handle.state != HandleState::Connected {
            return Err(NotServing::Handle(Box::new(handle)));
        }
        match self.registrations().into_iter().find(|status| status.state != RegistrationState::Registered) {
            Some(status) => Err(NotServing::Registration(Box::new(status))),
            None => Ok(()),
        }
    }
}

/// Both sides of one handle: what the adapters and the facade return.
pub trait ServiceRegistry: Registry + Resolver {}

impl<T: Registry + Resolver + ?Sized> ServiceRegistry for T {}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        impl<T: Registry + ?Sized> Registry for $pointer {
            async fn register(&self, info: &Info) -> Result<(), Error> {
                (**self).register(info).await
            }
            async fn deregister(&self, info: &Info) -> Result<(), Error> {
                (**self).deregister(info).await
            }
            fn announce(&self, info: &Info) -> Result<(), Error> {
                (**self).announce(info)
            }
            async fn close(&self) -> Result<(), Error> {
                (**self).close().await
            }
            fn status(&self) -> watch::Receiver<HandleStatus> {
                (**self).status()
            }
            fn registration(&self, info: &Info) -> Option<watch::Receiver<RegistrationStatus>> {
                (**self).registration(info)
            }
            fn registrations(&self) -> Vec<RegistrationStatus> {
                (**self).registrations()
            }
            fn store_endpoints(&self) -> Vec<String> {
                (**self).store_endpoints()
            }
            fn is_ready(&self) -> Result<(), NotServing> {
                (**self).is_ready()
            }
        }
    )*};
}

forward!(&T, Box<T>, Arc<T>);
