//! The metrics that core records through the `metrics` facade (clause L6): [`TABLE`] names them all.
//!
//! No label is an address. `handle` is no label either: processes with several handles add a label through their recorder.

use metrics::{counter, gauge, histogram};

/// One metric, as recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// What it counts, and in which unit.
    pub what: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
}

const fn metric(name: &'static str, kind: &'static str, what: &'static str, labels: &'static [&'static str]) -> Metric {
    Metric { name, kind, what, labels }
}

/// All metrics. A test compares this table with what is recorded.
pub const TABLE: &[Metric] = &[
    metric("registry_calls_total", "counter", "calls that ended", &["operation", "result"]),
    metric("registry_call_seconds", "histogram", "duration of calls, in seconds", &["operation"]),
    metric("registry_sessions_total", "counter", "sessions opened", &[]),
    metric("registry_sessions_lost_total", "counter", "sessions that the store gave up", &[]),
    metric("registry_renewals_total", "counter", "renewals that ended", &["result"]),
    metric("registry_restored_total", "counter", "entries written again by the handle itself", &[]),
    metric("registry_registrations", "gauge", "registrations that are wanted", &[]),
    metric("registry_displaced_total", "counter", "times that another owner took a registration over", &[]),
    metric("registry_watches", "gauge", "services that are watched", &[]),
    metric("registry_resyncs_total", "counter", "views opened, the first one of each watch included", &[]),
    metric("registry_malformed_total", "counter", "entries that could not be decoded", &[]),
    metric("registry_held_removals_total", "counter", "removals held back after an outage or a resync", &[]),
];

pub(crate) fn call(operation: &'static str, result: &'static str, took: std::time::Duration) {
    counter!("registry_calls_total", "operation" => operation, "result" => result).increment(1);
    histogram!("registry_call_seconds", "operation" => operation).record(took.as_secs_f64());
}

pub(crate) fn session_opened() {
    counter!("registry_sessions_total").increment(1);
}

pub(crate) fn session_lost() {
    counter!("registry_sessions_lost_total").increment(1);
}

pub(crate) fn renewed(result: &'static str) {
    counter!("registry_renewals_total", "result" => result).increment(1);
}

pub(crate) fn restored() {
    counter!("registry_restored_total").increment(1);
}

pub(crate) fn registrations(change: f64) {
    gauge!("registry_registrations").increment(change);
}

pub(crate) fn displaced() {
    counter!("registry_displaced_total").increment(1);
}

pub(crate) fn watches(change: f64) {
    gauge!("registry_watches").increment(change);
}

pub(crate) fn resynced() {
    counter!("registry_resyncs_total").increment(1);
}

pub(crate) fn malformed() {
    counter!("registry_malformed_total").increment(1);
}

pub(crate) fn removals_held(held: usize) {
    counter!("registry_held_removals_total").increment(held as u64);
}
