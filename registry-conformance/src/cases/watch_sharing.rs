//! W3, W5 and W6: many consumers of one watch on the store, slow ones, and those that only look at the newest snapshot.

use std::sync::mpsc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use registry_core::Info;
use tokio::time::Instant;

use crate::case;
use crate::case::Case;
use crate::cases::look::holds;
use crate::cases::views::{knows, nothing_new, settled, watching};
use crate::context::Context;
use crate::ensure;
use crate::failure::{Failure, Promised as _};
use crate::hooks::Hook;
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(W3: w3_after_10_000_changes_an_idle_consumer_gets_the_newest_in_one_item)
        .lasting(|timing| timing.allow(Duration::from_secs(60))),
    case!(W3: w3_a_consumer_that_never_reads_delays_nobody).lasting(|timing| timing.operation() * 2),
    case!(W5: w5_watches_of_one_service_share_one_watch_on_the_store).with_hooks(&[Hook::CountWatches]),
    case!(W5: w5_dropping_the_last_watch_ends_it_at_the_store)
        .with_hooks(&[Hook::CountWatches])
        .where_offered(&["ending a watch at the store"]),
    case!(W5: w5_dropping_one_of_two_watches_leaves_the_other),
    case!(W5: w5_a_later_watch_starts_again_with_what_stands_then),
    case!(W5: w5_a_watch_dropped_while_the_store_is_away_leaves_nothing)
        .with_hooks(&[Hook::CountWatches, Hook::Cut])
        .where_offered(&["ending a watch at the store"])
        .lasting(Timing::recovery),
    case!(W5, L5: w5_a_thousand_watches_that_came_and_went_leave_nothing)
        .with_hooks(&[Hook::CountWatches])
        .where_offered(&["ending a watch at the store"])
        .lasting(|timing| timing.allow(Duration::from_secs(20))),
    case!(W6: w6_the_newest_snapshot_is_read_without_a_runtime).with_hooks(&[Hook::Cut]).lasting(Timing::recovery),
];

async fn w3_after_10_000_changes_an_idle_consumer_gets_the_newest_in_one_item(ctx: &Context) -> Result<(), Failure> {
    const INSTANCES: usize = 100;
    // Calls at a time: as many as a store that takes no more than a few writes a second answers within the operation timeout.
    const AT_ONCE: usize = 16;
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let mut infos: Vec<Info> = (0..INSTANCES).map(|_| ctx.info(&service)).collect();
    let mut idle = watching(ctx, &reader, &service, &[]).await?;
    let mut busy = watching(ctx, &reader, &service, &[]).await?;
    // A store that takes a few hundred writes a second makes what it can in this time: thousands will do, but for the name.
    let (enough, began, mut changes) = (ctx.timing().allow(Duration::from_secs(45)), Instant::now(), 0);
    for weight in 1..=10_000 / INSTANCES as u32 {
        if began.elapsed() > enough {
            break;
        }
        changes += INSTANCES;
        for info in &mut infos {
            *info = info.to_builder().weight(weight).build().map_err(Failure::bench)?;
        }
        stream::iter(&infos).map(Ok).try_for_each_concurrent(AT_ONCE, |info| owner.register(info)).await?;
        if weight % 20 == 0 {
            let wanted: Vec<&Info> = infos.iter().collect();
            settled(ctx, &mut busy, ctx.timing().prompt(), &wanted, "the changes so far, for who reads on").await?;
        }
    }
    ctx.note(format_args!("{changes} changes are made"));
    let wanted: Vec<&Info> = infos.iter().collect();
    settled(ctx, &mut busy, ctx.timing().prompt(), &wanted, "the last changes, for who reads on").await?;
    let item = ctx.next(&mut idle, ctx.timing().prompt(), "the newest state").await?;
    holds(&item.snapshot, &wanted).promised("the newest state in the first item")?;
    nothing_new(&mut idle, ctx.timing().look(), "one item has it all").await
}

async fn w3_a_consumer_that_never_reads_delays_nobody(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let idle: Vec<_> = (0..20).map(|_| reader.watch(&service)).collect::<Result<_, _>>()?;
    let mut busy = watching(ctx, &reader, &service, &[]).await?;
    let info = ctx.info(&service);
    let began = ctx.elapsed();
    for weight in 1..=300 {
        // A store that is polled shows a few changes a second: it is not asked for all of them.
        if weight > 20 && ctx.elapsed() - began > ctx.timing().operation() * 2 {
            break;
        }
        let next = info.to_builder().weight(weight).build().map_err(Failure::bench)?;
        ctx.register(&owner, &next).await?;
        let item = ctx.next(&mut busy, ctx.timing().prompt(), "each change, beside consumers that never read").await?;
        holds(&item.snapshot, &[&next]).promised("this change")?;
    }
    drop(idle);
    Ok(())
}

async fn w5_watches_of_one_service_share_one_watch_on_the_store(ctx: &Context) -> Result<(), Failure> {
    let (reader, other) = (ctx.connect().await?, ctx.connect().await?);
    let (service, beside) = (ctx.service(), ctx.service());
    let before = ctx.hooks()?.watches().await?;
    let first = watching(ctx, &reader, &service, &[]).await?;
    let mut held = vec![first.clone(), first];
    for _ in 0..10 {
        held.push(watching(ctx, &reader, &service, &[]).await?);
    }
    let seen = ctx.hooks()?.watches().await? - before;
    ensure!(seen == 1, "expected: {} watches of one service are one at the store; seen: {seen}", held.len());
    held.push(watching(ctx, &reader, &beside, &[]).await?);
    held.push(watching(ctx, &other, &service, &[]).await?);
    let seen = ctx.hooks()?.watches().await? - before;
    ensure!(seen == 3, "expected: another service and another handle have one each; seen: {seen} in all");
    Ok(())
}

