//! W4: stale, not empty.

use std::time::{Duration, SystemTime};

use registry_core::{ErrorKind, Info, Stale, Watch};

use crate::case;
use crate::case::Case;
use crate::cases::views::{knows, nothing_new, settled, watching};
use crate::context::{Context, Owner};
use crate::ensure;
use crate::failure::Failure;
use crate::hooks::{Access, Hook, HookError};
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(W4: w4_while_cut_off_the_list_stays_and_is_marked_stale).with_hooks(&[Hook::Cut]).lasting(outage),
    case!(W4: w4_while_denied_the_list_stays_and_says_denied).with_hooks(&[Hook::Deny]).lasting(outage),
    case!(W4: w4_while_the_store_is_killed_the_list_stays).with_hooks(&[Hook::Kill]).lasting(outage),
    case!(W4: w4_while_the_store_is_frozen_the_list_stays).with_hooks(&[Hook::Freeze]).lasting(outage),
    case!(W4: w4_a_wiped_store_is_no_empty_list).with_hooks(&[Hook::Wipe]).lasting(outage),
    case!(W4: w4_a_removal_during_an_outage_is_held_for_a_grace_and_then_delivered)
        .with_hooks(&[Hook::Cut])
        .lasting(outage),
    case!(W4: w4_a_removal_within_the_grace_after_an_outage_is_held_too).with_hooks(&[Hook::Cut]).lasting(outage),
    case!(W4: w4_an_instance_that_is_seen_again_in_the_grace_makes_no_item).with_hooks(&[Hook::Cut]).lasting(outage),
    case!(W4: w4_a_scale_to_zero_during_an_outage_is_late_and_not_lost).with_hooks(&[Hook::Cut]).lasting(outage),
    case!(W4: w4_additions_and_updates_after_an_outage_are_not_held).with_hooks(&[Hook::Cut]).lasting(outage),
    case!(W4: w4_without_an_outage_a_removal_is_delivered_at_once),
    case!(W4: w4_without_an_outage_a_scale_to_zero_is_delivered_at_once),
];

fn outage(timing: &Timing) -> Duration {
    timing.ttl() * 2 + timing.recovery() + timing.grace() * 2
}

/// Within what time a removal that nothing holds is delivered: the declared settle time, and less than any grace.
fn at_once(ctx: &Context) -> Duration {
    ctx.capabilities().settle + (ctx.timing().grace() / 2).min(ctx.timing().prompt())
}

/// The mark of a snapshot, as soon as there is one.
async fn marked(ctx: &Context, watch: &Watch) -> Result<Stale, Failure> {
    let look = async || watch.latest().stale().cloned().ok_or_else(|| "a fresh snapshot".to_owned());
    ctx.eventually(ctx.timing().recovery(), "a snapshot marked stale", look).await
}

/// The mark is gone, within the recovery bound.
async fn fresh(ctx: &Context, watch: &Watch) -> Result<(), Failure> {
    let look = async || watch.latest().stale().map_or(Ok(()), |stale| Err(format!("stale: {}", stale.text)));
    ctx.eventually(ctx.timing().recovery(), "a fresh snapshot, after the fault", look).await
}

