//! A gRPC channel that follows a watch.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use registry_core::{Address, Change, Instance, Snapshot, Watch};
use tokio::task::AbortHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{self, Endpoint};
use tower_service::Service;

/// How long a request waits for the first answer of the store.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// The transport of a gRPC client: any generated client takes it in place of tonic's own channel.
///
/// Every request goes to an instance picked in proportion to the weights. Connections are made at the first request to an instance, kept while it is
/// registered with the same fields, and closed when it left and its last request has ended. Cheap to clone; the last clone ends the task that follows the watch.
///
/// A request that comes before the store has answered waits for it, for at most 5 s. With no instance, requests fail with `Unavailable`.
#[derive(Clone)]
pub struct Channel {
    shared: Arc<Shared>,
}

struct Shared {
    table: Arc<ArcSwap<Table>>,
    watch: Watch,
    following: AbortHandle,
}

/// The newest snapshot, and a connection for each of its instances.
struct Table {
    snapshot: Arc<Snapshot>,
    connections: HashMap<Address, transport::Channel>,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl Channel {
    /// Follows `watch`, in plaintext. Instances that are no `host:port` are left out.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn new(watch: Watch) -> Self {
        Self::with_endpoints(watch, |instance| Endpoint::from_shared(format!("http://{}", instance.address())))
    }

    /// Follows `watch` with endpoints of the caller's making: TLS, timeouts, keep-alive. An instance whose endpoint cannot be made is left out, with a
    /// warning.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn with_endpoints<F>(watch: Watch, make: F) -> Self
    where
        F: Fn(&Instance) -> Result<Endpoint, transport::Error> + Send + 'static,
    {
        let unknown = Snapshot::unknown(watch.service());
        let table = Arc::new(ArcSwap::from_pointee(Table { snapshot: Arc::new(unknown), connections: HashMap::new() }));
        let (mut changes, newest) = (watch.clone(), table.clone());
        let following = tokio::spawn(async move {
            while let Some(change) = changes.next().await {
                let before = newest.load_full();
                newest.store(Arc::new(before.after(&change, &make)));
            }
        });
        Self { shared: Arc::new(Shared { table, watch, following: following.abort_handle() }) }
    }

    /// The addresses that requests go to at this moment.
    pub fn addresses(&self) -> Vec<Address> {
        self.shared.table.load().snapshot.instances().iter().map(|instance| instance.address().clone()).collect()
    }
}

impl Shared {
    async fn pick(&self) -> Result<transport::Channel, Status> {
        let table = self.table.load_full();
        if !table.snapshot.is_known() {
            self.wait_for_the_first_answer().await?;
        }
        let table = self.table.load_full();
        let instance = table.snapshot.pick().map_err(|none| Status::unavailable(none.to_string()))?;
        let connection = table.connections.get(instance.address()).cloned();
        connection.ok_or_else(|| Status::internal(format!("{} has no connection", instance.address())))
    }

    async fn wait_for_the_first_answer(&self) -> Result<(), Status> {
        let mut changes = self.watch.clone();
        match tokio::time::timeout(FIRST_ANSWER, changes.next()).await {
            // The task that follows was woken before; let it look first.
            Ok(Some(_)) => {
                while !self.table.load().snapshot.is_known() && !self.following.is_finished() {
                    tokio::task::yield_now().await;
                }
                Ok(())
            }
            Ok(None) => Err(Status::unavailable("the registry's handle was closed")),
            Err(_) => Err(Status::unavailable(format!(
                "no instance of {} is known: the registry has not answered within {FIRST_ANSWER:?}",
                self.watch.service()
            ))),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Table {
    /// The table after a change: connections of instances that stayed as they were are kept.
    fn after(&self, change: &Change, make: &impl Fn(&Instance) -> Result<Endpoint, transport::Error>) -> Self {
        let mut connections = self.connections.clone();
        for gone in &change.difference.removed {
            connections.remove(gone.address());
        }
        for new in change.difference.added.iter().chain(&change.difference.updated) {
            match Self::connection(new, make) {
                Ok(connection) => connections.insert(new.address().clone(), connection),
                Err(error) => {
                    tracing::warn!(address = %new.address(), %error, "an instance is left out");
                    connections.remove(new.address())
                }
            };
        }
        let usable = change.snapshot.instances().iter().filter(|instance| connections.contains_key(instance.address()));
        let snapshot = Snapshot::new(change.snapshot.service().clone(), usable.cloned());
        Self { snapshot: Arc::new(snapshot), connections }
    }

    fn connection(
        instance: &Instance,
        make: &impl Fn(&Instance) -> Result<Endpoint, transport::Error>,
    ) -> Result<transport::Channel, BoxError> {
        if instance.address().port().is_none() {
            return Err(format!("gRPC over {} is not supported", instance.address().network()).into());
        }
        Ok(make(instance)?.connect_lazy())
    }
}

impl Service<http::Request<Body>> for Channel {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    /// Always ready: which instance is asked is decided for each request.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let shared = self.shared.clone();
        Box::pin(async move {
            let mut connection = shared.pick().await?;
            std::future::poll_fn(|cx| connection.poll_ready(cx)).await?;
            Ok(connection.call(request).await?)
        })
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("watch", &self.shared.watch).finish_non_exhaustive()
    }
}