async fn w5_dropping_the_last_watch_ends_it_at_the_store(ctx: &Context) -> Result<(), Failure> {
    let reader = ctx.connect().await?;
    let service = ctx.service();
    let before = ctx.hooks()?.watches().await?;
    let (first, second) = (watching(ctx, &reader, &service, &[]).await?, watching(ctx, &reader, &service, &[]).await?);
    drop(first);
    let one = async || count_is(ctx, before + 1).await;
    ctx.throughout(ctx.timing().ttl(), "the watch at the store stays for the second", one).await?;
    drop(second);
    let none = async || count_is(ctx, before).await;
    ctx.eventually(ctx.timing().prompt(), "no watch at the store", none).await
}

async fn count_is(ctx: &Context, wanted: usize) -> Result<(), String> {
    let hooks = ctx.hooks().map_err(|failure| failure.to_string())?;
    match hooks.watches().await.map_err(|error| error.to_string())? {
        seen if seen == wanted => Ok(()),
        seen => Err(format!("{seen} instead of {wanted} watches at the store")),
    }
}

async fn w5_dropping_one_of_two_watches_leaves_the_other(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let first = watching(ctx, &reader, &service, &[]).await?;
    let mut second = watching(ctx, &reader, &service, &[]).await?;
    drop(first);
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    settled(ctx, &mut second, ctx.timing().prompt(), &[&info], "a change, for the watch that is left").await
}

async fn w5_a_later_watch_starts_again_with_what_stands_then(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let (before, meanwhile, after) = (ctx.info(&service), ctx.info(&service), ctx.info(&service));
    ctx.register(&owner, &before).await?;
    drop(watching(ctx, &reader, &service, &[&before]).await?);
    ctx.deregister(&owner, &before).await?;
    ctx.register(&owner, &meanwhile).await?;
    let mut watch = watching(ctx, &reader, &service, &[&meanwhile]).await?;
    ctx.register(&owner, &after).await?;
    let what = "a change, after the watch was started again";
    settled(ctx, &mut watch, ctx.timing().prompt(), &[&meanwhile, &after], what).await
}

async fn w5_a_watch_dropped_while_the_store_is_away_leaves_nothing(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let before = ctx.hooks()?.watches().await?;
    let watch = watching(ctx, &reader, &service, &[]).await?;
    ctx.hooks()?.cut(reader.id()).await?;
    drop(watch);
    drop(reader.watch(&service)?);
    ctx.hooks()?.heal(reader.id()).await?;
    ctx.note("the link is mended");
    let within = ctx.timing().recovery();
    ctx.eventually(within, "no watch at the store", async || count_is(ctx, before).await).await?;
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    let mut watch = reader.watch(&service)?;
    settled(ctx, &mut watch, within, &[&info], "a later watch starts again").await
}

async fn w6_the_newest_snapshot_is_read_without_a_runtime(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    let watch = watching(ctx, &reader, &service, &[&info]).await?;
    ctx.hooks()?.cut(reader.id()).await?;
    let stale = async || if watch.latest().stale().is_some() { Ok(()) } else { Err("a fresh snapshot".to_owned()) };
    ctx.eventually(ctx.timing().recovery(), "a stale snapshot, with the store away", stale).await?;
    let (told, hears) = mpsc::channel();
    let consumer = watch.clone();
    let thread = std::thread::spawn(move || {
        for _ in 0..10_000 {
            // Nobody hears when the case has given up.
            let _ = told.send(consumer.latest().to_arc());
        }
    });
    // This blocks the only thread of the runtime: a read that needed it would never answer.
    for _ in 0..10_000 {
        let snapshot = hears.recv_timeout(ctx.timing().allow(Duration::from_secs(5)));
        let snapshot = snapshot.promised("an answer, while the runtime stands still and the store is away")?;
        holds(&snapshot, &[&info]).promised("the last good snapshot")?;
    }
    thread.join().map_err(|_| Failure::broken("expected: a read outside a runtime; seen: a panic"))?;
    knows(&watch, &[&info]).promised("the last good snapshot")
}

async fn w5_a_thousand_watches_that_came_and_went_leave_nothing(ctx: &Context) -> Result<(), Failure> {
    const AT_ONCE: usize = 20;
    let (reader, hooks) = (ctx.connect().await?, ctx.hooks()?);
    let before = hooks.watches().await?;
    for _ in 0..1_000 / AT_ONCE {
        let services: Vec<_> = (0..AT_ONCE).map(|_| ctx.service()).collect();
        let cycles = services.iter().map(async |service| {
            let mut watch = reader.watch(service)?;
            ctx.next(&mut watch, ctx.timing().operation(), "the empty list").await.map(drop)
        });
        join_all(cycles).await.into_iter().collect::<Result<Vec<()>, Failure>>()?;
    }
    let what = "as many watches at the store as before";
    ctx.eventually(ctx.timing().prompt(), what, async || match hooks.watches().await {
        Ok(now) if now == before => Ok(()),
        Ok(now) => Err(format!("{now} instead of {before}")),
        Err(error) => Err(error.to_string()),
    })
    .await
}
