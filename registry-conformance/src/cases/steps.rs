//! Steps that cases of several clauses share.

use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, UNIX_EPOCH};

use registry_core::{Error, ErrorKind, Info, MAX_ENTRY, Outcome, Resolver, ServiceName, Watch};

use crate::cases::look::stands;
use crate::context::{Context, Owner, addresses};
use crate::failure::{Failure, Promised as _};

/// Another handle whose session outlives calls that time out, so that what it wrote too late can still take effect.
pub(super) async fn patient(ctx: &Context) -> Result<Owner, Failure> {
    let mut request = ctx.request();
    request.options.ttl = ctx.timing().patient_ttl();
    ctx.open(request).await.map_err(|error| Failure::bench(format!("a handle could not be opened: {error}")))
}

/// Another handle whose operation timeout is short, for calls that are to run into it. It is connected, and stands for these registrations: on a machine
/// that is busy these may take longer than such a call.
pub(super) async fn hurried(ctx: &Context, infos: &[&Info]) -> Result<Owner, Failure> {
    let mut request = ctx.request();
    request.options.operation_timeout = ctx.timing().hurry();
    request.options.lazy = true;
    let opened = ctx.open(request).await;
    let owner = opened.map_err(|error| Failure::bench(format!("a handle could not be opened: {error}")))?;
    for info in infos {
        owner.announce(info)?;
    }
    let ready = async || owner.is_ready().map_err(|cause| cause.to_string());
    ctx.eventually(ctx.timing().recovery(), "the handle is connected, and all that it announced stands", ready).await?;
    Ok(owner)
}

/// An instance with every field set.
pub(super) fn rich(ctx: &Context, service: &ServiceName) -> Result<Info, Failure> {
    ctx.builder(service)
        .payload_codec("thrift")
        .weight(21)
        .start_time(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123))
        .warm_up(Duration::from_millis(90_500))
        .tags([("zone", "a"), ("größe", "\u{2603}")])
        .build()
        .map_err(Failure::bench)
}

/// The same identity with another weight and other tags.
pub(super) fn changed(info: &Info, weight: u32) -> Result<Info, Failure> {
    info.to_builder().weight(weight).tags([("weight", weight.to_string())]).build().map_err(Failure::bench)
}

/// The same identity with more tags than any entry may have.
pub(super) fn oversized(info: &Info) -> Result<Info, Failure> {
    // The builder lets this pass, since it knows no key; the entry as a whole is over the limit.
    let tags = [("k", "v".repeat(MAX_ENTRY - 1))];
    let bare = Info::builder(info.service().as_str()).address(info.address());
    bare.tags(tags).build().map_err(Failure::bench)
}

/// What a call that returned `Ok` made of a service, as another handle sees it from now on (R1, R5): at the first look where reads are
/// linearizable.
pub(super) async fn sees(
    ctx: &Context,
    reader: &dyn Resolver,
    service: &ServiceName,
    wanted: &[&Info],
    what: &str,
) -> Result<(), Failure> {
    if ctx.capabilities().linearizable_resolve.is_offered() {
        return stands(reader, service, wanted).await.promised(what);
    }
    ctx.eventually(ctx.timing().prompt(), what, async || stands(reader, service, wanted).await).await
}

/// Carries out `action` while a watch is read, which must never miss the identity of `info`, nor after it for as long as a change may take.
/// Returns what the action returned.
pub(super) async fn without_a_gap<T>(
    ctx: &Context,
    watch: &mut Watch,
    info: &Info,
    action: impl Future<Output = T>,
) -> Result<T, Failure> {
    let reading = async {
        loop {
            match watch.next().await {
                Some(change) if change.snapshot.get(info.address().as_str()).is_some() => {
                    ctx.note(format_args!("the watch yields {}", addresses(&change.snapshot)));
                }
                Some(change) => return addresses(&change.snapshot),
                None => return "the end of the watch".to_owned(),
            }
        }
    };
    let acting = async {
        let value = action.await;
        ctx.pause(ctx.timing().prompt()).await;
        value
    };
    tokio::select! {
        biased;
        seen = reading => Err(Failure::broken(format!("expected: every snapshot has {}; seen: {seen}", info.address()))),
        value = acting => Ok(value),
    }
}

/// Polls a future so many times, once in each turn of the scheduler, and drops it. Returns whether it was over before.
pub(super) async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> bool {
    let mut future = pin!(future);
    for turn in 0..polls {
        if turn > 0 {
            tokio::task::yield_now().await;
        }
        let over = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
        if over {
            return true;
        }
    }
    false
}

/// The error of a call that must have failed.
pub(super) fn refused<T>(call: &str, result: Result<T, Error>) -> Result<Error, Failure> {
    match result {
        Ok(_) => Err(Failure::broken(format!("expected: {call} fails; seen: ok"))),
        Err(error) => Ok(error),
    }
}

/// That a call failed because the handle is closed.
pub(super) fn closed<T>(call: &str, result: Result<T, Error>) -> Result<(), Failure> {
    let error = refused(call, result)?;
    match error.kind() {
        ErrorKind::Closed => Ok(()),
        _ => Err(Failure::broken(format!("expected: {call} on a closed handle says closed; seen: {error}"))),
    }
}

/// That a call failed and says whether it can have changed the store.
pub(super) fn failed_with(outcome: Outcome, call: &str, result: Result<(), Error>) -> Result<Error, Failure> {
    let error = refused(call, result)?;
    match error.outcome() {
        seen if seen == outcome => Ok(error),
        seen => {
            Err(Failure::broken(format!("expected: {call} fails with outcome {outcome:?}; seen: {seen:?} in {error}")))
        }
    }
}
