//! W1: what a watch delivers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use fastrand::Rng;
use registry_core::{Address, Change, Info, InfoBuilder, Instance, Watch};

use crate::case;
use crate::case::Case;
use crate::cases::look::holds;
use crate::cases::steps::sees;
use crate::cases::views::{is_refused, knows, nothing_new, watching};
use crate::context::{Context, Owner, addresses};
use crate::ensure;
use crate::failure::{Failure, Promised as _};
use crate::hooks::{Access, Hook};
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(W1: w1_a_watch_is_unknown_then_present_then_follows_each_change),
    case!(W1: w1_the_present_snapshot_comes_first_with_all_that_stands),
    case!(W1: w1_a_watch_on_a_store_that_is_cut_off_is_unknown_and_not_empty).with_hooks(&[Hook::Cut]).lasting(away),
    case!(W1: w1_a_watch_that_is_denied_is_unknown_and_not_empty).with_hooks(&[Hook::Deny]).lasting(away),
    case!(W1, R10: w1_a_watch_on_a_handle_opened_while_the_store_is_away_is_unknown_and_not_empty)
        .with_hooks(&[Hook::Kill])
        .lasting(away),
    case!(W1: w1_a_change_of_any_field_is_one_update),
    case!(W1: w1_registering_the_same_again_is_no_change).lasting(Timing::prompt),
    case!(W1: w1_differences_applied_in_order_make_the_full_list),
    case!(W1: w1_each_consumer_has_the_difference_to_its_own_last_item),
];

fn away(timing: &Timing) -> Duration {
    timing.ttl() * 2 + timing.recovery()
}

async fn w1_a_watch_is_unknown_then_present_then_follows_each_change(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let mut watch = reader.watch(&service).promised("a watch at once")?;
    let newest = addresses(&watch.latest());
    ensure!(newest == "unknown", "expected: unknown before the store answered; seen: {newest}");
    let within = ctx.timing().prompt();
    let empty = ctx.next(&mut watch, within, "the present snapshot, also when empty").await?;
    holds(&empty.snapshot, &[]).promised("the service is empty")?;
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    let added = ctx.next(&mut watch, within, "the new instance").await?;
    holds(&added.snapshot, &[&info]).promised("the new instance")?;
    counts(&added, (1, 0, 0))?;
    let heavier = info.to_builder().weight(99).build().map_err(Failure::bench)?;
    ctx.register(&owner, &heavier).await?;
    let updated = ctx.next(&mut watch, within, "the changed weight").await?;
    holds(&updated.snapshot, &[&heavier]).promised("the changed weight")?;
    counts(&updated, (0, 1, 0))?;
    ctx.deregister(&owner, &heavier).await?;
    let removed = ctx.next(&mut watch, within, "the last removal").await?;
    holds(&removed.snapshot, &[]).promised("the last removal")?;
    counts(&removed, (0, 0, 1))
}

/// How many were added, updated and removed.
fn counts(change: &Change, wanted: (usize, usize, usize)) -> Result<(), Failure> {
    let difference = &change.difference;
    let seen = (difference.added.len(), difference.updated.len(), difference.removed.len());
    ensure!(seen == wanted, "expected (added, updated, removed): {wanted:?}; seen: {seen:?}");
    Ok(())
}

async fn w1_the_present_snapshot_comes_first_with_all_that_stands(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let (first, second) = (ctx.info(&service), ctx.info(&service));
    ctx.register(&owner, &first).await?;
    ctx.register(&owner, &second).await?;
    // Where reads lag, the present is waited for before the watch begins.
    sees(ctx, &*reader, &service, &[&first, &second], "both instances").await?;
    let mut watch = reader.watch(&service)?;
    let change = ctx.next(&mut watch, ctx.timing().prompt(), "the present snapshot").await?;
    holds(&change.snapshot, &[&first, &second]).promised("all that stands in one item")?;
    counts(&change, (2, 0, 0))
}

async fn w1_a_watch_on_a_store_that_is_cut_off_is_unknown_and_not_empty(ctx: &Context) -> Result<(), Failure> {
    let reader = ctx.connect().await?;
    let (hooks, id) = (ctx.hooks()?, reader.id());
    hooks.cut(id).await?;
    unknown_until(ctx, &reader, async || hooks.heal(id).await).await
}

