//! The life of views and watches: clauses W2, W5 and R9.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::script::*;
use crate::error::ErrorKind;
use crate::handle::Handle;
use crate::name::ServiceName;
use crate::resolver::Resolver;
use crate::watcher::OPENING;

#[tokio::test(start_paused = true)]
async fn two_watches_of_a_service_share_one_view() {
    let script = Script::listing(&[1]);
    let (watchers, _watch) = watching(&script).await;
    let mut second = watchers.watch(&service()).unwrap();
    assert_eq!(second.next().await.unwrap().difference.added.len(), 1);
    assert_eq!(script.opened.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn the_views_of_many_services_are_opened_a_few_at_a_time_and_all_in_the_end() {
    let script = Script::default().opens(Opening::Hangs);
    let watchers = watchers(&script);
    let name = |number: usize| ServiceName::new(format!("demo-{number}")).unwrap();
    let watches: Vec<_> = (0..4 * OPENING).map(|number| watchers.watch(&name(number)).unwrap()).collect();
    soon().await;
    assert_eq!(script.attempts.lock().unwrap().len(), OPENING);
    script.open_with(Opening::Lists(Vec::new()));
    pass(options().attempt_timeout + options().backoff_cap).await;
    assert!(watches.iter().all(|watch| watch.latest().is_known()));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_read_in_parts_may_take_longer_than_one_attempt() {
    let limit = options().attempt_timeout;
    let slow = |takes| Script::default().opens(Opening::ListsInParts(found(&[1, 2]), takes));
    let script = slow(limit.mul_f64(0.9));
    let (_watchers, watch) = watching(&script).await;
    assert_eq!((ports(&watch), script.opened.load(Ordering::Relaxed)), (vec![1, 2], 1));
    // Each part has one attempt, and no more.
    let script = slow(limit.mul_f64(1.1));
    let watchers = watchers(&script);
    let watch = watchers.watch(&service()).unwrap();
    pass(limit * 10).await;
    assert!(!watch.latest().is_known() && script.opened.load(Ordering::Relaxed) > 1);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_watch_ends_the_view_and_a_later_one_opens_another() {
    let script = Script::listing(&[1]);
    let (watchers, watch) = watching(&script).await;
    let second = watchers.watch(&service()).unwrap();
    drop(watch);
    soon().await;
    assert!(script.is_viewed());
    drop(second);
    soon().await;
    assert!(!script.is_viewed());
    let mut third = watchers.watch(&service()).unwrap();
    third.next().await.unwrap();
    assert_eq!(script.opened.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_watch_right_after_the_last_drop_is_not_ended_with_it() {
    let script = Script::listing(&[1]);
    let (watchers, watch) = watching(&script).await;
    drop(watch);
    let mut second = watchers.watch(&service()).unwrap();
    second.next().await.unwrap();
    soon().await;
    watchers.watch(&service()).unwrap().next().await.unwrap();
    soon().await;
    script.removes(1);
    assert!(second.next().await.unwrap().snapshot.is_empty());
    assert_eq!(script.opened.load(Ordering::Relaxed), 2, "the third shared the view of the second");
}

#[tokio::test(start_paused = true)]
async fn closing_ends_the_watches_and_refuses_later_ones() {
    let script = Script::listing(&[1]);
    let (watchers, mut watch) = watching(&script).await;
    watchers.close();
    assert!(watch.next().await.is_none());
    assert_eq!(watchers.watch(&service()).unwrap_err().kind(), ErrorKind::Closed);
    assert!(watchers.is_closed() && !script.is_viewed());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_handle_ends_the_watches() {
    let script = Script::listing(&[1]);
    let (watchers, mut watch) = watching(&script).await;
    drop(watchers);
    assert!(watch.next().await.is_none());
    soon().await;
    assert!(!script.is_viewed());
}

#[tokio::test(start_paused = true)]
async fn a_watch_lives_until_the_last_clone_of_its_handle_is_dropped() {
    let script = Script::listing(&[1]);
    let mut options = options();
    options.lazy = true;
    let handle = Handle::open(Arc::new(Scripted(script.clone())), options).await.unwrap();
    let mut watch = handle.watch(&service()).unwrap();
    let clone = handle.clone();
    drop(handle);
    assert!(watch.next().await.is_some());
    drop(clone);
    assert!(watch.next().await.is_none());
}

#[test]
fn watching_works_from_any_thread_and_dropping_after_the_runtime_is_quiet() {
    let script = Script::listing(&[1]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let watchers = runtime.block_on(async { watchers(&script) });
    let mut watch = watchers.watch(&service()).unwrap();
    assert!(runtime.block_on(watch.next()).is_some());
    drop(runtime);
    let late = watchers.watch(&service()).unwrap();
    drop((watchers, late, watch));
    assert!(!script.is_viewed());
}

#[tokio::test(start_paused = true)]
async fn silence_is_probed_and_an_answer_keeps_the_view() {
    let script = Script::listing(&[1]);
    let (_watchers, watch) = watching(&script).await;
    pass(Duration::from_millis(10_500)).await;
    assert_eq!(script.probes.load(Ordering::Relaxed), 10);
    assert_eq!((script.opened.load(Ordering::Relaxed), watch.latest().stale()), (1, None));
}

#[tokio::test(start_paused = true)]
async fn a_view_that_does_not_answer_a_probe_is_replaced() {
    let script = Script::listing(&[1]);
    let (_watchers, mut watch) = watching(&script).await;
    *script.deaf.lock().unwrap() = true;
    script.open_with(Opening::Lists(found(&[1, 2])));
    pass(Duration::from_millis(2_900)).await;
    assert_eq!(script.opened.load(Ordering::Relaxed), 1);
    assert!(watch.next().await.is_some());
    assert_eq!((script.opened.load(Ordering::Relaxed), ports(&watch)), (2, vec![1, 2]));
}

#[tokio::test(start_paused = true)]
async fn failed_attempts_are_counted_for_the_store_and_never_end() {
    let script = Script::default().opens(Opening::Fails(ErrorKind::Unreachable));
    let watchers = watchers(&script);
    let mut watch = watchers.watch(&service()).unwrap();
    pass(Duration::from_secs(600)).await;
    let attempts = script.attempts.lock().unwrap().clone();
    assert!(attempts.iter().copied().eq(0..attempts.len() as u32), "{attempts:?}");
    assert!((300..3_000).contains(&attempts.len()), "{} in ten minutes", attempts.len());
    script.open_with(Opening::Lists(found(&[1])));
    assert!(watch.next().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_view_that_is_lost_at_once_each_time_is_opened_ever_slower() {
    let script = Script::listing(&[1]);
    let (_watchers, _watch) = watching(&script).await;
    *script.deaf.lock().unwrap() = true;
    for _ in 0..100 {
        let opened = script.opened.load(Ordering::Relaxed);
        script.breaks();
        while script.opened.load(Ordering::Relaxed) == opened {
            pass(Duration::from_millis(10)).await;
        }
    }
    let start = tokio::time::Instant::now();
    for _ in 0..20 {
        let opened = script.opened.load(Ordering::Relaxed);
        script.breaks();
        while script.opened.load(Ordering::Relaxed) == opened {
            pass(Duration::from_millis(10)).await;
        }
    }
    assert!(start.elapsed() > Duration::from_secs(8), "20 openings in {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_panicking_store_is_an_error_that_is_survived() {
    let script = Script::default().opens(Opening::Panics);
    let watchers = watchers(&script);
    let mut watch = watchers.watch(&service()).unwrap();
    soon().await;
    assert_eq!(watch.latest().stale().unwrap().kind, ErrorKind::Other);
    script.open_with(Opening::Lists(found(&[1])));
    assert!(watch.next().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_panicking_view_is_replaced() {
    let script = Script::listing(&[1]);
    let (_watchers, mut watch) = watching(&script).await;
    script.open_with(Opening::Lists(found(&[1, 2])));
    script.panics();
    assert_eq!(watch.next().await.unwrap().difference.added.len(), 1);
    assert_eq!(script.opened.load(Ordering::Relaxed), 2);
}
