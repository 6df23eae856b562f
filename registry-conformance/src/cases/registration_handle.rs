//! R9 and R10: the life of a handle, and standing wishes.

use std::time::Duration;

use registry_core::{ErrorKind, HandleState, RegistrationState, ServiceName};

use crate::case;
use crate::case::Case;
use crate::cases::look::stands;
use crate::cases::steps::{changed, closed, hurried, oversized, refused, rich, sees};
use crate::cases::views::in_a_hurry;
use crate::context::{Context, Owner};
use crate::ensure;
use crate::failure::{Failure, Promised as _};
use crate::hooks::Hook;
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(R9: r9_close_withdraws_everything).lasting(Timing::quiet),
    case!(R9: r9_a_second_close_is_ok_and_later_calls_say_closed),
    case!(R9, W1: r9_watches_end_with_close),
    case!(R9: r9_close_ends_the_session).with_hooks(&[Hook::CountSessions]),
    case!(R9, V3: r9_close_with_the_store_away_ends_in_time_and_the_handle_is_closed)
        .with_hooks(&[Hook::Cut])
        .lasting(outage),
    case!(R9, L2: r9_a_dropped_handle_leaves_no_session_and_no_watch)
        .with_hooks(&[Hook::CountSessions, Hook::CountWatches])
        .lasting(Timing::crash_is_over),
    case!(R9: r9_a_handle_dropped_outside_a_runtime_does_not_panic).lasting(Timing::crash_is_over),
    case!(R9: r9_a_handle_whose_runtime_ended_neither_panics_nor_hangs).in_real_time().lasting(Timing::crash_is_over),
    case!(R10: r10_announced_stands_soon_and_says_so),
    case!(R10, R7: r10_announced_takes_over_what_another_owner_holds).lasting(Timing::quiet),
    case!(R10: r10_announced_in_an_outage_stands_after_it).with_hooks(&[Hook::Cut]).lasting(outage),
    case!(R10: r10_a_handle_opens_lazily_while_the_store_is_away).with_hooks(&[Hook::Cut]).lasting(outage),
    case!(R10, R8: r10_what_was_announced_and_deregistered_is_never_published).with_hooks(&[Hook::Cut]).lasting(outage),
    case!(R10, V1: r10_announce_refuses_invalid_input_at_once),
];

fn outage(timing: &Timing) -> Duration {
    timing.operation() * 4 + timing.recovery()
}

/// An owner with three registrations of two services, the first of which is returned.
async fn busy_owner(ctx: &Context) -> Result<(Owner, [ServiceName; 2]), Failure> {
    let owner = ctx.connect().await?;
    let services = [ctx.service(), ctx.service()];
    for service in [&services[0], &services[0], &services[1]] {
        ctx.register(&owner, &ctx.info(service)).await?;
    }
    Ok((owner, services))
}

async fn r9_close_withdraws_everything(ctx: &Context) -> Result<(), Failure> {
    let ((owner, services), reader) = (busy_owner(ctx).await?, ctx.connect().await?);
    ctx.close(&owner).await.promised("close is ok")?;
    for service in &services {
        sees(ctx, &*reader, service, &[], "nothing of a closed handle").await?;
    }
    ctx.throughout(ctx.timing().quiet(), "nothing comes back", async || {
        stands(&*reader, &services[0], &[]).await?;
        stands(&*reader, &services[1], &[]).await
    })
    .await
}

async fn r9_a_second_close_is_ok_and_later_calls_say_closed(ctx: &Context) -> Result<(), Failure> {
    let (owner, services) = busy_owner(ctx).await?;
    ctx.close(&owner).await?;
    ctx.close(&owner).await.promised("a second close is ok")?;
    let info = ctx.info(&services[0]);
    closed("register", ctx.register(&owner, &info).await)?;
    closed("deregister", ctx.deregister(&owner, &info).await)?;
    closed("announce", owner.announce(&info))?;
    closed("resolve", owner.resolve(&services[0]).await)?;
    closed("watch", owner.watch(&services[0]))?;
    let left = owner.registrations();
    ensure!(left.is_empty(), "expected: a closed handle has no registrations; seen: {left:?}");
    Ok(())
}

async fn r9_watches_end_with_close(ctx: &Context) -> Result<(), Failure> {
    let (owner, services) = busy_owner(ctx).await?;
    let mut watch = owner.watch(&services[0])?;
    ctx.next(&mut watch, ctx.timing().prompt(), "the present snapshot").await?;
    ctx.close(&owner).await?;
    let ended = async {
        // What it had seen before the end may still come.
        while watch.next().await.is_some() {}
    };
    ctx.within(ctx.timing().prompt(), "the watch ends", ended).await
}

