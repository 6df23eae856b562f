//! V3: errors are typed by what the caller can do, and no call hangs.

use std::time::Duration;

use registry_core::{Error, ErrorKind, HandleState};

use crate::case;
use crate::case::Case;
use crate::cases::look::stands;
use crate::cases::steps::{hurried, sees};
use crate::cases::views::{in_a_hurry, in_time, says, says_away};
use crate::context::{Context, Owner};
use crate::ensure;
use crate::failure::{Failure, Promised as _};
use crate::harness::HandleId;
use crate::hooks::{Access, Hook, HookError};
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(V3: v3_calls_on_a_closed_handle_say_closed),
    case!(V3: v3_calls_end_in_time_while_cut_off).with_hooks(&[Hook::Cut]).lasting(each_call),
    case!(V3: v3_calls_end_in_time_while_the_store_is_killed).with_hooks(&[Hook::Kill]).lasting(each_call),
    case!(V3: v3_calls_end_in_time_while_the_store_is_frozen).with_hooks(&[Hook::Freeze]).lasting(each_call),
    case!(V3: v3_calls_end_in_time_while_answers_are_lost).with_hooks(&[Hook::LoseAnswers]).lasting(each_call),
    case!(V3: v3_connecting_to_a_killed_store_fails_in_time).with_hooks(&[Hook::Kill]).lasting(Timing::operation),
    case!(V3: v3_what_the_store_denies_says_denied).with_hooks(&[Hook::Deny]).lasting(each_call),
    case!(V3: v3_bad_credentials_are_denied).with_hooks(&[Hook::BadCredentials]).lasting(Timing::operation),
];

fn each_call(timing: &Timing) -> Duration {
    timing.operation() * 4
}

async fn v3_calls_on_a_closed_handle_say_closed(ctx: &Context) -> Result<(), Failure> {
    let owner = ctx.connect().await?;
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.close(&owner).await?;
    ctx.close(&owner).await.promised("a second close is ok")?;
    let closed = &[ErrorKind::Closed];
    says("register on a closed handle", ctx.register(&owner, &info).await, closed)?;
    says("deregister on a closed handle", ctx.deregister(&owner, &info).await, closed)?;
    says("announce on a closed handle", owner.announce(&info), closed)?;
    says("resolve on a closed handle", owner.resolve(&service).await, closed)?;
    says("watch on a closed handle", owner.watch(&service), closed)
}

/// While the fault lasts, every call ends in time and says that the store is away; what needs no store works.
async fn ends_in_time(
    ctx: &Context,
    begin: impl AsyncFnOnce(HandleId) -> Result<(), HookError>,
) -> Result<HandleId, Failure> {
    let service = ctx.service();
    let (held, new, wished) = (ctx.info(&service), ctx.info(&service), ctx.info(&service));
    let owner = hurried(ctx, &[&held]).await?;
    begin(owner.id()).await?;
    ctx.note("the fault begins");
    says_away("register", in_a_hurry(ctx, "register", ctx.register(&owner, &new)).await?)?;
    says_away("deregister", in_a_hurry(ctx, "deregister", ctx.deregister(&owner, &held)).await?)?;
    says_away("resolve", in_a_hurry(ctx, "resolve", owner.resolve(&service)).await?)?;
    owner.announce(&wished).promised("announce needs no store")?;
    owner.watch(&service).promised("watch needs no store")?;
    says_away("close", in_a_hurry(ctx, "close", ctx.close(&owner)).await?)?;
    let state = owner.status().borrow().state;
    ensure!(state == HandleState::Closed, "expected: the handle is closed all the same; seen: {state}");
    Ok(owner.id())
}

async fn v3_calls_end_in_time_while_cut_off(ctx: &Context) -> Result<(), Failure> {
    let hooks = ctx.hooks()?;
    let id = ends_in_time(ctx, async |id| hooks.cut(id).await).await?;
    Ok(hooks.heal(id).await?)
}

async fn v3_calls_end_in_time_while_the_store_is_killed(ctx: &Context) -> Result<(), Failure> {
    let hooks = ctx.hooks()?;
    ends_in_time(ctx, async |_| hooks.kill().await).await?;
    Ok(hooks.restart().await?)
}

async fn v3_calls_end_in_time_while_the_store_is_frozen(ctx: &Context) -> Result<(), Failure> {
    let hooks = ctx.hooks()?;
    ends_in_time(ctx, async |_| hooks.freeze().await).await?;
    Ok(hooks.thaw().await?)
}

async fn v3_calls_end_in_time_while_answers_are_lost(ctx: &Context) -> Result<(), Failure> {
    let hooks = ctx.hooks()?;
    let id = ends_in_time(ctx, async |id| hooks.lose_answers(id).await).await?;
    Ok(hooks.heal(id).await?)
}

async fn v3_connecting_to_a_killed_store_fails_in_time(ctx: &Context) -> Result<(), Failure> {
    let hooks = ctx.hooks()?;
    hooks.kill().await?;
    let mut request = ctx.request();
    request.options.operation_timeout = ctx.timing().hurry();
    let opened = in_a_hurry(ctx, "connect", ctx.open(request)).await?;
    hooks.restart().await?;
    says_away("connect", opened)?;
    let what = "a handle, after the restart";
    let connects = async || ctx.connect().await.map(drop).map_err(|failure| failure.to_string());
    ctx.eventually(ctx.timing().recovery(), what, connects).await
}

async fn v3_what_the_store_denies_says_denied(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let (service, hooks, denied) = (ctx.service(), ctx.hooks()?, &[ErrorKind::Denied]);
    let (held, new) = (ctx.info(&service), ctx.info(&service));
    ctx.register(&owner, &held).await?;
    sees(ctx, &*reader, &service, &[&held], "the registration").await?;
    hooks.deny(reader.id(), Access::Read).await?;
    says("resolve", in_time(ctx, "resolve", reader.resolve(&service)).await?, denied)?;
    hooks.allow(reader.id()).await?;
    hooks.deny(owner.id(), Access::Write).await?;
    says("register", in_time(ctx, "register", ctx.register(&owner, &new)).await?, denied)?;
    hooks.allow(owner.id()).await?;
    stands(&*reader, &service, &[&held]).await.promised("what was denied has changed nothing")?;
    ctx.register(&owner, &new).await.promised("register works when it is permitted again")
}

async fn v3_bad_credentials_are_denied(ctx: &Context) -> Result<(), Failure> {
    let request = ctx.request_with_bad_credentials();
    let opened: Result<Owner, Error> = in_time(ctx, "connect", ctx.open(request)).await?;
    // Some stores tell only when something is asked of them.
    let Ok(owner) = opened else { return says("connect", opened, &[ErrorKind::Denied]) };
    let service = ctx.service();
    says("register", in_time(ctx, "register", owner.register(&ctx.info(&service))).await?, &[ErrorKind::Denied])?;
    says("resolve", in_time(ctx, "resolve", owner.resolve(&service)).await?, &[ErrorKind::Denied])
}
