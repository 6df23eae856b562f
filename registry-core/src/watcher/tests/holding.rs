//! Outages and held removals: clauses W1 and W4.

use std::time::Duration;

use futures_util::FutureExt;

use super::script::*;
use crate::error::ErrorKind;
use crate::store::{Found, ViewChange};

#[tokio::test(start_paused = true)]
async fn nothing_is_known_until_the_store_has_answered() {
    let script = Script::default().opens(Opening::Hangs);
    let watchers = watchers(&script);
    let mut watch = watchers.watch(&service()).unwrap();
    pass(Duration::from_secs(60)).await;
    assert!(!watch.latest().is_known());
    assert_eq!(watch.latest().stale().unwrap().kind, ErrorKind::TimedOut);
    assert!(watch.next().now_or_never().is_none());
    script.open_with(Opening::Lists(found(&[1])));
    watch.next().await.unwrap();
    assert_eq!((ports(&watch), watch.latest().stale()), (vec![1], None));
}

#[tokio::test(start_paused = true)]
async fn a_denied_watch_is_unknown_and_says_why() {
    let script = Script::default().opens(Opening::Fails(ErrorKind::Denied));
    let watchers = watchers(&script);
    let watch = watchers.watch(&service()).unwrap();
    soon().await;
    let newest = watch.latest();
    let stale = newest.stale().unwrap();
    assert_eq!((newest.is_known(), stale.kind, &*stale.text), (false, ErrorKind::Denied, "the store says no"));
}

#[tokio::test(start_paused = true)]
async fn an_outage_marks_and_never_empties() {
    let script = Script::listing(&[1, 2]);
    let (_watchers, mut watch) = watching(&script).await;
    script.open_with(Opening::Fails(ErrorKind::Unreachable));
    script.breaks();
    soon().await;
    let since = watch.latest().stale().unwrap().since;
    pass(GRACE * 10).await;
    assert_eq!(ports(&watch), [1, 2]);
    assert_eq!(watch.latest().stale().unwrap().since, since, "the mark keeps when it began");
    assert!(watch.next().now_or_never().is_none(), "a mark is no change of the set");
}