async fn r9_close_ends_the_session(ctx: &Context) -> Result<(), Failure> {
    let before = ctx.hooks()?.sessions().await?;
    let (owner, _) = busy_owner(ctx).await?;
    ctx.close(&owner).await?;
    let after = ctx.hooks()?.sessions().await?;
    ensure!(after == before, "expected: {before} sessions after close as before; seen: {after}");
    Ok(())
}

async fn r9_close_with_the_store_away_ends_in_time_and_the_handle_is_closed(ctx: &Context) -> Result<(), Failure> {
    let (reader, services) = (ctx.connect().await?, [ctx.service(), ctx.service()]);
    let [first, second, third] = [&services[0], &services[0], &services[1]].map(|service| ctx.info(service));
    let owner = hurried(ctx, &[&first, &second, &third]).await?;
    ctx.hooks()?.cut(owner.id()).await?;
    let result = in_a_hurry(ctx, "close", ctx.close(&owner)).await?;
    refused("close with the store away", result)?;
    let state = owner.status().borrow().state;
    ensure!(state == HandleState::Closed, "expected: the handle is closed all the same; seen: {state}");
    closed("register", ctx.register(&owner, &ctx.info(&services[0])).await)?;
    ctx.close(&owner).await.promised("a second close is ok")?;
    ctx.hooks()?.heal(owner.id()).await?;
    ctx.pause(ctx.timing().crash_is_over()).await;
    ctx.throughout(ctx.timing().ttl(), "its entries are gone for good", async || {
        stands(&*reader, &services[0], &[]).await?;
        stands(&*reader, &services[1], &[]).await
    })
    .await
}

async fn r9_a_dropped_handle_leaves_no_session_and_no_watch(ctx: &Context) -> Result<(), Failure> {
    let hooks = ctx.hooks()?;
    let before = (hooks.sessions().await?, hooks.watches().await?);
    let (owner, services) = busy_owner(ctx).await?;
    let mut watch = owner.watch(&services[0])?;
    ctx.next(&mut watch, ctx.timing().prompt(), "the present snapshot").await?;
    owner.crash();
    drop(watch);
    ctx.note("the owner and its watch are dropped");
    let within = ctx.timing().crash_is_over();
    let left = async || match (hooks.sessions().await, hooks.watches().await) {
        (Ok(sessions), Ok(watches)) if (sessions, watches) == before => Ok(()),
        seen => Err(format!("{seen:?} sessions and watches, {before:?} before")),
    };
    ctx.eventually(within, "neither session nor watch is left", left).await
}

async fn r9_a_handle_dropped_outside_a_runtime_does_not_panic(ctx: &Context) -> Result<(), Failure> {
    let ((owner, services), reader) = (busy_owner(ctx).await?, ctx.connect().await?);
    let registry = owner.into_registry();
    let watch = registry.watch(&services[0])?;
    let dropped = std::thread::spawn(move || {
        drop(registry);
        drop(watch);
    });
    // It takes no longer than a drop: nothing else has to run meanwhile.
    ensure!(dropped.join().is_ok(), "expected: dropping a handle outside a runtime does not panic; seen: a panic");
    let within = ctx.timing().crash_is_over();
    let what = "the entries are gone as after a crash";
    ctx.eventually(within, what, async || stands(&*reader, &services[0], &[]).await).await
}

async fn r9_a_handle_whose_runtime_ended_neither_panics_nor_hangs(ctx: &Context) -> Result<(), Failure> {
    let (opening, reader) = (ctx.opener(ctx.request()), ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    let registered = info.clone();
    let opened = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::bench)?;
        runtime.block_on(async move {
            let registry = opening.await?;
            registry.register(&registered).await?;
            Ok::<_, Failure>(registry)
        })
    });
    let registry = opened.join().map_err(|_| Failure::bench("the other runtime panicked"))??;
    ctx.note("the runtime of the handle has ended");
    let limit = ctx.timing().call_ends();
    // What they can still do is not promised; that they end is (V3).
    let _ = ctx.within(limit, "register without a runtime ends", registry.register(&changed(&info, 9)?)).await?;
    let _ = ctx.within(limit, "close without a runtime ends", registry.close()).await?;
    drop(registry);
    let within = ctx.timing().crash_is_over();
    ctx.eventually(within, "the entry is gone", async || stands(&*reader, &service, &[]).await).await
}

