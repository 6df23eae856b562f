//! R1 to R3: what a registration is.

use futures_util::future::join_all;
use registry_core::ErrorKind;

use crate::case;
use crate::case::Case;
use crate::cases::look::{holds, is_there, stands};
use crate::cases::steps::{changed, dropped_after, oversized, patient, refused, sees, without_a_gap};
use crate::context::Context;
use crate::ensure;
use crate::failure::{Failure, Promised as _};
use crate::hooks::Hook;
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(R1: r1_registered_is_seen_by_another_handle_at_once),
    case!(R1, R3: r1_no_late_effect_of_an_earlier_call_undoes_a_register)
        .with_hooks(&[Hook::DelayWrites, Hook::Overtake])
        .lasting(Timing::operation),
    case!(R2: r2_an_update_replaces_every_field_and_no_reader_misses_the_identity),
    case!(R2, W1: r2_a_watcher_sees_the_updates_and_never_misses_the_identity),
    case!(R3: r3_a_second_registration_leaves_the_first_alone).lasting(Timing::crash_is_over),
    case!(R3: r3_many_registrations_of_many_services_are_independent).lasting(Timing::ttl),
    case!(R3: r3_calls_for_one_identity_take_effect_in_the_order_of_their_first_poll),
    case!(R3, V1: r3_a_refused_entry_fails_alone_among_good_ones).lasting(Timing::ttl),
    case!(R3, V3: r3_an_entry_that_the_store_denies_fails_alone_in_a_batch).with_hooks(&[Hook::DenyEntry]),
    case!(R3, L3: r3_an_entry_that_the_store_denies_holds_up_no_recovery)
        .with_hooks(&[Hook::DenyEntry, Hook::Expire])
        .lasting(Timing::recovery),
    case!(R3, R5: r3_a_dropped_deregister_is_carried_out).lasting(Timing::quiet),
    case!(R3, R9: r3_a_dropped_close_is_carried_out).lasting(Timing::quiet),
];

async fn r1_registered_is_seen_by_another_handle_at_once(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.builder(&service).weight(7).tag("zone", "a").build().map_err(Failure::bench)?;
    ctx.register(&owner, &info).await?;
    sees(ctx, &*reader, &service, &[&info], "the registration at the first look").await
}

async fn r1_no_late_effect_of_an_earlier_call_undoes_a_register(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (patient(ctx).await?, ctx.connect().await?);
    let service = ctx.service();
    let first = ctx.info(&service);
    let last = changed(&first, 33)?;
    ctx.register(&owner, &first).await?;
    ctx.hooks()?.delay_writes(owner.id()).await?;
    let late = ctx.deregister(&owner, &first).await;
    refused("a deregister whose write is under way for longer than the operation timeout", late)?;
    ctx.hooks()?.overtake(owner.id()).await?;
    ctx.register(&owner, &last).await.promised("a register after a deregister that timed out is ok")?;
    ctx.hooks()?.heal(owner.id()).await?;
    ctx.note("the delayed removal arrives");
    let what = "the later registration stands";
    ctx.throughout(ctx.timing().quiet(), what, async || stands(&*reader, &service, &[&last]).await).await
}

async fn r2_an_update_replaces_every_field_and_no_reader_misses_the_identity(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let first = ctx.builder(&service).weight(7).tag("zone", "a").build().map_err(Failure::bench)?;
    ctx.register(&owner, &first).await?;
    let mut last = first.clone();
    let updates = async {
        for weight in 1..=20 {
            last = changed(&first, weight)?;
            ctx.register(&owner, &last).await?;
        }
        Ok::<(), Failure>(())
    };
    ctx.during("the identity is there", updates, async || is_there(&*reader, &first).await).await??;
    sees(ctx, &*reader, &service, &[&last], "the last update, and nothing of the first registration").await
}

async fn r2_a_watcher_sees_the_updates_and_never_misses_the_identity(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let first = ctx.info(&service);
    ctx.register(&owner, &first).await?;
    let mut watch = reader.watch(&service)?;
    ctx.next(&mut watch, ctx.timing().prompt(), "the first registration").await?;
    let mut last = first.clone();
    let updates = async {
        for weight in 51..=70 {
            last = changed(&first, weight)?;
            ctx.register(&owner, &last).await?;
        }
        Ok::<(), Failure>(())
    };
    without_a_gap(ctx, &mut watch, &first, updates).await??;
    holds(&watch.latest(), &[&last]).promised("the watch ends up with the last update")
}

async fn r3_a_second_registration_leaves_the_first_alone(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let (service, other) = (ctx.service(), ctx.service());
    let (first, second, third) = (ctx.info(&service), ctx.info(&service), ctx.info(&other));
    for info in [&first, &second, &third] {
        ctx.register(&owner, info).await?;
    }
    ctx.deregister(&owner, &second).await?;
    let time = ctx.timing().crash_is_over();
    let what = "both other registrations stand";
    ctx.throughout(time, what, async || {
        stands(&*reader, &service, &[&first]).await?;
        stands(&*reader, &other, &[&third]).await
    })
    .await
}

