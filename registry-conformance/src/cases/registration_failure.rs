//! R4 and R5: calls that fail, and withdrawals.

use registry_core::{ErrorKind, Info, Outcome, ServiceName};

use crate::case;
use crate::case::Case;
use crate::cases::look::stands;
use crate::cases::steps::{changed, dropped_after, failed_with, oversized, patient, rich, sees};
use crate::context::{Context, Owner};
use crate::ensure;
use crate::failure::{Failure, Promised as _};
use crate::hooks::{Access, Hook};
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(R4, R3: r4_a_dropped_update_falls_back_to_the_previous_registration).lasting(falls_back),
    case!(R4, R3: r4_a_dropped_first_register_falls_back_to_nothing).lasting(falls_back),
    case!(R4, V1: r4_an_invalid_update_changes_nothing).lasting(Timing::ttl),
    case!(R4, V3: r4_a_denied_update_changes_nothing).with_hooks(&[Hook::Deny]).lasting(Timing::quiet),
    case!(R4: r4_an_update_whose_answer_is_lost_says_unknown_and_is_undone)
        .with_hooks(&[Hook::LoseAnswers])
        .lasting(unanswered),
    case!(R4: r4_a_first_register_whose_answer_is_lost_says_unknown_and_is_undone)
        .with_hooks(&[Hook::LoseAnswers])
        .lasting(unanswered),
    case!(R4, R10: r4_a_failed_register_is_not_retried_behind_the_callers_back)
        .with_hooks(&[Hook::Cut])
        .lasting(unanswered),
    case!(R5: r5_deregistered_is_gone_for_others_at_once),
    case!(R5: r5_deregister_of_what_this_handle_does_not_hold_is_ok_and_touches_nothing).lasting(Timing::quiet),
];

fn falls_back(timing: &Timing) -> std::time::Duration {
    timing.recovery() + timing.ttl()
}

fn unanswered(timing: &Timing) -> std::time::Duration {
    timing.call_ends() + timing.recovery() + timing.ttl()
}

/// From the recovery bound on exactly this stands, and goes on standing.
async fn is_back(ctx: &Context, reader: &Owner, service: &ServiceName, wanted: &[&Info]) -> Result<(), Failure> {
    ctx.pause(ctx.timing().recovery()).await;
    let what = "after the recovery bound, what was wanted before the call";
    ctx.throughout(ctx.timing().ttl(), what, async || stands(&**reader, service, wanted).await).await
}

async fn r4_a_dropped_update_falls_back_to_the_previous_registration(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let mut expected = Vec::new();
    for polls in 1..=6 {
        let info = rich(ctx, &service)?;
        ctx.register(&owner, &info).await?;
        let update = changed(&info, 77)?;
        // One that was ready before it was dropped has not failed.
        let over = dropped_after(polls, owner.register(&update)).await;
        expected.push(if over { update } else { info });
    }
    ctx.note("the futures of the updates were dropped");
    is_back(ctx, &reader, &service, &expected.iter().collect::<Vec<_>>()).await
}

async fn r4_a_dropped_first_register_falls_back_to_nothing(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let mut expected = Vec::new();
    for polls in 1..=6 {
        let info = ctx.info(&service);
        // One that was ready before it was dropped has not failed.
        if dropped_after(polls, owner.register(&info)).await {
            expected.push(info);
        }
    }
    ctx.note("the futures of the registrations were dropped");
    is_back(ctx, &reader, &service, &expected.iter().collect::<Vec<_>>()).await?;
    let (left, wanted) = (owner.registrations(), expected.len());
    ensure!(left.len() == wanted, "expected: {wanted} registrations are wanted; seen: {left:?}");
    Ok(())
}

