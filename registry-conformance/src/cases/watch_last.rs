//! W2: whatever happens in between, the last item is the state of the store, and no older one comes after a newer.

use std::time::Duration;

use registry_core::{Info, Watch};

use crate::case;
use crate::case::Case;
use crate::cases::look::holds;
use crate::cases::views::{knows, watching};
use crate::context::{Context, Owner};
use crate::ensure;
use crate::failure::Failure;
use crate::hooks::{Hook, HookError};
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(W2: w2_the_last_of_many_quick_changes_is_delivered),
    case!(W2: w2_the_last_of_two_quick_changes_is_delivered),
    case!(W2: w2_the_last_removal_is_seen),
    case!(W2: w2_the_removal_of_one_of_two_at_the_same_moment_is_seen),
    case!(W2: w2_no_older_state_comes_after_a_newer),
    case!(W2: w2_after_a_cut_the_last_item_is_the_store).with_hooks(&[Hook::Cut]).lasting(converging),
    case!(W2: w2_after_a_kill_the_last_item_is_the_store).with_hooks(&[Hook::Kill]).lasting(converging),
    case!(W2: w2_after_a_freeze_the_last_item_is_the_store).with_hooks(&[Hook::Freeze]).lasting(converging),
    case!(W2: w2_after_a_wipe_the_last_item_is_the_store).with_hooks(&[Hook::Wipe]).lasting(converging),
    case!(W2: w2_after_compaction_the_last_item_is_the_store)
        .with_hooks(&[Hook::Compact, Hook::Cut])
        .lasting(converging),
    case!(W2: w2_after_the_owners_session_expired_the_last_item_is_the_store)
        .with_hooks(&[Hook::Expire])
        .lasting(converging),
    case!(W2: w2_after_the_readers_session_expired_the_last_item_is_the_store)
        .with_hooks(&[Hook::Expire])
        .lasting(converging),
    case!(W2: w2_no_older_state_comes_after_a_newer_through_cuts).with_hooks(&[Hook::Cut]).lasting(converging),
];

fn converging(timing: &Timing) -> Duration {
    timing.ttl() * 2 + timing.recovery() + timing.grace()
}

async fn w2_the_last_of_many_quick_changes_is_delivered(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let watch = reader.watch(&service)?;
    let mut last = ctx.info(&service);
    for weight in 1..=50 {
        last = last.to_builder().weight(weight).build().map_err(Failure::bench)?;
        ctx.register(&owner, &last).await?;
    }
    delivers_last(ctx, watch, ctx.timing().prompt(), &[&last]).await
}

/// Reading on, the consumer's last item within this time is this set.
async fn delivers_last(ctx: &Context, mut watch: Watch, within: Duration, wanted: &[&Info]) -> Result<(), Failure> {
    ctx.eventually(within, "the present state of the store", async || knows(&watch, wanted)).await?;
    let mut last = None;
    while let Ok(Some(change)) = tokio::time::timeout(Duration::ZERO, watch.next()).await {
        last = Some(change.snapshot);
    }
    let delivered = last.map(|snapshot| snapshot.same_set(&watch.latest()));
    ensure!(delivered != Some(false), "expected: the last item is the newest snapshot; seen: an older one");
    Ok(())
}

async fn w2_the_last_of_two_quick_changes_is_delivered(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let mut watch = watching(ctx, &reader, &service, &[]).await?;
    let info = ctx.info(&service);
    for round in 0..20 {
        let [first, last] = [1, 2].map(|step| info.to_builder().weight(2 * round + step).build());
        let (first, last) = (first.map_err(Failure::bench)?, last.map_err(Failure::bench)?);
        ctx.register(&owner, &first).await?;
        // In every other round the consumer has taken the first of the two.
        if round % 2 == 0 {
            ctx.next(&mut watch, ctx.timing().prompt(), "the first of two changes").await?;
        }
        ctx.register(&owner, &last).await?;
        delivers_last(ctx, watch.clone(), ctx.timing().prompt(), &[&last]).await?;
        while tokio::time::timeout(Duration::ZERO, watch.next()).await.is_ok_and(|item| item.is_some()) {}
    }
    Ok(())
}