async fn r3_many_registrations_of_many_services_are_independent(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let mut staying = Vec::new();
    let mut leaving = Vec::new();
    for number in 0..10 {
        let service = ctx.service();
        for weight in 1..=4 {
            let info = changed(&ctx.info(&service), number * 10 + weight)?;
            if weight % 2 == 0 { leaving.push(info) } else { staying.push((service.clone(), info)) }
        }
    }
    let all = staying.iter().map(|(_, info)| info).chain(&leaving);
    for result in join_all(all.map(|info| ctx.register(&owner, info))).await {
        result.promised("each of many concurrent registrations is ok")?;
    }
    for result in join_all(leaving.iter().map(|info| ctx.deregister(&owner, info))).await {
        result.promised("each of many concurrent withdrawals is ok")?;
    }
    let what = "of each service what was not withdrawn";
    for pair in staying.chunks(2) {
        sees(ctx, &*reader, &pair[0].0, &[&pair[0].1, &pair[1].1], what).await?;
    }
    ctx.pause(ctx.timing().ttl()).await;
    for pair in staying.chunks(2) {
        sees(ctx, &*reader, &pair[0].0, &[&pair[0].1, &pair[1].1], what).await?;
    }
    Ok(())
}

async fn r3_calls_for_one_identity_take_effect_in_the_order_of_their_first_poll(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    for round in 0..4 {
        let mut steps = Vec::new();
        for weight in 1..=6 {
            steps.push(if weight == 3 { None } else { Some(changed(&info, round * 10 + weight)?) });
        }
        if round % 2 == 1 {
            steps.push(None);
        }
        // These futures are polled for the first time in their order.
        let calls = steps.iter().map(async |step| match step {
            Some(update) => ctx.register(&owner, update).await,
            None => ctx.deregister(&owner, &info).await,
        });
        for result in join_all(calls).await {
            result.promised("each of the concurrent calls is ok")?;
        }
        let last: Vec<_> = steps.last().and_then(Option::as_ref).into_iter().collect();
        sees(ctx, &*reader, &service, &last, "what the last of the concurrent calls asked for").await?;
    }
    Ok(())
}

async fn r3_a_refused_entry_fails_alone_among_good_ones(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let good = [ctx.info(&service), ctx.info(&service), ctx.info(&service), ctx.info(&service)];
    let bad = oversized(&ctx.info(&service))?;
    let calls = [&good[0], &good[1], &bad, &good[2], &good[3]];
    for (number, result) in join_all(calls.map(|info| ctx.register(&owner, info))).await.into_iter().enumerate() {
        if number != 2 {
            result.promised("the entries that the store accepts are registered")?;
            continue;
        }
        let error = refused("an entry past the limit", result)?;
        let kind = error.kind();
        ensure!(kind == ErrorKind::InvalidInput, "expected: an entry past the limit is invalid input; seen: {error}");
    }
    let all = [&good[0], &good[1], &good[2], &good[3]];
    sees(ctx, &*reader, &service, &all, "the good entries").await?;
    let what = "the good entries stand";
    ctx.throughout(ctx.timing().ttl(), what, async || stands(&*reader, &service, &all).await).await
}

async fn r3_an_entry_that_the_store_denies_fails_alone_in_a_batch(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let (denied, good) = (ctx.info(&service), [ctx.info(&service), ctx.info(&service), ctx.info(&service)]);
    ctx.hooks()?.deny_entry(&denied).await?;
    let calls = [&good[0], &denied, &good[1], &good[2]];
    for (number, result) in join_all(calls.map(|info| ctx.register(&owner, info))).await.into_iter().enumerate() {
        if number != 1 {
            result.promised("the entries that the store accepts are registered")?;
            continue;
        }
        let error = refused("an entry that the store denies", result)?;
        ensure!(error.kind() == ErrorKind::Denied, "expected: denied; seen: {error}");
    }
    sees(ctx, &*reader, &service, &good.each_ref(), "the entries that the store accepts").await
}

async fn r3_an_entry_that_the_store_denies_holds_up_no_recovery(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let (denied, good) = (ctx.info(&service), [ctx.info(&service), ctx.info(&service), ctx.info(&service)]);
    for info in [&good[0], &denied, &good[1], &good[2]] {
        ctx.register(&owner, info).await?;
    }
    ctx.hooks()?.deny_entry(&denied).await?;
    ctx.hooks()?.expire(owner.id()).await?;
    let what = "the entries that the store accepts are back";
    let within = ctx.timing().recovery();
    ctx.eventually(within, what, async || stands(&*reader, &service, &good.each_ref()).await).await?;
    ctx.hooks()?.allow_entry(&denied).await?;
    let all = [&good[0], &good[1], &good[2], &denied];
    ctx.eventually(within, "all entries are back", async || stands(&*reader, &service, &all).await).await
}

async fn r3_a_dropped_deregister_is_carried_out(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    dropped_after(1, owner.deregister(&info)).await;
    ctx.note("the future of deregister was dropped");
    let within = ctx.timing().prompt();
    ctx.eventually(within, "the entry is gone", async || stands(&*reader, &service, &[]).await).await?;
    let quiet = ctx.timing().quiet();
    ctx.throughout(quiet, "it stays away", async || stands(&*reader, &service, &[]).await).await
}

async fn r3_a_dropped_close_is_carried_out(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (patient(ctx).await?, ctx.connect().await?);
    let service = ctx.service();
    let (one, two) = (ctx.info(&service), ctx.info(&service));
    ctx.register(&owner, &one).await?;
    ctx.register(&owner, &two).await?;
    dropped_after(1, owner.close()).await;
    ctx.note("the future of close was dropped");
    let within = ctx.timing().prompt();
    ctx.eventually(within, "all entries are gone", async || stands(&*reader, &service, &[]).await).await?;
    let quiet = ctx.timing().quiet();
    ctx.throughout(quiet, "they stay away", async || stands(&*reader, &service, &[]).await).await
}
