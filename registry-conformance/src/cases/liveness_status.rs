//! L6: what a handle tells.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use registry_core::{ErrorKind, HandleState, HandleStatus, Info, NotServing, RegistrationState, RegistrationStatus};
use tracing::Level;

use crate::case;
use crate::case::Case;
use crate::cases::steps::changed;
use crate::context::{Context, Owner};
use crate::ensure;
use crate::failure::{Failure, Promised as _};
use crate::hooks::{Access, Hook};
use crate::log::Log;
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(L6: l6_a_handle_is_ready_when_its_registrations_stand),
    case!(L6: l6_the_handles_status_follows_an_outage).with_hooks(&[Hook::Cut]).lasting(Timing::recovery),
    case!(L6: l6_a_registration_says_that_it_is_recovering).with_hooks(&[Hook::Expire]).lasting(Timing::recovery),
    case!(L6: l6_a_registration_that_fails_says_why_and_when_it_tries_again)
        .with_hooks(&[Hook::Expire, Hook::Deny])
        .lasting(Timing::recovery),
    case!(L6, R7: l6_is_ready_names_the_displaced_registration).lasting(Timing::noticed_by_audit),
    case!(L6, R5: l6_the_channel_of_a_withdrawn_registration_ends),
    case!(L6: l6_a_long_outage_costs_few_log_lines).with_hooks(&[Hook::Cut]).lasting(logged_outage),
];

/// Room for the contract's ten minutes where time costs nothing.
fn logged_outage(timing: &Timing) -> Duration {
    timing.operation() * 40
}

async fn l6_a_handle_is_ready_when_its_registrations_stand(ctx: &Context) -> Result<(), Failure> {
    let owner = ctx.connect().await?;
    let info = ctx.info(&ctx.service());
    ensure!(owner.registration(&info).is_none(), "expected: no status before the registration; seen: one");
    ctx.register(&owner, &info).await?;
    owner.is_ready().promised("ready, with one registration that stands")?;
    let status = owner.registration(&info).map(|status| status.borrow().clone());
    let status = status.ok_or_else(|| Failure::broken("expected: a status of the registration; seen: none"))?;
    ensure!(status.state == RegistrationState::Registered, "expected: registered; seen: {status}");
    let about = (&status.service, &status.address);
    ensure!(about == (info.service(), info.address()), "expected: a status of {info:?}; seen: of {about:?}");
    ensure!(owner.registrations() == [status], "expected: this status only; seen: {:?}", owner.registrations());
    ctx.close(&owner).await?;
    let state = owner.status().borrow().state;
    ensure!(state == HandleState::Closed, "expected: a closed handle says so; seen: {state}");
    ensure!(owner.is_ready().is_err(), "expected: a closed handle is not ready; seen: ready");
    Ok(())
}

async fn l6_the_handles_status_follows_an_outage(ctx: &Context) -> Result<(), Failure> {
    let owner = ctx.connect().await?;
    ctx.register(&owner, &ctx.info(&ctx.service())).await?;
    let connected = owner.status().borrow().clone();
    ensure!(connected.state == HandleState::Connected, "expected: connected; seen: {connected}");
    let before = SystemTime::now();
    ctx.hooks()?.cut(owner.id()).await?;
    let within = ctx.timing().recovery();
    let told = |status: &HandleStatus| {
        status.state == HandleState::Unreachable && status.attempts > 1 && status.next_try.is_some()
    };
    let what = "the status says unreachable, with the attempts and the next try";
    let away = handle_status(ctx, &owner, within, what, told).await?;
    let error = away.last_error.as_ref().map(|error| error.kind);
    let known = matches!(error, Some(ErrorKind::Unreachable | ErrorKind::TimedOut));
    ensure!(known, "expected: the last error says why; seen: {error:?}");
    ensure!(away.since >= before, "expected: unreachable since the outage began; seen: since before it");
    one_line_about(&away, &["unreachable", "attempts"])?;
    match owner.is_ready() {
        Err(NotServing::Handle(status)) => one_line_about(&status, &["unreachable"])?,
        other => return Err(Failure::broken(format!("expected: not ready because of the handle; seen: {other:?}"))),
    }
    ctx.hooks()?.heal(owner.id()).await?;
    let what = "the status says connected";
    let back = handle_status(ctx, &owner, within, what, |status| status.state == HandleState::Connected).await?;
    let rest = (back.attempts, back.next_try);
    ensure!(rest == (0, None), "expected: no attempts and no next try once connected; seen: {rest:?}");
    ctx.eventually(within, "ready again", async || owner.is_ready().map_err(|cause| cause.to_string())).await
}

