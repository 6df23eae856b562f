//! R: registration.

use crate::case;
use crate::case::Case;
use crate::cases::look::{is_there, stands};
use crate::context::Context;
use crate::failure::{Failure, Promised as _};

pub(super) const CASES: &[Case] = &[
    case!(R1: r1_registered_is_seen_by_another_handle_at_once),
    case!(R2: r2_an_update_replaces_every_field_and_no_reader_misses_the_identity),
    case!(R3: r3_a_second_registration_leaves_the_first_alone),
    case!(R5: r5_deregistered_is_gone_for_others_at_once),
    case!(R6: r6_deregister_leaves_a_successor_alone),
    case!(R7: r7_takeover_succeeds_at_once_and_leaves_no_gap),
];

async fn r1_registered_is_seen_by_another_handle_at_once(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.builder(&service).weight(7).tag("zone", "a").build().map_err(Failure::bench)?;
    ctx.register(&owner, &info).await?;
    if ctx.capabilities().linearizable_resolve.is_offered() {
        return stands(&*reader, &service, &[&info]).await.promised("the registration at the first look");
    }
    ctx.eventually(ctx.timing().prompt(), "the registration", async || stands(&*reader, &service, &[&info]).await).await
}

async fn r2_an_update_replaces_every_field_and_no_reader_misses_the_identity(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let first = ctx.builder(&service).weight(7).tag("zone", "a").build().map_err(Failure::bench)?;
    ctx.register(&owner, &first).await?;
    let mut last = first.clone();
    let updates = async {
        for weight in 1..=20 {
            last = first
                .to_builder()
                .weight(weight)
                .tags([("step", weight.to_string())])
                .build()
                .map_err(Failure::bench)?;
            ctx.register(&owner, &last).await?;
        }
        Ok::<(), Failure>(())
    };
    ctx.during("the identity is there", updates, async || is_there(&*reader, &first).await).await??;
    stands(&*reader, &service, &[&last]).await.promised("the last update, and nothing of the first registration")
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

async fn r5_deregistered_is_gone_for_others_at_once(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let (leaving, staying) = (ctx.info(&service), ctx.info(&service));
    ctx.register(&owner, &leaving).await?;
    ctx.register(&owner, &staying).await?;
    ctx.deregister(&owner, &leaving).await.promised("deregister is ok")?;
    stands(&*reader, &service, &[&staying]).await.promised("only the registration that stays")?;
    ctx.deregister(&owner, &leaving).await.promised("deregister is idempotent")
}

async fn r6_deregister_leaves_a_successor_alone(ctx: &Context) -> Result<(), Failure> {
    let (old, new) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    let successor = info.to_builder().weight(33).build().map_err(Failure::bench)?;
    ctx.register(&old, &info).await?;
    ctx.register(&new, &successor).await?;
    ctx.deregister(&old, &info).await?;
    let time = ctx.timing().crash_is_over();
    ctx.throughout(time, "the successor's entry stands", async || stands(&*new, &service, &[&successor]).await).await
}

async fn r7_takeover_succeeds_at_once_and_leaves_no_gap(ctx: &Context) -> Result<(), Failure> {
    let (old, new, reader) = (ctx.connect().await?, ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    let successor = info.to_builder().weight(33).build().map_err(Failure::bench)?;
    ctx.register(&old, &info).await?;
    let takeover = tokio::time::timeout(ctx.timing().ttl() / 2, ctx.register(&new, &successor));
    let taken = if ctx.capabilities().gap_free_takeover.is_offered() {
        ctx.during("the identity is there", takeover, async || is_there(&*reader, &info).await).await?
    } else {
        takeover.await
    };
    taken.promised("the takeover does not wait for the other owner's TTL")?.promised("the takeover succeeds")?;
    let time = ctx.timing().crash_is_over();
    ctx.throughout(time, "the new owner's entry stands", async || stands(&*reader, &service, &[&successor]).await).await
}