async fn w2_the_last_removal_is_seen(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let mut watch = watching(ctx, &reader, &service, &[]).await?;
    for _ in 0..10 {
        // New ones in every round: what is told late of an earlier one is not taken for what is waited for.
        let (slow, quick) = (ctx.info(&service), ctx.info(&service));
        ctx.register(&owner, &slow).await?;
        yields(ctx, &mut watch, &[&slow], "the only instance").await?;
        ctx.deregister(&owner, &slow).await?;
        yields(ctx, &mut watch, &[], "the removal of the only instance").await?;
        // The two changes at once. Where they were not seen yet, the next round tells whether the last one ever is.
        ctx.register(&owner, &quick).await?;
        ctx.deregister(&owner, &quick).await?;
        delivers_last(ctx, watch.clone(), ctx.timing().prompt(), &[]).await?;
    }
    let last = ctx.info(&service);
    ctx.register(&owner, &last).await?;
    yields(ctx, &mut watch, &[&last], "the only instance").await
}

/// Reading on, the consumer comes to an item that is this set.
async fn yields(ctx: &Context, watch: &mut Watch, wanted: &[&Info], what: &str) -> Result<(), Failure> {
    while holds(&ctx.next(watch, ctx.timing().prompt(), what).await?.snapshot, wanted).is_err() {}
    Ok(())
}

async fn w2_the_removal_of_one_of_two_at_the_same_moment_is_seen(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let (leaving, coming) = (ctx.info(&service), ctx.info(&service));
    ctx.register(&owner, &leaving).await?;
    let watch = watching(ctx, &reader, &service, &[&leaving]).await?;
    let (gone, come) = tokio::join!(ctx.deregister(&owner, &leaving), ctx.register(&owner, &coming));
    gone.and(come)?;
    delivers_last(ctx, watch, ctx.timing().prompt(), &[&coming]).await
}

/// Lets the store change while and after the fault rages, and waits until the watch knows the outcome.
async fn converges(
    ctx: &Context,
    reader: &Owner,
    owner: &Owner,
    begin: impl AsyncFnOnce() -> Result<(), HookError>,
    end: impl AsyncFnOnce() -> Result<(), HookError>,
) -> Result<(), Failure> {
    let service = ctx.service();
    let (kept, leaving, late) = (ctx.info(&service), ctx.info(&service), ctx.info(&service));
    let changed = kept.to_builder().weight(88).build().map_err(Failure::bench)?;
    let new = ctx.info(&service);
    for info in [&kept, &leaving, &late] {
        ctx.register(owner, info).await?;
    }
    let watch = watching(ctx, reader, &service, &[&kept, &leaving, &late]).await?;
    begin().await?;
    ctx.note("the fault begins");
    // Each is asked for once; where the store is away from the owner, too, it is carried out afterwards.
    let (away, came) = tokio::join!(ctx.deregister(owner, &leaving), ctx.register(owner, &changed));
    owner.announce(&new)?;
    ctx.pause(ctx.timing().ttl()).await;
    end().await?;
    ctx.note("the fault is over");
    let wanted = if came.is_ok() { &changed } else { &kept };
    ctx.note(format_args!("deregister was ok: {}, register was ok: {}", away.is_ok(), came.is_ok()));
    owner.announce(wanted)?;
    let within = ctx.timing().recovery() + ctx.timing().grace();
    let what = "the present state of the store";
    ctx.eventually(within, what, async || knows(&watch, &[wanted, &late, &new])).await?;
    let fresh = async || match watch.latest().stale() {
        None => Ok(()),
        Some(stale) => Err(format!("stale since {:?}: {}", stale.since, stale.text)),
    };
    ctx.eventually(within, "a fresh snapshot", fresh).await?;
    ctx.register(owner, &late).await?;
    ctx.deregister(owner, &late).await?;
    delivers_last(ctx, watch, within, &[wanted, &new]).await
}

async fn w2_after_a_cut_the_last_item_is_the_store(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, hooks) = (ctx.connect().await?, ctx.connect().await?, ctx.hooks()?);
    let id = reader.id();
    converges(ctx, &reader, &owner, async || hooks.cut(id).await, async || hooks.heal(id).await).await
}

async fn w2_after_a_kill_the_last_item_is_the_store(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, hooks) = (ctx.connect().await?, ctx.connect().await?, ctx.hooks()?);
    converges(ctx, &reader, &owner, async || hooks.kill().await, async || hooks.restart().await).await
}