async fn r10_announced_stands_soon_and_says_so(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = rich(ctx, &service)?;
    owner.announce(&info).promised("announce is ok")?;
    let within = ctx.timing().prompt();
    ctx.eventually(within, "the announced entry", async || stands(&*reader, &service, &[&info]).await).await?;
    ctx.eventually(within, "ready", async || owner.is_ready().map_err(|cause| cause.to_string())).await?;
    let status = owner.registration(&info).map(|status| status.borrow().state);
    ensure!(status == Some(RegistrationState::Registered), "expected: registered; seen: {status:?}");
    Ok(())
}

async fn r10_announced_takes_over_what_another_owner_holds(ctx: &Context) -> Result<(), Failure> {
    let (old, new) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&old, &info).await?;
    let successor = changed(&info, 33)?;
    new.announce(&successor).promised("announce is ok")?;
    let what = "the announced entry stands";
    let look = async || stands(&*old, &service, &[&successor]).await;
    ctx.eventually(ctx.timing().prompt(), what, look).await?;
    ctx.throughout(ctx.timing().quiet(), what, look).await
}

async fn r10_announced_in_an_outage_stands_after_it(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = rich(ctx, &service)?;
    ctx.hooks()?.cut(owner.id()).await?;
    owner.announce(&info).promised("announce is ok while the store is away")?;
    let pending = async || match owner.registration(&info).map(|status| status.borrow().state) {
        Some(RegistrationState::Pending) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    ctx.eventually(ctx.timing().prompt(), "the status is pending", pending).await?;
    ensure!(owner.is_ready().is_err(), "expected: not ready while something is pending; seen: ready");
    // Many more attempts fail than any count that one might give up after.
    ctx.throughout(ctx.timing().operation() * 4, "the status is pending", pending).await?;
    ctx.hooks()?.heal(owner.id()).await?;
    ctx.note("the store is back");
    let within = ctx.timing().recovery();
    ctx.eventually(within, "the announced entry", async || stands(&*reader, &service, &[&info]).await).await?;
    ctx.eventually(ctx.timing().prompt(), "ready", async || owner.is_ready().map_err(|cause| cause.to_string())).await
}

async fn r10_a_handle_opens_lazily_while_the_store_is_away(ctx: &Context) -> Result<(), Failure> {
    let reader = ctx.connect().await?;
    let service = ctx.service();
    let info = rich(ctx, &service)?;
    let mut request = ctx.request();
    request.options.lazy = true;
    let id = request.handle;
    ctx.hooks()?.cut(id).await?;
    let opened = ctx.within(ctx.timing().prompt(), "a lazy handle opens at once", ctx.open(request)).await?;
    let owner = opened.promised("a lazy handle opens with the store away")?;
    let state = owner.status().borrow().state;
    ensure!(state == HandleState::Unreachable, "expected: it says that the store is unreachable; seen: {state}");
    owner.announce(&info).promised("announce is ok while the store is away")?;
    ctx.pause(ctx.timing().operation()).await;
    ctx.hooks()?.heal(id).await?;
    ctx.note("the store is back");
    let within = ctx.timing().recovery();
    ctx.eventually(within, "the announced entry", async || stands(&*reader, &service, &[&info]).await).await
}

async fn r10_what_was_announced_and_deregistered_is_never_published(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.hooks()?.cut(owner.id()).await?;
    owner.announce(&info)?;
    // With the store away it may say that this is not confirmed; it holds all the same (R8).
    let _ = ctx.deregister(&owner, &info).await;
    ctx.hooks()?.heal(owner.id()).await?;
    ctx.note("the store is back");
    let time = ctx.timing().recovery();
    ctx.throughout(time, "it is never published", async || stands(&*reader, &service, &[]).await).await?;
    ensure!(owner.registration(&info).is_none(), "expected: it is not wanted any more; seen: it has a status");
    Ok(())
}

async fn r10_announce_refuses_invalid_input_at_once(ctx: &Context) -> Result<(), Failure> {
    let owner = ctx.connect().await?;
    let invalid = oversized(&ctx.info(&ctx.service()))?;
    let error = refused("announce of an entry past the limit", owner.announce(&invalid))?;
    ensure!(error.kind() == ErrorKind::InvalidInput, "expected: invalid input; seen: {error}");
    ensure!(owner.registrations().is_empty(), "expected: nothing is wanted; seen: {:?}", owner.registrations());
    Ok(())
}
