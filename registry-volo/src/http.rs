//! An accept loop for volo-http that ends when the life cycle says so.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use registry_core::server::Stop;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use volo::METAINFO;
use volo::net::Address;
use volo::service::Service;
use volo_http::body::Body;
use volo_http::context::ServerContext;
use volo_http::request::Request;
use volo_http::response::Response;
use volo_http::server::IntoResponse;

/// How long to wait when no connection can be accepted for want of files or memory.
const OUT_OF_RESOURCES: Duration = Duration::from_secs(1);

/// Serves a volo-http service, such as a `Router`, over HTTP/1 until `stop` ends: then it accepts no more, finishes the requests that are under
/// way, and returns. Goes where axum has `serve(…).with_graceful_shutdown(stop)`:
///
/// ```no_run
/// # async fn run(listener: tokio::net::TcpListener, registry: impl registry_core::ServiceRegistry + 'static) -> std::io::Result<()> {
/// use registry_core::server::{Server, ServerBasicInfo};
/// use volo_http::server::route::{Router, get};
///
/// let app: Router = Router::new().route("/", get(async || "hello"));
/// let server = Server::new()
///     .with_registry(registry)
///     .with_server_basic_info(ServerBasicInfo::new("web"))
///     .with_listener(&listener);
/// server.run(|stop| registry_volo::serve(app, listener, stop)).await.map_err(std::io::Error::other)?
/// # }
/// ```
///
/// `volo_http::Server::run` cannot stand here: it ends on a signal alone, and stops accepting at once, before any client has heard of it. Its layers go onto
/// the service with `volo::Layer` instead. Dropping the future ends every connection at once.
///
/// # Errors
/// None today: what goes wrong on a connection ends that connection, and a listener that is out of resources is tried again each second.
pub async fn serve<S>(service: S, listener: TcpListener, stop: Stop) -> io::Result<()>
where
    S: Service<ServerContext, Request> + Send + Sync + 'static,
    S::Response: IntoResponse,
    S::Error: IntoResponse,
{
    let service = Arc::new(service);
    let mut connections = JoinSet::new();
    let mut stopped = stop.clone();
    loop {
        let accepted = tokio::select! {
            () = &mut stopped => break,
            // Those that ended are let go of as they end.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(connection(service.clone(), stream, Address::from(peer), stop.clone()));
            }
            Err(error) if concerns_a_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted; trying again in {OUT_OF_RESOURCES:?}");
                tokio::select! { () = &mut stopped => break, () = tokio::time::sleep(OUT_OF_RESOURCES) => {} }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Serves one connection until its peer closes it, or the request that it is at has been answered after `stop`.
async fn connection<S>(service: Arc<S>, stream: TcpStream, peer: Address, stop: Stop)
where
    S: Service<ServerContext, Request> + Send + Sync + 'static,
    S::Response: IntoResponse,
    S::Error: IntoResponse,
{
    let answer = service_fn(move |request: hyper::Request<Incoming>| {
        let (service, peer) = (service.clone(), peer.clone());
        async move { Ok::<_, Infallible>(answer(&*service, peer, request).await) }
    });
    let serving = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer);
    let mut serving = pin!(serving.with_upgrades());
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = stop => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

async fn answer<S>(service: &S, peer: Address, request: hyper::Request<Incoming>) -> Response
where
    S: Service<ServerContext, Request>,
    S::Response: IntoResponse,
    S::Error: IntoResponse,
{
    let mut context = ServerContext::new(peer);
    let call = async { service.call(&mut context, request.map(Body::from_incoming)).await.into_response() };
    METAINFO.scope(Default::default(), call).await
}

/// Whether the error is of the connection that would have been accepted, and not of the listener.
fn concerns_a_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