async fn w2_after_a_freeze_the_last_item_is_the_store(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, hooks) = (ctx.connect().await?, ctx.connect().await?, ctx.hooks()?);
    converges(ctx, &reader, &owner, async || hooks.freeze().await, async || hooks.thaw().await).await
}

async fn w2_after_a_wipe_the_last_item_is_the_store(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, hooks) = (ctx.connect().await?, ctx.connect().await?, ctx.hooks()?);
    converges(ctx, &reader, &owner, async || hooks.wipe().await, async || Ok(())).await
}

async fn w2_after_compaction_the_last_item_is_the_store(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, hooks) = (ctx.connect().await?, ctx.connect().await?, ctx.hooks()?);
    let id = reader.id();
    let end = async || {
        hooks.compact().await?;
        hooks.heal(id).await
    };
    converges(ctx, &reader, &owner, async || hooks.cut(id).await, end).await
}

async fn w2_after_the_owners_session_expired_the_last_item_is_the_store(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, hooks) = (ctx.connect().await?, ctx.connect().await?, ctx.hooks()?);
    let id = owner.id();
    converges(ctx, &reader, &owner, async || hooks.expire(id).await, async || Ok(())).await
}

async fn w2_after_the_readers_session_expired_the_last_item_is_the_store(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, hooks) = (ctx.connect().await?, ctx.connect().await?, ctx.hooks()?);
    let id = reader.id();
    // Some stores open a session with the first registration only.
    ctx.register(&reader, &ctx.info(&ctx.service())).await?;
    converges(ctx, &reader, &owner, async || hooks.expire(id).await, async || Ok(())).await
}

/// A consumer of an instance whose weight only grows.
struct Monotone {
    watch: Watch,
    last: u32,
}

impl Monotone {
    fn look(&mut self) -> Result<(), String> {
        let newest = self.watch.latest();
        let weight = newest.instances().first().map_or(self.last, |instance| instance.weight());
        let before = std::mem::replace(&mut self.last, weight);
        if weight < before { Err(format!("{weight} after {before}")) } else { Ok(()) }
    }
}

async fn w2_no_older_state_comes_after_a_newer(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    let mut newest = Monotone { watch: reader.watch(&service)?, last: 0 };
    let mut items = Monotone { watch: reader.watch(&service)?, last: 0 };
    let changes = async {
        for weight in 1..=200 {
            ctx.register(&owner, &info.to_builder().weight(weight).build().map_err(Failure::bench)?).await?;
        }
        Ok::<(), Failure>(())
    };
    let what = "the newest weight grows";
    ctx.during(what, changes, async || {
        newest.look()?;
        let item = tokio::time::timeout(Duration::ZERO, items.watch.next()).await;
        if matches!(item, Ok(Some(_))) { items.look() } else { Ok(()) }
    })
    .await??;
    let last = info.to_builder().weight(200).build().map_err(Failure::bench)?;
    delivers_last(ctx, items.watch, ctx.timing().prompt(), &[&last]).await
}

async fn w2_no_older_state_comes_after_a_newer_through_cuts(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let (service, hooks) = (ctx.service(), ctx.hooks()?);
    let info = ctx.info(&service);
    ctx.register(&owner, &info.to_builder().weight(1).build().map_err(Failure::bench)?).await?;
    let mut newest = Monotone { watch: reader.watch(&service)?, last: 0 };
    let mut last = info.clone();
    let changes = async {
        for weight in 2..=40 {
            match weight % 10 {
                0 => hooks.cut(reader.id()).await?,
                5 => hooks.heal(reader.id()).await?,
                _ => {}
            }
            last = info.to_builder().weight(weight).build().map_err(Failure::bench)?;
            ctx.register(&owner, &last).await?;
            ctx.pause(ctx.timing().ttl() / 10).await;
        }
        hooks.heal(reader.id()).await?;
        Ok::<(), Failure>(())
    };
    ctx.during("the newest weight grows", changes, async || newest.look()).await??;
    let watch = newest.watch.clone();
    let what = "the last weight";
    let look = async || {
        newest.look()?;
        knows(&watch, &[&last])
    };
    ctx.eventually(ctx.timing().recovery(), what, look).await
}
