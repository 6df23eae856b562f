//! What cases of discovery, watches and bad input see, and wait for.

use std::time::Duration;

use registry_core::{Error, ErrorKind, Info, InvalidField, ServiceName, Watch};

use crate::cases::look::holds;
use crate::context::{Context, Owner, addresses};
use crate::failure::{Failure, Promised as _};

/// A watch that has delivered everything so far, and holds exactly these registrations.
pub(crate) async fn watching(
    ctx: &Context,
    reader: &Owner,
    service: &ServiceName,
    wanted: &[&Info],
) -> Result<Watch, Failure> {
    let mut watch = reader.watch(service).promised("a watch at once")?;
    settled(ctx, &mut watch, ctx.timing().prompt(), wanted, "what stands").await?;
    Ok(watch)
}

/// Within this time the watch knows exactly these registrations, and has delivered them as its last item.
pub(crate) async fn settled(
    ctx: &Context,
    watch: &mut Watch,
    within: Duration,
    wanted: &[&Info],
    what: &str,
) -> Result<(), Failure> {
    ctx.eventually(within, what, async || knows(watch, wanted)).await?;
    // What is due is delivered without time passing.
    while let Ok(Some(change)) = tokio::time::timeout(Duration::ZERO, watch.next()).await {
        ctx.note(format_args!("the watch yields {}", addresses(&change.snapshot)));
    }
    Ok(())
}

/// Whether the newest snapshot of a watch is known and holds exactly these registrations.
pub(crate) fn knows(watch: &Watch, wanted: &[&Info]) -> Result<(), String> {
    let newest = watch.latest();
    if newest.is_known() { holds(&newest, wanted) } else { Err("unknown".to_owned()) }
}

/// The watch yields nothing for this time.
pub(crate) async fn nothing_new(watch: &mut Watch, time: Duration, what: &str) -> Result<(), Failure> {
    let seen = match tokio::time::timeout(time, watch.next()).await {
        Err(_) => return Ok(()),
        Ok(None) => "the watch ended".to_owned(),
        Ok(Some(change)) => format!("{} ({:?})", addresses(&change.snapshot), change.difference),
    };
    Err(Failure::broken(format!("expected for {time:?}: no item, since {what}; seen: {seen}")))
}

/// Whether a call was refused as invalid input on one of these fields. Any other error is a broken promise.
pub(crate) fn is_refused<T>(call: &str, result: Result<T, Error>, fields: &[&str]) -> Result<bool, Failure> {
    let Err(error) = result else { return Ok(false) };
    let field = error.invalid_field().map(InvalidField::field);
    if error.kind() == ErrorKind::InvalidInput && field.is_some_and(|field| fields.contains(&field)) {
        return Ok(true);
    }
    Err(Failure::broken(format!("expected: {call} is ok, or invalid input on {fields:?}; seen: {error:?}")))
}

/// The call fails, and tells that the store did not answer.
pub(crate) fn says_away<T>(call: &str, result: Result<T, Error>) -> Result<(), Failure> {
    says(call, result, &[ErrorKind::Unreachable, ErrorKind::TimedOut])
}

/// The call fails with one of these kinds.
pub(crate) fn says<T>(call: &str, result: Result<T, Error>, kinds: &[ErrorKind]) -> Result<(), Failure> {
    match result {
        Err(error) if kinds.contains(&error.kind()) => Ok(()),
        Err(error) => Err(Failure::broken(format!("expected: {call} fails with one of {kinds:?}; seen: {error:?}"))),
        Ok(_) => Err(Failure::broken(format!("expected: {call} fails with one of {kinds:?}; seen: ok"))),
    }
}

/// The call of a [`hurried`](super::steps::hurried) owner ends within its operation timeout, whatever it says.
pub(crate) async fn in_a_hurry<T>(ctx: &Context, call: &str, future: impl Future<Output = T>) -> Result<T, Failure> {
    ctx.within(ctx.timing().hurry_ends(), &format!("{call} ends"), future).await
}

/// The call ends within the operation timeout, whatever it says.
pub(crate) async fn in_time<T>(ctx: &Context, call: &str, future: impl Future<Output = T>) -> Result<T, Failure> {
    ctx.within(ctx.timing().call_ends(), &format!("{call} ends"), future).await
}
