//! `resolve` on a store that does not answer: clauses D1 and V3.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::script::*;
use crate::error::{Error, ErrorKind};
use crate::handle::{Handle, HandleOptions};
use crate::resolver::Resolver;
use crate::snapshot::Snapshot;

/// Resolves with the default limits: what came of it, after what time, and how often the store was asked.
async fn resolve(script: &Arc<Script>, silent: u32) -> (Result<Snapshot, Error>, Duration, u32) {
    let handle = Handle::open(Arc::new(Scripted(script.clone())), HandleOptions { lazy: true, ..options() }).await;
    script.silent_lists.store(silent, Ordering::Relaxed);
    let began = Instant::now();
    let resolved = handle.unwrap().resolve(&service()).await;
    (resolved, began.elapsed(), script.lists.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_not_answered_is_asked_for_again_while_the_call_lasts() {
    let (resolved, took, asked) = resolve(&Script::listing(&[1]), 2).await;
    assert_eq!((resolved.unwrap().len(), took.as_secs(), asked), (1, 4, 3));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_costs_the_operation_timeout_and_no_more() {
    let (resolved, took, asked) = resolve(&Script::listing(&[1]), u32::MAX).await;
    assert_eq!((resolved.unwrap_err().kind(), took.as_secs(), asked), (ErrorKind::TimedOut, 5, 3));
}

#[tokio::test(start_paused = true)]
async fn an_error_is_an_answer() {
    let (resolved, took, asked) = resolve(&Script::default().opens(Opening::Hangs), 0).await;
    assert_eq!((resolved.unwrap_err().kind(), took.as_secs(), asked), (ErrorKind::Unreachable, 0, 1));
}