async fn w1_a_watch_that_is_denied_is_unknown_and_not_empty(ctx: &Context) -> Result<(), Failure> {
    let reader = ctx.connect().await?;
    let (hooks, id) = (ctx.hooks()?, reader.id());
    hooks.deny(id, Access::Read).await?;
    unknown_until(ctx, &reader, async || hooks.allow(id).await).await
}

async fn w1_a_watch_on_a_handle_opened_while_the_store_is_away_is_unknown_and_not_empty(
    ctx: &Context,
) -> Result<(), Failure> {
    let hooks = ctx.hooks()?;
    hooks.kill().await?;
    let mut request = ctx.request();
    request.options.lazy = true;
    let reader = ctx.open(request).await.promised("a lazy handle opens while the store is away")?;
    unknown_until(ctx, &reader, async || hooks.restart().await).await
}

/// Watches a service with and one without instances: both are unknown until the fault is over, then both are known.
async fn unknown_until(
    ctx: &Context,
    reader: &Owner,
    end: impl AsyncFnOnce() -> Result<(), crate::HookError>,
) -> Result<(), Failure> {
    let (service, nobody) = (ctx.service(), ctx.service());
    let began = ctx.elapsed();
    let mut watch = reader.watch(&service).promised("a watch at once, while the store is away or denies it")?;
    let mut empty = reader.watch(&nobody).promised("a watch at once, while the store is away or denies it")?;
    let waited = ctx.elapsed() - began;
    ensure!(waited < ctx.timing().look(), "expected: `watch` returns at once; seen: after {waited:?}");
    let look = async || match (watch.latest().is_known(), empty.latest().is_known()) {
        (false, false) => Ok(()),
        _ => Err(format!("{} and {}", addresses(&watch.latest()), addresses(&empty.latest()))),
    };
    ctx.throughout(ctx.timing().ttl() * 2, "unknown", look).await?;
    nothing_new(&mut empty, ctx.timing().look(), "nothing is known").await?;
    end().await?;
    ctx.note("the fault is over");
    let (within, info) = (ctx.timing().recovery(), ctx.info(&service));
    let owner = ctx.connect().await?;
    ctx.register(&owner, &info).await?;
    let first = ctx.next(&mut empty, within, "the present snapshot, also when empty").await?;
    holds(&first.snapshot, &[]).promised("the service without instances is empty")?;
    ctx.eventually(within, "the instance of the other service", async || knows(&watch, &[&info])).await?;
    ctx.next(&mut watch, ctx.timing().look(), "the instance as an item").await.map(drop)
}

/// An instance of which one field is changed.
type Changed<'a> = &'a dyn Fn(&Info) -> InfoBuilder;