async fn r4_an_invalid_update_changes_nothing(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = rich(ctx, &service)?;
    ctx.register(&owner, &info).await?;
    let invalid = ctx.register(&owner, &oversized(&info)?).await;
    let error = failed_with(Outcome::NotApplied, "an update past the limit", invalid)?;
    let kind = error.kind();
    ensure!(kind == ErrorKind::InvalidInput, "expected: an update past the limit is invalid input; seen: {error}");
    let what = "the registration as it was";
    ctx.throughout(ctx.timing().ttl(), what, async || stands(&*reader, &service, &[&info]).await).await
}

async fn r4_a_denied_update_changes_nothing(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = rich(ctx, &service)?;
    ctx.register(&owner, &info).await?;
    ctx.hooks()?.deny(owner.id(), Access::Write).await?;
    let denied = ctx.register(&owner, &changed(&info, 77)?).await;
    let error = failed_with(Outcome::NotApplied, "an update that the store denies", denied)?;
    ensure!(error.kind() == ErrorKind::Denied, "expected: denied; seen: {error}");
    ctx.hooks()?.allow(owner.id()).await?;
    let what = "the registration as it was";
    ctx.throughout(ctx.timing().quiet(), what, async || stands(&*reader, &service, &[&info]).await).await
}

async fn r4_an_update_whose_answer_is_lost_says_unknown_and_is_undone(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (patient(ctx).await?, ctx.connect().await?);
    let service = ctx.service();
    let info = rich(ctx, &service)?;
    ctx.register(&owner, &info).await?;
    ctx.hooks()?.lose_answers(owner.id()).await?;
    let unanswered = ctx.register(&owner, &changed(&info, 77)?).await;
    failed_with(Outcome::Unknown, "an update without an answer", unanswered)?;
    ctx.hooks()?.heal(owner.id()).await?;
    is_back(ctx, &reader, &service, &[&info]).await
}

async fn r4_a_first_register_whose_answer_is_lost_says_unknown_and_is_undone(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (patient(ctx).await?, ctx.connect().await?);
    let service = ctx.service();
    ctx.hooks()?.lose_answers(owner.id()).await?;
    let unanswered = ctx.register(&owner, &ctx.info(&service)).await;
    failed_with(Outcome::Unknown, "a register without an answer", unanswered)?;
    ctx.hooks()?.heal(owner.id()).await?;
    is_back(ctx, &reader, &service, &[]).await
}

async fn r4_a_failed_register_is_not_retried_behind_the_callers_back(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.hooks()?.cut(owner.id()).await?;
    let began = ctx.elapsed();
    let failed = ctx.register(&owner, &info).await;
    let took = ctx.elapsed() - began;
    ensure!(failed.is_err(), "expected: register fails with the store away; seen: ok");
    ensure!(took <= ctx.timing().call_ends(), "expected: it fails within the operation timeout; seen: {took:?}");
    ctx.hooks()?.heal(owner.id()).await?;
    is_back(ctx, &reader, &service, &[]).await?;
    ensure!(owner.registration(&info).is_none(), "expected: it is not wanted any more; seen: it has a status");
    Ok(())
}

async fn r5_deregistered_is_gone_for_others_at_once(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let (leaving, staying) = (ctx.info(&service), ctx.info(&service));
    ctx.register(&owner, &leaving).await?;
    ctx.register(&owner, &staying).await?;
    ctx.deregister(&owner, &leaving).await.promised("deregister is ok")?;
    sees(ctx, &*reader, &service, &[&staying], "only the registration that stays").await?;
    ctx.deregister(&owner, &leaving).await.promised("deregister is idempotent")
}

async fn r5_deregister_of_what_this_handle_does_not_hold_is_ok_and_touches_nothing(
    ctx: &Context,
) -> Result<(), Failure> {
    let (owner, stranger) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    ctx.deregister(&stranger, &info).await.promised("deregister of another owner's registration is ok")?;
    ctx.deregister(&stranger, &ctx.info(&service)).await.promised("deregister of what nobody registered is ok")?;
    let what = "the other owner's registration stands";
    ctx.throughout(ctx.timing().quiet(), what, async || stands(&*stranger, &service, &[&info]).await).await
}