async fn l6_a_registration_says_that_it_is_recovering(ctx: &Context) -> Result<(), Failure> {
    let owner = ctx.connect().await?;
    let info = ctx.info(&ctx.service());
    ctx.register(&owner, &info).await?;
    let status = owner.registration(&info);
    let mut status = status.ok_or_else(|| Failure::broken("expected: a status of the registration; seen: none"))?;
    ctx.hooks()?.expire(owner.id()).await?;
    for wanted in [RegistrationState::Recovering, RegistrationState::Registered] {
        let reached = status.wait_for(|status| status.state == wanted);
        let what = format!("the status becomes {wanted}");
        let reached = ctx.within(ctx.timing().recovery(), &what, reached).await;
        ensure!(matches!(reached, Ok(Ok(_))), "expected: the status becomes {wanted}; seen: it does not");
    }
    owner.is_ready().promised("ready when it is registered again")
}

async fn l6_a_registration_that_fails_says_why_and_when_it_tries_again(ctx: &Context) -> Result<(), Failure> {
    let owner = ctx.connect().await?;
    let info = ctx.info(&ctx.service());
    ctx.register(&owner, &info).await?;
    ctx.hooks()?.deny(owner.id(), Access::Write).await?;
    ctx.hooks()?.expire(owner.id()).await?;
    let within = ctx.timing().recovery();
    let denied = |status: &RegistrationStatus| {
        let kind = status.last_error.as_ref().map(|error| error.kind);
        kind == Some(ErrorKind::Denied) && status.attempts > 1 && status.next_try.is_some()
    };
    let what = "the status says denied, with the attempts and the next try";
    let failing = registration_status(ctx, &owner, &info, within, what, denied).await?;
    let key = failing.key.to_string();
    ensure!(failing.state == RegistrationState::Recovering, "expected: recovering; seen: {failing}");
    ensure!(key.contains(info.address().as_str()), "expected: the key or id of the entry; seen: {key:?}");
    one_line_about(&failing, &[&key, "recovering", "attempts", "denied"])?;
    match owner.is_ready() {
        Err(NotServing::Registration(status)) => one_line_about(&status, &[&key])?,
        other => return Err(Failure::broken(format!("expected: not ready because of it; seen: {other:?}"))),
    }
    ctx.hooks()?.allow(owner.id()).await?;
    ctx.eventually(within, "ready again", async || owner.is_ready().map_err(|cause| cause.to_string())).await?;
    let stands = |status: &RegistrationStatus| status.state == RegistrationState::Registered && status.attempts == 0;
    let what = "registered, with no attempts that failed since";
    registration_status(ctx, &owner, &info, ctx.timing().prompt(), what, stands).await.map(drop)
}

async fn l6_is_ready_names_the_displaced_registration(ctx: &Context) -> Result<(), Failure> {
    let (old, new) = (ctx.connect().await?, ctx.connect().await?);
    let info = ctx.info(&ctx.service());
    ctx.register(&old, &info).await?;
    ctx.register(&new, &changed(&info, 33)?).await?;
    let within = ctx.timing().noticed_by_audit();
    let displaced = |status: &RegistrationStatus| status.state == RegistrationState::Displaced;
    let what = "the status of the first owner says displaced";
    let status = registration_status(ctx, &old, &info, within, what, displaced).await?;
    one_line_about(&status, &[&status.key, "displaced"])?;
    match old.is_ready() {
        Err(NotServing::Registration(cause)) if cause.key == status.key => Ok(()),
        other => Err(Failure::broken(format!("expected: not ready because it is displaced; seen: {other:?}"))),
    }
}