async fn w1_a_change_of_any_field_is_one_update(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let mut last = ctx.builder(&service).tag("zone", "a").tag("stage", "x").build().map_err(Failure::bench)?;
    ctx.register(&owner, &last).await?;
    let mut watch = watching(ctx, &reader, &service, &[&last]).await?;
    let quic = Address::new("quic", last.address().as_str()).map_err(Failure::bench)?;
    let changes: [(&str, Changed<'_>); 8] = [
        ("the weight", &|info| info.to_builder().weight(11)),
        ("a tag's value", &|info| info.to_builder().tag("zone", "b")),
        ("a new tag", &|info| info.to_builder().tag("empty", "")),
        ("a tag that is gone", &|info| info.to_builder().tags([("zone", "b"), ("empty", "")])),
        ("the payload codec", &|info| info.to_builder().payload_codec("thrift")),
        ("the start time", &|info| info.to_builder().start_time(UNIX_EPOCH + Duration::from_millis(1))),
        ("the warm-up", &|info| info.to_builder().warm_up(Duration::from_millis(1))),
        ("the network", &|info| info.to_builder().address(quic.clone())),
    ];
    for (what, change) in changes {
        let next = change(&last).build().map_err(Failure::bench)?;
        if is_refused("register", ctx.register(&owner, &next).await, &["address", "network"])? {
            continue;
        }
        let item = ctx.next(&mut watch, ctx.timing().prompt(), what).await?;
        holds(&item.snapshot, &[&next]).promised(what)?;
        counts(&item, (0, 1, 0))?;
        last = next;
    }
    Ok(())
}

async fn w1_registering_the_same_again_is_no_change(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    let mut watch = watching(ctx, &reader, &service, &[&info]).await?;
    for _ in 0..5 {
        ctx.register(&owner, &info).await?;
    }
    nothing_new(&mut watch, ctx.timing().prompt(), "the set did not change").await
}

/// A consumer that knows only the differences.
#[derive(Default)]
struct Follower {
    instances: BTreeMap<String, Arc<Instance>>,
}

impl Follower {
    fn apply(&mut self, change: &Change) -> Result<(), Failure> {
        let difference = &change.difference;
        ensure!(!difference.is_empty() || self.instances.is_empty(), "expected: an item with a difference; seen: none");
        for gone in &difference.removed {
            let before = self.instances.remove(gone.address().as_str());
            ensure!(before.is_some(), "expected: only what was there is removed; seen: {}", gone.address());
        }
        for new in &difference.added {
            let before = self.instances.insert(new.address().to_string(), new.clone());
            ensure!(before.is_none(), "expected: only what was not there is added; seen: {}", new.address());
        }
        for other in &difference.updated {
            let before = self.instances.insert(other.address().to_string(), other.clone());
            ensure!(before.is_some(), "expected: only what was there is updated; seen: {}", other.address());
        }
        let same = self.instances.values().eq(change.snapshot.instances());
        let full = addresses(&change.snapshot);
        ensure!(same, "expected: the differences make {full}; seen: {:?}", self.instances.keys());
        Ok(())
    }

    async fn drain(&mut self, watch: &mut Watch) -> Result<(), Failure> {
        while let Ok(Some(change)) = tokio::time::timeout(Duration::ZERO, watch.next()).await {
            self.apply(&change)?;
        }
        Ok(())
    }
}

async fn w1_differences_applied_in_order_make_the_full_list(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let mut rng = Rng::with_seed(1);
    let mut pool: Vec<(Info, bool)> = (0..6).map(|_| (ctx.info(&service), false)).collect();
    let mut watches = [reader.watch(&service)?, reader.watch(&service)?];
    let mut followers = [Follower::default(), Follower::default()];
    for step in 1..=80 {
        let (info, stands) = &mut pool[rng.usize(..6)];
        if *stands && rng.bool() {
            ctx.deregister(&owner, info).await?;
            *stands = false;
        } else {
            *info = info.to_builder().weight(step).build().map_err(Failure::bench)?;
            ctx.register(&owner, info).await?;
            *stands = true;
        }
        if rng.u8(..3) == 0 {
            ctx.pause(ctx.timing().look()).await;
        }
        // One consumer reads often, the other one now and then.
        followers[0].drain(&mut watches[0]).await?;
        if step % 9 == 0 {
            followers[1].drain(&mut watches[1]).await?;
        }
    }
    let standing: Vec<&Info> = pool.iter().filter(|(_, stands)| *stands).map(|(info, _)| info).collect();
    for (watch, follower) in watches.iter_mut().zip(&mut followers) {
        let what = "the list of the last step";
        ctx.eventually(ctx.timing().prompt(), what, async || knows(watch, &standing)).await?;
        follower.drain(watch).await?;
        ensure!(follower.instances.len() == standing.len(), "expected: the last item is delivered; seen: it is not");
    }
    Ok(())
}

async fn w1_each_consumer_has_the_difference_to_its_own_last_item(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let (gone, changed, new) = (ctx.info(&service), ctx.info(&service), ctx.info(&service));
    ctx.register(&owner, &gone).await?;
    ctx.register(&owner, &changed).await?;
    let mut early = watching(ctx, &reader, &service, &[&gone, &changed]).await?;
    let heavier = changed.to_builder().weight(99).build().map_err(Failure::bench)?;
    ctx.deregister(&owner, &gone).await?;
    ctx.register(&owner, &heavier).await?;
    ctx.register(&owner, &new).await?;
    let what = "the three changes";
    ctx.eventually(ctx.timing().prompt(), what, async || knows(&early, &[&heavier, &new])).await?;
    let mut late = reader.watch(&service)?;
    let within = ctx.timing().prompt();
    counts(&ctx.next(&mut early, within, "the three changes in one item").await?, (1, 1, 1))?;
    counts(&ctx.next(&mut late, within, "the present snapshot").await?, (2, 0, 0))
}
