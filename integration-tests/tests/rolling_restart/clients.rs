//! A client of each kind that calls without a pause, and counts what fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use integration_tests::eventually;
use registry_core::{Instance, Resolver, Watch};
use registry_tower::Channel;
use registry_volo::RegistryDiscover;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use volo::loadbalance::random::WeightedRandomBalance;
use volo_http::ClientBuilder;
use volo_http::body::BodyConversion as _;

use crate::delayed::Delayed;
use crate::servers::Kind;

/// What became of all requests.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) answered: usize,
    pub(crate) failures: Vec<String>,
}

pub(crate) struct Clients {
    running: Vec<(Arc<AtomicUsize>, JoinHandle<Load>)>,
    stop: watch::Sender<bool>,
    /// Watches end with the last clone of their handle.
    _resolver: Arc<Delayed>,
}

/// The pause between two requests of a client: a load that is steady and leaves the machine to the servers, too.
const PAUSE: Duration = Duration::from_millis(5);

impl Clients {
    /// Starts one of each kind, and one more that asks for the list now and then, if so wanted.
    pub(crate) async fn start(resolver: Delayed, polls: Option<Duration>) -> Self {
        let stop = watch::Sender::new(false);
        let resolver = Arc::new(resolver);
        let mut clients = Self { running: Vec::new(), stop, _resolver: resolver.clone() };
        let axum = resolver.watch(&Kind::Axum.service()).unwrap();
        let tonic = resolver.watch(&Kind::Tonic.service()).unwrap();
        let volo = resolver.watch(&Kind::Volo.service()).unwrap();
        for watch in [&axum, &tonic, &volo] {
            watch.ready(1, Duration::from_secs(20)).await.unwrap();
        }
        clients.add(through_watch(axum));
        clients.add(through_channel(Channel::new(tonic)));
        clients.add(through_discover(RegistryDiscover::new(resolver.clone())));
        if let Some(every) = polls {
            clients.add(through_polls(resolver, every));
        }
        clients
    }

    fn add(&mut self, mut call: impl AsyncCall) {
        let (answered, mut stop) = (Arc::new(AtomicUsize::new(0)), self.stop.subscribe());
        let count = answered.clone();
        let task = tokio::spawn(async move {
            let mut load = Load::default();
            while !*stop.borrow_and_update() {
                match call.call().await {
                    Ok(()) => {
                        load.answered += 1;
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(failure) => load.failures.push(failure),
                }
                let _ = tokio::time::timeout(PAUSE, stop.changed()).await;
            }
            load
        });
        self.running.push((answered, task));
    }

    /// Waits until each has been answered some more.
    pub(crate) async fn are_served(&self, within: Duration) {
        for (answered, _) in &self.running {
            let before = answered.load(Ordering::Relaxed);
            let more = async || (answered.load(Ordering::Relaxed) >= before + 20).then_some(());
            eventually(within, "requests are answered", more).await;
        }
    }

    pub(crate) async fn stop(self) -> Load {
        self.stop.send_replace(true);
        let mut all = Load::default();
        for (_, client) in self.running {
            let load = client.await.unwrap();
            all.answered += load.answered;
            all.failures.extend(load.failures);
        }
        all
    }
}

/// One request; a failure in words.
trait AsyncCall: Send + 'static {
    fn call(&mut self) -> impl Future<Output = Result<(), String>> + Send;
}

impl<F, R> AsyncCall for F
where
    F: FnMut() -> R + Send + 'static,
    R: Future<Output = Result<(), String>> + Send,
{
    fn call(&mut self) -> impl Future<Output = Result<(), String>> + Send {
        self()
    }
}

type Http = Client<hyper_util::client::legacy::connect::HttpConnector, Empty<Bytes>>;

async fn get(client: Http, instance: Arc<Instance>) -> Result<(), String> {
    let address = instance.address();
    let failed = |error: &dyn std::fmt::Debug| format!("GET {address}: {error:?}");
    let uri = format!("http://{address}/").parse().map_err(|error| failed(&error))?;
    let answer = client.get(uri).await.map_err(|error| failed(&error))?;
    let body = answer.into_body().collect().await.map_err(|error| failed(&error))?;
    if body.to_bytes() == "hello" { Ok(()) } else { Err(format!("GET {address}: another answer")) }
}

fn through_watch(watch: Watch) -> impl AsyncCall {
    let client: Http = Client::builder(TokioExecutor::new()).build_http();
    move || {
        let (client, picked) = (client.clone(), watch.latest().pick().cloned());
        async move { get(client, picked.map_err(|none| none.to_string())?).await }
    }
}

fn through_channel(channel: Channel) -> impl AsyncCall {
    let client = HealthClient::new(channel);
    move || {
        let mut client = client.clone();
        async move {
            let answer = client.check(HealthCheckRequest::default()).await;
            answer.map(drop).map_err(|status| format!("check: {status:?}"))
        }
    }
}

/// As a volo-http client does: its balancer knows the list, and hears of changes.
fn through_discover(discover: RegistryDiscover) -> impl AsyncCall {
    let client = ClientBuilder::new().load_balance(WeightedRandomBalance::new()).discover(discover).build().unwrap();
    move || {
        let client = client.clone();
        async move {
            let failed = |error: &dyn std::fmt::Debug| format!("GET of volo: {error:?}");
            let url = format!("http://{}/", Kind::Volo.service());
            let answer = client.get(url).send().await.map_err(|error| failed(&error))?;
            let body = answer.into_string().await.map_err(|error| failed(&error))?;
            if body == "hello" { Ok(()) } else { Err(format!("GET of volo: another answer: {body}")) }
        }
    }
}

/// As a Go Kitex client does: it asks for the list, uses it for this long, and asks again.
fn through_polls(resolver: Arc<Delayed>, every: Duration) -> impl AsyncCall {
    let client: Http = Client::builder(TokioExecutor::new()).build_http();
    let known = Arc::new(tokio::sync::Mutex::new(None));
    move || {
        let (client, resolver, known) = (client.clone(), resolver.clone(), known.clone());
        async move {
            let mut known = known.lock().await;
            let old = known.as_ref().is_none_or(|(at, _): &(std::time::Instant, _)| at.elapsed() >= every);
            if old {
                let list = resolver.resolve(&Kind::Axum.service()).await.map_err(|error| error.to_string())?;
                *known = Some((std::time::Instant::now(), list));
            }
            let Some((_, list)) = &*known else { return Err("no list".to_owned()) };
            let picked = list.pick().map_err(|none| none.to_string())?.clone();
            get(client, picked).await
        }
    }
}
