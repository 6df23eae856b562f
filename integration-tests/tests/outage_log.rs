//! Clause L6: an outage is told in few lines.
//!
//! In a test binary of its own: tracing caches for the whole process which call sites anybody listens to.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod observability;

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use registry_core::{Registry, Resolver, ServiceName};
use registry_memory::{Link, MemoryStore};

use self::observability::{connect, eventually, info, on_a_paused_clock, service};

/// Collects what is logged at info or above.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lines_of(scenario: impl Future<Output = ()>) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || on_a_paused_clock(scenario));
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Ten minutes without the store, for a handle with 100 registrations and five watches.
async fn ten_minutes_of_outage(fault: impl Fn(&Link), store: MemoryStore) {
    let link = Link::new();
    let owner = connect(&store, &link).await;
    for port in 1..=100 {
        owner.register(&info(port, 10)).await.unwrap();
    }
    let services = (0..5).map(|number| ServiceName::new(format!("other-{number}")).unwrap());
    let watches: Vec<_> = services.chain([service()]).map(|service| owner.watch(&service).unwrap()).collect();
    eventually("all watches know", || watches.iter().all(|watch| watch.latest().is_known())).await;
    fault(&link);
    tokio::time::sleep(Duration::from_secs(600)).await;
    link.heal();
    eventually("all is well again", || owner.is_ready().is_ok()).await;
    eventually("no watch is stale", || watches.iter().all(|watch| watch.latest().stale().is_none())).await;
    assert_eq!(watches[5].latest().len(), 100);
}

#[test]
fn a_ten_minute_outage_costs_at_most_ten_lines() {
    for (name, fault) in [("cut", Link::cut as fn(&Link)), ("refused", Link::refuse)] {
        let lines = lines_of(ten_minutes_of_outage(fault, MemoryStore::new()));
        assert!((2..=10).contains(&lines.len()), "{name}: {} lines: {lines:#?}", lines.len());
        let told = |what: &str| lines.iter().any(|line| line.contains(what));
        assert!(told("registry store unreachable") && told("reachable again"), "{name}: {lines:#?}");
    }
}

/// Ten minutes in which the store is away and back every 20 seconds, and ends the session each time.
async fn ten_minutes_of_flapping(store: MemoryStore) {
    let link = Link::new();
    let owner = connect(&store, &link).await;
    owner.register(&info(1, 10)).await.unwrap();
    let watch = owner.watch(&service()).unwrap();
    for _ in 0..30 {
        link.refuse();
        tokio::time::sleep(Duration::from_secs(10)).await;
        store.expire_sessions(&link);
        link.heal();
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    eventually("all is well again", || owner.is_ready().is_ok()).await;
    assert_eq!(watch.latest().len(), 1);
}

#[test]
fn ten_minutes_of_flapping_cost_no_more() {
    let lines = lines_of(ten_minutes_of_flapping(MemoryStore::new()));
    assert!((2..=10).contains(&lines.len()), "{} lines: {lines:#?}", lines.len());
}