/// Two instances that stay listed through a fault, which is marked and told with one of these kinds.
async fn stays_through(
    ctx: &Context,
    reader: &Owner,
    kinds: &[ErrorKind],
    begin: impl AsyncFnOnce() -> Result<(), HookError>,
    end: impl AsyncFnOnce() -> Result<(), HookError>,
) -> Result<(), Failure> {
    // An owner that looks after its entries only when its back-off is over must not lose them meanwhile.
    let mut request = ctx.request();
    request.options.ttl = ctx.timing().ttl() + ctx.timing().recovery() * 2;
    let owner = ctx.open(request).await?;
    let service = ctx.service();
    let (one, two) = (ctx.info(&service), ctx.info(&service));
    ctx.register(&owner, &one).await?;
    ctx.register(&owner, &two).await?;
    let mut watch = watching(ctx, reader, &service, &[&one, &two]).await?;
    let (glance, began) = (watch.clone(), SystemTime::now());
    begin().await?;
    ctx.note("the fault begins");
    let fault = async {
        let first = marked(ctx, &watch).await?;
        ctx.note(format_args!("stale: {first:?}"));
        ensure!(kinds.contains(&first.kind), "expected: stale with one of {kinds:?}; seen: {first:?}");
        ensure!(!first.text.is_empty(), "expected: the text of the last error; seen: none");
        ensure!(
            (began..=SystemTime::now()).contains(&first.since),
            "expected: stale since the outage began at {began:?}; seen: {first:?}"
        );
        ctx.pause(ctx.timing().ttl() * 2).await;
        let later = marked(ctx, &watch).await?;
        ensure!(later.since == first.since, "expected: stale since {:?}, still; seen: {later:?}", first.since);
        end().await?;
        ctx.note("the fault is over");
        fresh(ctx, &watch).await
    };
    ctx.during("the last good list", fault, async || knows(&glance, &[&one, &two])).await??;
    nothing_new(&mut watch, ctx.timing().ttl(), "the set is what it was").await
}

const AWAY: &[ErrorKind] = &[ErrorKind::Unreachable, ErrorKind::TimedOut];

async fn w4_while_cut_off_the_list_stays_and_is_marked_stale(ctx: &Context) -> Result<(), Failure> {
    let (reader, hooks) = (ctx.connect().await?, ctx.hooks()?);
    let id = reader.id();
    stays_through(ctx, &reader, AWAY, async || hooks.cut(id).await, async || hooks.heal(id).await).await
}

async fn w4_while_denied_the_list_stays_and_says_denied(ctx: &Context) -> Result<(), Failure> {
    let (reader, hooks) = (ctx.connect().await?, ctx.hooks()?);
    let id = reader.id();
    let deny = async || hooks.deny(id, Access::Read).await;
    stays_through(ctx, &reader, &[ErrorKind::Denied], deny, async || hooks.allow(id).await).await
}

async fn w4_while_the_store_is_killed_the_list_stays(ctx: &Context) -> Result<(), Failure> {
    let (reader, hooks) = (ctx.connect().await?, ctx.hooks()?);
    stays_through(ctx, &reader, AWAY, async || hooks.kill().await, async || hooks.restart().await).await
}

async fn w4_while_the_store_is_frozen_the_list_stays(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, hooks) = (ctx.connect().await?, ctx.connect().await?, ctx.hooks()?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    let watch = watching(ctx, &reader, &service, &[&info]).await?;
    let fault = async {
        hooks.freeze().await?;
        ctx.note("the store is frozen");
        marked(ctx, &watch).await?;
        ctx.pause(ctx.timing().ttl() * 2).await;
        hooks.thaw().await?;
        ctx.note("the store runs again, after the owner's TTL");
        ctx.pause(ctx.timing().grace() / 2).await;
        Ok::<(), Failure>(())
    };
    ctx.during("the last good list", fault, async || knows(&watch, &[&info])).await??;
    let within = ctx.timing().recovery() + ctx.timing().grace();
    ctx.eventually(within, "the entry, brought back by its owner", async || knows(&watch, &[&info])).await?;
    fresh(ctx, &watch).await
}

async fn w4_a_wiped_store_is_no_empty_list(ctx: &Context) -> Result<(), Failure> {
    let (living, dying) = (ctx.connect().await?, ctx.connect().await?);
    let (reader, hooks, service) = (ctx.connect().await?, ctx.hooks()?, ctx.service());
    let (restored, lost) = (ctx.info(&service), ctx.info(&service));
    ctx.register(&living, &restored).await?;
    ctx.register(&dying, &lost).await?;
    let watch = watching(ctx, &reader, &service, &[&restored, &lost]).await?;
    // An owner that lives may be faster than any watcher; what it has lost stays away.
    dying.crash();
    let fault = async {
        hooks.wipe().await?;
        ctx.note("the store is empty");
        ctx.pause(ctx.timing().grace() / 2).await;
        Ok::<(), Failure>(())
    };
    let look = async || knows(&watch, &[&restored, &lost]);
    ctx.during("the last good list, until one grace later", fault, look).await??;
    let within = ctx.timing().recovery() + ctx.timing().grace();
    ctx.eventually(within, "what its owner brought back", async || knows(&watch, &[&restored])).await
}

