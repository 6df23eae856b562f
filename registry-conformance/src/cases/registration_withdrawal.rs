//! R8: no zombie.

use std::time::Duration;

use registry_core::Outcome;

use crate::case;
use crate::case::Case;
use crate::cases::look::stands;
use crate::cases::steps::{changed, failed_with, patient, refused};
use crate::context::{Context, Owner};
use crate::ensure;
use crate::failure::{Failure, Promised as _};
use crate::hooks::Hook;
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(R8: r8_a_deregister_that_failed_in_an_outage_is_completed_after_it).with_hooks(&[Hook::Cut]).lasting(outage),
    case!(R8: r8_a_deregister_that_failed_is_never_published_again_when_the_session_expired)
        .with_hooks(&[Hook::Cut])
        .lasting(outage),
    case!(R8: r8_a_deregister_while_the_store_is_down_is_completed_after_the_restart)
        .with_hooks(&[Hook::Kill])
        .lasting(outage),
    case!(R8, L3: r8_a_deregister_that_races_with_recovery_wins).with_hooks(&[Hook::Expire]).lasting(outage),
    case!(R8: r8_a_register_that_arrives_late_does_not_show_after_deregister)
        .with_hooks(&[Hook::DelayWrites, Hook::Overtake])
        .lasting(outage),
    case!(R8: r8_a_later_register_is_a_new_registration).with_hooks(&[Hook::Cut]).lasting(outage),
];

fn outage(timing: &Timing) -> Duration {
    timing.call_ends() + timing.recovery() + timing.quiet()
}

/// Registers one instance and deregisters it while the store is away for the owner, which fails.
async fn failed_withdrawal(ctx: &Context, owner: &Owner) -> Result<registry_core::Info, Failure> {
    let info = ctx.info(&ctx.service());
    ctx.register(owner, &info).await?;
    ctx.hooks()?.cut(owner.id()).await?;
    let began = ctx.elapsed();
    refused("deregister with the store away", ctx.deregister(owner, &info).await)?;
    let took = ctx.elapsed() - began;
    ensure!(took <= ctx.timing().call_ends(), "expected: it fails within the operation timeout; seen: {took:?}");
    Ok(info)
}

async fn r8_a_deregister_that_failed_in_an_outage_is_completed_after_it(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (patient(ctx).await?, ctx.connect().await?);
    let info = failed_withdrawal(ctx, &owner).await?;
    let service = info.service();
    stands(&*reader, service, &[&info]).await.promised("the entry stands: its owner lives and could not remove it")?;
    ctx.hooks()?.heal(owner.id()).await?;
    ctx.note("the store is back");
    // The renewal interval is that of a longer TTL; nothing else in the bound is.
    let within = ctx.timing().recovery();
    ctx.eventually(within, "the withdrawal is completed", async || stands(&*reader, service, &[]).await).await?;
    let quiet = ctx.timing().quiet();
    ctx.throughout(quiet, "it is never published again", async || stands(&*reader, service, &[]).await).await
}

async fn r8_a_deregister_that_failed_is_never_published_again_when_the_session_expired(
    ctx: &Context,
) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let info = failed_withdrawal(ctx, &owner).await?;
    let service = info.service();
    ctx.pause(ctx.timing().crash_is_over()).await;
    stands(&*reader, service, &[]).await.promised("the entry expired in the outage")?;
    ctx.hooks()?.heal(owner.id()).await?;
    ctx.note("the store is back");
    let time = ctx.timing().recovery();
    ctx.throughout(time, "it is never published again", async || stands(&*reader, service, &[]).await).await
}

async fn r8_a_deregister_while_the_store_is_down_is_completed_after_the_restart(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let (leaving, staying) = (ctx.info(&service), ctx.info(&service));
    ctx.register(&owner, &leaving).await?;
    ctx.register(&owner, &staying).await?;
    ctx.hooks()?.kill().await?;
    refused("deregister with the store down", ctx.deregister(&owner, &leaving).await)?;
    ctx.hooks()?.restart().await?;
    ctx.note("the store is back");
    let within = ctx.timing().recovery();
    let what = "only the registration that is still wanted";
    ctx.eventually(within, what, async || stands(&*reader, &service, &[&staying]).await).await?;
    if ctx.capabilities().gap_free_takeover.is_offered() {
        return ctx
            .throughout(ctx.timing().quiet(), what, async || stands(&*reader, &service, &[&staying]).await)
            .await;
    }
    // An entry of the session before is deleted and created anew, once: this clause is about the other one.
    let what = "not the registration that was withdrawn";
    let stays_away = async || match reader.resolve(&service).await {
        Ok(snapshot) if snapshot.get(leaving.address().as_str()).is_some() => Err("it is there".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    };
    ctx.throughout(ctx.timing().quiet(), what, stays_away).await?;
    stands(&*reader, &service, &[&staying]).await.promised("the registration that is still wanted stands")
}

async fn r8_a_deregister_that_races_with_recovery_wins(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    // At several moments of the recovery: before it was noticed, in the pause, and while the entries are written again.
    for pause in [0, 1, 2, 5, 10, 20, 40] {
        let infos = [ctx.info(&service), ctx.info(&service), ctx.info(&service)];
        for info in &infos {
            ctx.register(&owner, info).await?;
        }
        ctx.hooks()?.expire(owner.id()).await?;
        ctx.pause(Duration::from_millis(pause)).await;
        for info in &infos {
            ctx.deregister(&owner, info).await.promised("deregister in a recovery is ok")?;
        }
        stands(&*reader, &service, &[]).await.promised("nothing stands after deregister")?;
    }
    let time = ctx.timing().quiet();
    ctx.throughout(time, "nothing is published again", async || stands(&*reader, &service, &[]).await).await
}

async fn r8_a_register_that_arrives_late_does_not_show_after_deregister(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (patient(ctx).await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.hooks()?.delay_writes(owner.id()).await?;
    failed_with(Outcome::Unknown, "a register without an answer", ctx.register(&owner, &info).await)?;
    ctx.hooks()?.overtake(owner.id()).await?;
    ctx.deregister(&owner, &info).await.promised("deregister of what may still arrive is ok")?;
    ctx.hooks()?.heal(owner.id()).await?;
    ctx.note("the delayed write arrives");
    if !ctx.capabilities().write_fencing.is_offered() {
        let (ttl, gone) = (ctx.timing().patient_ttl(), "no resolver sees it for longer than one TTL");
        ctx.eventually(ttl, gone, async || stands(&*reader, &service, &[]).await).await?;
    }
    let time = ctx.timing().quiet();
    ctx.throughout(time, "it does not show", async || stands(&*reader, &service, &[]).await).await
}

async fn r8_a_later_register_is_a_new_registration(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (patient(ctx).await?, ctx.connect().await?);
    let info = failed_withdrawal(ctx, &owner).await?;
    ctx.hooks()?.heal(owner.id()).await?;
    let again = changed(&info, 55)?;
    ctx.register(&owner, &again).await.promised("a later register is ok")?;
    let what = "the new registration stands";
    let time = ctx.timing().recovery() + ctx.timing().quiet();
    ctx.throughout(time, what, async || stands(&*reader, info.service(), &[&again]).await).await
}
