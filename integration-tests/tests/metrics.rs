//! Clause L6: the metrics that are recorded are those of the table.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod observability;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use metrics_util::MetricKind;
use metrics_util::debugging::DebuggingRecorder;
use registry_core::metrics::TABLE;
use registry_core::{Handle, HandleState, Info, RegistrationState, Registry, Resolver};
use registry_memory::{Link, MemoryStore};

use self::observability::{connect, eventually, info, on_a_paused_clock, service};

fn state(handle: &Handle, info: &Info) -> Option<RegistrationState> {
    handle.registration(info).map(|status| status.borrow().state)
}

/// Everything that there is a metric for: calls, a lost session, a renewal, a takeover, a malformed entry, an outage of a watch.
async fn everything_happens() {
    let store = MemoryStore::new();
    let (link, other_link) = (Link::new(), Link::new());
    let owner = connect(&store, &link).await;
    owner.register(&info(1, 10)).await.unwrap();
    let watch = owner.watch(&service()).unwrap();
    watch.ready(1, Duration::from_secs(5)).await.unwrap();
    let key = store.raw_keys().remove(0);
    store.raw_put(&format!("{key}9"), *b"no record");
    owner.resolve(&service()).await.unwrap();
    store.expire_sessions(&link);
    eventually("the registration is back", || state(&owner, &info(1, 10)) == Some(RegistrationState::Registered)).await;
    eventually("a renewal was answered", || link.requests() > 8).await;
    let successor = connect(&store, &other_link).await;
    successor.register(&info(1, 20)).await.unwrap();
    eventually("it is displaced", || state(&owner, &info(1, 10)) == Some(RegistrationState::Displaced)).await;
    link.cut();
    let mut status = owner.status();
    status.wait_for(|status| status.state == HandleState::Unreachable).await.unwrap();
    eventually("the watch is stale", || watch.latest().stale().is_some()).await;
    successor.close().await.unwrap();
    link.heal();
    eventually("the removal is held", || !watch.latest().unconfirmed().is_empty()).await;
    owner.deregister(&info(1, 10)).await.unwrap();
    owner.close().await.unwrap();
}

#[test]
fn the_metrics_that_are_recorded_are_those_of_the_table() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || on_a_paused_clock(everything_happens()));
    let mut recorded: BTreeMap<String, (&str, BTreeSet<String>)> = BTreeMap::new();
    for (key, ..) in snapshotter.snapshot().into_vec() {
        let kind = match key.kind() {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let labels = key.key().labels().map(|label| label.key().to_owned());
        recorded.entry(key.key().name().to_owned()).or_insert((kind, BTreeSet::new())).1.extend(labels);
        let addressed = key.key().labels().any(|label| label.value().contains("10.0.0.5"));
        assert!(!addressed, "{} has an address as a label", key.key().name());
    }
    let table = TABLE.iter().map(|metric| {
        (metric.name.to_owned(), (metric.kind, metric.labels.iter().map(|label| (*label).to_owned()).collect()))
    });
    assert_eq!(recorded, table.collect::<BTreeMap<_, _>>());
}