/// A watch of two instances, one of which is withdrawn while the reader is cut off; it returns when the outage is over, and not before the
/// watch is stale.
async fn withdrawn_in_an_outage(
    ctx: &Context,
    owner: &Owner,
    reader: &Owner,
    [staying, leaving]: [&Info; 2],
) -> Result<Watch, Failure> {
    for info in [staying, leaving] {
        ctx.register(owner, info).await?;
    }
    let watch = watching(ctx, reader, staying.service(), &[staying, leaving]).await?;
    ctx.hooks()?.cut(reader.id()).await?;
    ctx.note("the reader is cut off");
    marked(ctx, &watch).await?;
    ctx.deregister(owner, leaving).await?;
    ctx.hooks()?.heal(reader.id()).await?;
    ctx.note("the link is mended");
    Ok(watch)
}

/// The instance is listed, and marked.
fn is_held(watch: &Watch, info: &Info) -> Result<(), String> {
    if watch.latest().is_unconfirmed(info.address()) {
        return Ok(());
    }
    Err(format!("{} is not marked unconfirmed in {:?}", info.address(), *watch.latest()))
}

async fn w4_a_removal_during_an_outage_is_held_for_a_grace_and_then_delivered(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, service) = (ctx.connect().await?, ctx.connect().await?, ctx.service());
    let (staying, leaving) = (ctx.info(&service), ctx.info(&service));
    let mut watch = withdrawn_in_an_outage(ctx, &owner, &reader, [&staying, &leaving]).await?;
    let (glance, healed) = (watch.clone(), ctx.elapsed());
    let held = async {
        fresh(ctx, &watch).await?;
        ctx.eventually(ctx.timing().look() * 2, "a mark", async || is_held(&watch, &leaving)).await?;
        let left = (healed + ctx.timing().grace().mul_f64(0.9)).saturating_sub(ctx.elapsed());
        ctx.throughout(left, "held and marked", async || is_held(&watch, &leaving)).await
    };
    ctx.during("both instances", held, async || knows(&glance, &[&staying, &leaving])).await??;
    let within = ctx.timing().recovery() + ctx.timing().grace();
    settled(ctx, &mut watch, within, &[&staying], "the removal, after the grace").await?;
    ensure!(watch.latest().unconfirmed().is_empty(), "expected: no mark is left; seen: {:?}", *watch.latest());
    Ok(())
}

async fn w4_a_removal_within_the_grace_after_an_outage_is_held_too(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, service) = (ctx.connect().await?, ctx.connect().await?, ctx.service());
    let (staying, leaving) = (ctx.info(&service), ctx.info(&service));
    for info in [&staying, &leaving] {
        ctx.register(&owner, info).await?;
    }
    let mut watch = watching(ctx, &reader, &service, &[&staying, &leaving]).await?;
    ctx.hooks()?.cut(reader.id()).await?;
    marked(ctx, &watch).await?;
    ctx.hooks()?.heal(reader.id()).await?;
    fresh(ctx, &watch).await?;
    ctx.note("the outage is over");
    ctx.deregister(&owner, &leaving).await?;
    // The outage is over since a look at most: nearly the whole grace is left.
    let (time, glance) = (ctx.timing().grace() / 2, watch.clone());
    ctx.throughout(time, "both instances", async || knows(&glance, &[&staying, &leaving])).await?;
    let within = ctx.timing().grace() + ctx.timing().prompt();
    settled(ctx, &mut watch, within, &[&staying], "the removal, after the grace").await
}