#[tokio::test(start_paused = true)]
async fn what_an_outage_took_is_held_for_one_grace_and_then_removed() {
    let script = Script::listing(&[1, 2]);
    let (_watchers, watch) = watching(&script).await;
    script.reopens(&[2]);
    soon().await;
    assert_eq!((ports(&watch), watch.latest().stale()), (vec![-1, 2], None));
    pass(GRACE - Duration::from_millis(200)).await;
    assert_eq!(ports(&watch), [-1, 2]);
    pass(Duration::from_millis(300)).await;
    assert_eq!(ports(&watch), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_removal_within_one_grace_of_an_outage_is_held_to_its_end() {
    let script = Script::listing(&[1, 2]);
    let (_watchers, watch) = watching(&script).await;
    script.reopens(&[1, 2]);
    pass(GRACE / 2).await;
    script.removes(1);
    soon().await;
    assert_eq!(ports(&watch), [-1, 2]);
    pass(GRACE / 2).await;
    assert_eq!(ports(&watch), [2]);
}

#[tokio::test(start_paused = true)]
async fn after_the_grace_removals_are_immediate_again() {
    let script = Script::listing(&[1, 2]);
    let (_watchers, watch) = watching(&script).await;
    script.reopens(&[1, 2]);
    pass(GRACE + Duration::from_secs(1)).await;
    script.removes(1);
    soon().await;
    assert_eq!(ports(&watch), [2]);
}

#[tokio::test(start_paused = true)]
async fn what_is_seen_again_within_the_grace_has_no_event() {
    let script = Script::listing(&[1, 2]);
    let (_watchers, mut watch) = watching(&script).await;
    script.reopens(&[]);
    soon().await;
    assert_eq!(ports(&watch), [-1, -2]);
    script.puts(entry(1));
    script.lists(&[1, 2]);
    soon().await;
    assert_eq!(ports(&watch), [1, 2]);
    pass(GRACE * 2).await;
    assert!(watch.next().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_update_of_a_held_instance_replaces_and_confirms_it() {
    let script = Script::listing(&[1]);
    let (_watchers, mut watch) = watching(&script).await;
    script.reopens(&[]);
    soon().await;
    script.puts(Found::new(key(1), instance(1, 99), 2));
    assert_eq!(watch.next().await.unwrap().difference.updated[0].weight(), 99);
    assert_eq!(ports(&watch), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_second_outage_holds_what_the_first_one_held() {
    let script = Script::listing(&[1, 2]);
    let (_watchers, watch) = watching(&script).await;
    script.reopens(&[2]);
    soon().await;
    script.open_with(Opening::Fails(ErrorKind::Unreachable));
    script.breaks();
    pass(GRACE * 4).await;
    assert_eq!(ports(&watch), [-1, 2]);
    script.open_with(Opening::Lists(found(&[2])));
    pass(GRACE / 2).await;
    assert_eq!(ports(&watch), [-1, 2], "one grace counts from the end of the second");
    pass(GRACE).await;
    assert_eq!(ports(&watch), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_is_settling_when_the_store_is_lost_is_held() {
    let settle = Duration::from_millis(500);
    let script = Script::settling(settle, &[1]);
    let (_watchers, watch) = watching(&script).await;
    script.removes(1);
    soon().await;
    script.open_with(Opening::Hangs);
    script.breaks();
    pass(GRACE).await;
    assert_eq!(ports(&watch), [-1]);
}

#[tokio::test(start_paused = true)]
async fn a_removal_in_the_same_breath_as_the_loss_is_held() {
    let script = Script::listing(&[1, 2]);
    let (_watchers, watch) = watching(&script).await;
    script.open_with(Opening::Hangs);
    script.removes(1);
    script.breaks();
    pass(GRACE).await;
    assert_eq!(ports(&watch), [-1, 2]);
}

#[tokio::test(start_paused = true)]
async fn more_than_half_turning_unhealthy_in_one_answer_is_held() {
    let script = Script::listing(&[1, 2, 3]);
    let (_watchers, watch) = watching(&script).await;
    script.says(ViewChange::Full(vec![unhealthy(1), unhealthy(2), entry(3)]));
    soon().await;
    assert_eq!(ports(&watch), [-1, -2, 3]);
    script.puts(entry(2));
    pass(GRACE).await;
    assert_eq!(ports(&watch), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn half_turning_unhealthy_is_removed_at_once() {
    let script = Script::listing(&[1, 2]);
    let (_watchers, watch) = watching(&script).await;
    script.says(ViewChange::Full(vec![unhealthy(1), entry(2)]));
    soon().await;
    assert_eq!(ports(&watch), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_wipe_is_held_also_when_an_empty_list_follows_in_the_same_batch() {
    let script = Script::listing(&[1, 2]);
    let (_watchers, watch) = watching(&script).await;
    script.says(ViewChange::Full(vec![unhealthy(1), unhealthy(2)]));
    script.lists(&[]);
    soon().await;
    assert_eq!(ports(&watch), [-1, -2]);
}

#[tokio::test(start_paused = true)]
async fn changes_before_a_full_list_are_an_answer_of_their_own() {
    let script = Script::listing(&[1, 2]);
    let (_watchers, watch) = watching(&script).await;
    script.puts(unhealthy(1));
    script.puts(unhealthy(2));
    script.lists(&[]);
    soon().await;
    assert_eq!(ports(&watch), [-1, -2]);
}

#[test]
fn the_default_grace_is_one_ttl_and_what_the_store_needs() {
    let grace = |grace: Option<u64>, least: u64| {
        let mut options = crate::HandleOptions::with_ttl(Duration::from_secs(30));
        options.removal_grace = grace.map(Duration::from_secs);
        let capabilities = crate::store::Capabilities { least_grace: Duration::from_secs(least), ..Default::default() };
        options.grace(&capabilities).as_secs()
    };
    assert_eq!([grace(None, 0), grace(None, 60), grace(None, 20), grace(Some(5), 60)], [30, 60, 30, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_grace_of_zero_holds_nothing_after_the_outage() {
    let script = Script::listing(&[1, 2]);
    let mut options = options();
    options.removal_grace = Some(Duration::ZERO);
    let watchers = crate::watcher::Watchers::new(std::sync::Arc::new(Scripted(script.clone())), &options);
    let watch = watchers.watch(&service()).unwrap();
    soon().await;
    script.reopens(&[2]);
    soon().await;
    assert_eq!(ports(&watch), [2]);
}
