//! Servers of each kind, run by the life cycle.

use std::time::Duration;

use integration_tests::eventually;
use registry_core::ServiceName;
use registry_core::server::{Server, ServerBasicInfo, Stop, Stopper};
use registry_memory::{MemoryStore, Options, connect};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use volo_http::server::route::{Router, get};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Axum,
    Tonic,
    Volo,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Axum, Self::Tonic, Self::Volo];

    /// The service that servers of this kind are instances of.
    pub(crate) fn service(self) -> ServiceName {
        let name = match self {
            Self::Axum => "axum",
            Self::Tonic => "tonic",
            Self::Volo => "volo",
        };
        ServiceName::new(name).unwrap()
    }

    async fn serve(self, listener: TcpListener, stop: Stop) {
        match self {
            Self::Axum => {
                let app = axum::Router::new().route("/", axum::routing::get(async || "hello"));
                axum::serve(listener, app).with_graceful_shutdown(stop).await.unwrap();
            }
            Self::Tonic => {
                let (_, health) = tonic_health::server::health_reporter();
                let server = tonic::transport::Server::builder().add_service(health);
                server.serve_with_incoming_shutdown(TcpIncoming::from(listener), stop).await.unwrap();
            }
            Self::Volo => {
                let app: Router = Router::new().route("/", get(async || "hello"));
                registry_volo::serve(app, listener, stop).await.unwrap();
            }
        }
    }
}

pub(crate) struct Running {
    kind: Kind,
    drain: Duration,
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts a server on a free port, and returns when it is registered.
    pub(crate) async fn start(store: &MemoryStore, kind: Kind, drain: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = connect(Options::new(store.clone())).await.unwrap();
        let server = Server::new()
            .with_registry(registry)
            .with_server_basic_info(ServerBasicInfo::new(kind.service().as_str()))
            .with_listener(&listener)
            .with_drain(drain)
            .leave_signals_alone();
        let (stopper, readiness) = (server.stopper(), server.readiness());
        let task = tokio::spawn(async move { server.run(|stop| kind.serve(listener, stop)).await.unwrap() });
        let ready = async || readiness.is_ready().ok();
        eventually(Duration::from_secs(20), "the server is registered", ready).await;
        Self { kind, drain, stopper, task }
    }

    /// Stops it, and starts its successor on another port when it has ended.
    pub(crate) async fn restart(&mut self, store: &MemoryStore) {
        self.stopper.stop();
        (&mut self.task).await.unwrap();
        *self = Self::start(store, self.kind, self.drain).await;
    }

    pub(crate) async fn stop(self) {
        // Nobody is left to be drained for.
        self.task.abort();
        let _ = self.task.await;
    }
}