async fn w4_an_instance_that_is_seen_again_in_the_grace_makes_no_item(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, service) = (ctx.connect().await?, ctx.connect().await?, ctx.service());
    let (staying, leaving) = (ctx.info(&service), ctx.info(&service));
    let mut watch = withdrawn_in_an_outage(ctx, &owner, &reader, [&staying, &leaving]).await?;
    fresh(ctx, &watch).await?;
    ctx.eventually(ctx.timing().look() * 2, "a mark", async || is_held(&watch, &leaving)).await?;
    ctx.register(&owner, &leaving).await?;
    let glance = watch.clone();
    let unmarked = async || if is_held(&glance, &leaving).is_err() { Ok(()) } else { Err("marked, still".to_owned()) };
    ctx.eventually(at_once(ctx), "the instance is confirmed again", unmarked).await?;
    nothing_new(&mut watch, ctx.timing().grace() * 2, "the instance never left the list").await?;
    ctx.eventually(ctx.timing().look(), "both instances", async || knows(&watch, &[&staying, &leaving])).await
}

async fn w4_a_scale_to_zero_during_an_outage_is_late_and_not_lost(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, service) = (ctx.connect().await?, ctx.connect().await?, ctx.service());
    let (first, second) = (ctx.info(&service), ctx.info(&service));
    let mut watch = withdrawn_in_an_outage(ctx, &owner, &reader, [&first, &second]).await?;
    ctx.deregister(&owner, &first).await?;
    let within = ctx.timing().recovery() + ctx.timing().grace();
    settled(ctx, &mut watch, within, &[], "no instance, after the grace").await
}

async fn w4_additions_and_updates_after_an_outage_are_not_held(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, service) = (ctx.connect().await?, ctx.connect().await?, ctx.service());
    let (staying, leaving, new) = (ctx.info(&service), ctx.info(&service), ctx.info(&service));
    let mut watch = withdrawn_in_an_outage(ctx, &owner, &reader, [&staying, &leaving]).await?;
    fresh(ctx, &watch).await?;
    let heavier = staying.to_builder().weight(99).build().map_err(Failure::bench)?;
    ctx.register(&owner, &new).await?;
    ctx.register(&owner, &heavier).await?;
    let what = "the addition and the update, while the removal is held";
    settled(ctx, &mut watch, at_once(ctx), &[&heavier, &leaving, &new], what).await
}

async fn w4_without_an_outage_a_removal_is_delivered_at_once(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, service) = (ctx.connect().await?, ctx.connect().await?, ctx.service());
    let infos: Vec<Info> = (0..4).map(|_| ctx.info(&service)).collect();
    for info in &infos {
        ctx.register(&owner, info).await?;
    }
    let mut wanted: Vec<&Info> = infos.iter().collect();
    let mut watch = watching(ctx, &reader, &service, &wanted).await?;
    while wanted.len() > 1 {
        let Some(leaving) = wanted.pop() else { break };
        ctx.deregister(&owner, leaving).await?;
        settled(ctx, &mut watch, at_once(ctx), &wanted, "the removal, which nothing holds").await?;
    }
    Ok(())
}

async fn w4_without_an_outage_a_scale_to_zero_is_delivered_at_once(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader, service) = (ctx.connect().await?, ctx.connect().await?, ctx.service());
    let infos: Vec<Info> = (0..4).map(|_| ctx.info(&service)).collect();
    for info in &infos {
        ctx.register(&owner, info).await?;
    }
    let wanted: Vec<&Info> = infos.iter().collect();
    let mut watch = watching(ctx, &reader, &service, &wanted).await?;
    let gone = futures_util::future::join_all(infos.iter().map(|info| ctx.deregister(&owner, info))).await;
    gone.into_iter().collect::<Result<Vec<()>, _>>()?;
    settled(ctx, &mut watch, at_once(ctx), &[], "no instance: all were withdrawn").await
}