async fn l6_the_channel_of_a_withdrawn_registration_ends(ctx: &Context) -> Result<(), Failure> {
    let owner = ctx.connect().await?;
    let info = ctx.info(&ctx.service());
    ctx.register(&owner, &info).await?;
    let status = owner.registration(&info);
    let mut status = status.ok_or_else(|| Failure::broken("expected: a status of the registration; seen: none"))?;
    ctx.deregister(&owner, &info).await?;
    let ended = async { while status.changed().await.is_ok() {} };
    ctx.within(ctx.timing().prompt(), "the channel of the status ends", ended).await?;
    ensure!(owner.registration(&info).is_none(), "expected: no status after deregister; seen: one");
    owner.is_ready().promised("ready, with nothing registered")
}

async fn l6_a_long_outage_costs_few_log_lines(ctx: &Context) -> Result<(), Failure> {
    const MOST: usize = 10;
    let log = Log::of(Level::INFO);
    let owner = ctx.connect().await?;
    let service = ctx.service();
    let infos = [ctx.info(&service), ctx.info(&service), ctx.info(&ctx.service())];
    for info in &infos {
        ctx.register(&owner, info).await?;
    }
    let mut watch = owner.watch(&service)?;
    ctx.next(&mut watch, ctx.timing().prompt(), "the present snapshot").await?;
    let before = log.lines().len();
    ctx.hooks()?.cut(owner.id()).await?;
    let outage = if ctx.is_virtual() { Duration::from_secs(600) } else { ctx.timing().operation() * 24 };
    ctx.pause(outage).await;
    ctx.hooks()?.heal(owner.id()).await?;
    let within = ctx.timing().recovery();
    ctx.eventually(within, "ready again", async || owner.is_ready().map_err(|cause| cause.to_string())).await?;
    let told = log.lines().split_off(before);
    let cost = told.len();
    ensure!(
        (1..=MOST).contains(&cost),
        "expected: an outage of {outage:?} is told in 1 to {MOST} lines at info or above; seen: {cost}: {told:#?}"
    );
    Ok(())
}

/// The status of the handle once it satisfies `look`.
async fn handle_status(
    ctx: &Context,
    owner: &Owner,
    within: Duration,
    what: &str,
    look: impl Fn(&HandleStatus) -> bool,
) -> Result<HandleStatus, Failure> {
    let look = async || {
        let status = owner.status().borrow().clone();
        if look(&status) { Ok(status) } else { Err(status.to_string()) }
    };
    ctx.eventually(within, what, look).await
}

/// The status of a registration once it satisfies `look`.
async fn registration_status(
    ctx: &Context,
    owner: &Owner,
    info: &Info,
    within: Duration,
    what: &str,
    look: impl Fn(&RegistrationStatus) -> bool,
) -> Result<RegistrationStatus, Failure> {
    let look = async || match owner.registration(info).map(|status| status.borrow().clone()) {
        Some(status) if look(&status) => Ok(status),
        Some(status) => Err(status.to_string()),
        None => Err("no status".to_owned()),
    };
    ctx.eventually(within, what, look).await
}

fn one_line_about(shown: &impl Display, words: &[&str]) -> Result<(), Failure> {
    let shown = shown.to_string();
    ensure!(!shown.contains('\n'), "expected: one line; seen: {shown:?}");
    for word in words {
        ensure!(shown.contains(word), "expected: a line that says {word:?}; seen: {shown:?}");
    }
    Ok(())
}
