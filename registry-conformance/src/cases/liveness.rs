//! L1, L2 and L4: entries stay while their owner lives, and go when it died.

use std::time::Duration;

use crate::case;
use crate::case::Case;
use crate::cases::look::stands;
use crate::cases::steps::{changed, rich};
use crate::context::Context;
use crate::failure::{Failure, Promised as _};
use crate::hooks::Hook;
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(L1: l1_an_entry_stays_for_ten_ttls).lasting(ten_ttls),
    case!(L1: l1_an_entry_stays_for_ten_ttls_while_the_runtime_is_busy).in_real_time().lasting(ten_ttls),
    case!(L2: l2_a_crashed_owner_is_gone_after_its_ttl_and_not_before).lasting(Timing::crash_is_over),
    case!(L2, R2: l2_an_owner_that_crashed_after_an_update_is_gone_after_its_ttl).lasting(Timing::crash_is_over),
    case!(L4: l4_a_removed_entry_is_back_within_an_audit)
        .with_hooks(&[Hook::RawRemove])
        .lasting(Timing::restored_by_audit),
    case!(L4: l4_a_changed_entry_is_back_within_an_audit)
        .with_hooks(&[Hook::RawChange])
        .lasting(Timing::restored_by_audit),
    case!(L4: l4_an_entry_replaced_by_an_unowned_one_is_back_within_an_audit)
        .with_hooks(&[Hook::RawPut])
        .lasting(Timing::restored_by_audit),
    case!(L4: l4_an_owner_leaves_a_vanished_entry_alone_for_a_moment)
        .with_hooks(&[Hook::RawRemove])
        .lasting(Timing::left_to_a_claimer),
    case!(L4, R7: l4_a_claimer_that_deletes_and_creates_wins).with_hooks(&[Hook::RawRemove]).lasting(claimed),
];

fn ten_ttls(timing: &Timing) -> Duration {
    timing.ttl() * 10
}

fn claimed(timing: &Timing) -> Duration {
    timing.audit() * 3
}

/// How long a task that keeps the runtime busy holds its thread before it yields (L1). It sleeps on that thread, which to the runtime is the same
/// as computing, and leaves the processor to the cases beside this one.
const BUSY: Duration = Duration::from_millis(100);

async fn l1_an_entry_stays_for_ten_ttls(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = rich(ctx, &service)?;
    ctx.register(&owner, &info).await?;
    let time = ten_ttls(ctx.timing());
    ctx.throughout(time, "the entry stands", async || stands(&*reader, &service, &[&info]).await).await
}

async fn l1_an_entry_stays_for_ten_ttls_while_the_runtime_is_busy(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = rich(ctx, &service)?;
    ctx.register(&owner, &info).await?;
    let load = tokio::spawn(async {
        loop {
            std::thread::sleep(BUSY.mul_f64(0.9));
            tokio::task::yield_now().await;
        }
    });
    let time = ten_ttls(ctx.timing());
    let stood = ctx.throughout(time, "the entry stands", async || stands(&*reader, &service, &[&info]).await).await;
    load.abort();
    stood
}

async fn l2_a_crashed_owner_is_gone_after_its_ttl_and_not_before(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    owner.crash();
    ctx.note("the owner crashed");
    let unnoticed = ctx.timing().crash_is_unnoticed();
    ctx.throughout(unnoticed, "the entry still stands", async || stands(&*reader, &service, &[&info]).await).await?;
    let left = ctx.timing().crash_is_over() - unnoticed;
    ctx.eventually(left, "the entry is gone", async || stands(&*reader, &service, &[]).await).await
}

async fn l2_an_owner_that_crashed_after_an_update_is_gone_after_its_ttl(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    ctx.pause(ctx.timing().ttl() * 2).await;
    for weight in 1..=5 {
        ctx.register(&owner, &changed(&info, weight)?).await?;
    }
    owner.crash();
    ctx.note("the owner crashed");
    let within = ctx.timing().crash_is_over();
    ctx.eventually(within, "the entry is gone", async || stands(&*reader, &service, &[]).await).await?;
    let quiet = ctx.timing().quiet();
    ctx.throughout(quiet, "it stays away", async || stands(&*reader, &service, &[]).await).await
}

async fn l4_a_removed_entry_is_back_within_an_audit(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let (lost, other) = (rich(ctx, &service)?, ctx.info(&service));
    ctx.register(&owner, &lost).await?;
    ctx.register(&owner, &other).await?;
    ctx.hooks()?.raw_remove(&lost).await?;
    ctx.note("somebody removed the entry");
    let within = ctx.timing().restored_by_audit();
    let what = "the removed entry is back";
    ctx.eventually(within, what, async || stands(&*reader, &service, &[&lost, &other]).await).await
}

async fn l4_a_changed_entry_is_back_within_an_audit(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = rich(ctx, &service)?;
    ctx.register(&owner, &info).await?;
    ctx.hooks()?.raw_change(&changed(&info, 99)?).await?;
    ctx.note("somebody changed the entry");
    let within = ctx.timing().restored_by_audit();
    let what = "the entry is again as it was registered";
    ctx.eventually(within, what, async || stands(&*reader, &service, &[&info]).await).await
}

async fn l4_an_entry_replaced_by_an_unowned_one_is_back_within_an_audit(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = rich(ctx, &service)?;
    ctx.register(&owner, &info).await?;
    ctx.hooks()?.raw_put(&changed(&info, 99)?).await?;
    ctx.note("somebody replaced the entry by one that nobody owns");
    let within = ctx.timing().restored_by_audit();
    let what = "the entry is again as it was registered";
    ctx.eventually(within, what, async || stands(&*reader, &service, &[&info]).await).await?;
    owner.crash();
    let within = ctx.timing().crash_is_over();
    let what = "it is an owned entry again, which goes with its owner";
    ctx.eventually(within, what, async || stands(&*reader, &service, &[]).await).await
}

async fn l4_an_owner_leaves_a_vanished_entry_alone_for_a_moment(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    ctx.hooks()?.raw_remove(&info).await?;
    ctx.note("somebody removed the entry");
    let moment = ctx.timing().left_to_a_claimer();
    let what = "the entry is left alone for a claimer";
    ctx.throughout(moment, what, async || stands(&*reader, &service, &[]).await).await
}

async fn l4_a_claimer_that_deletes_and_creates_wins(ctx: &Context) -> Result<(), Failure> {
    let (owner, claimer) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    let claimed = changed(&info, 33)?;
    ctx.register(&owner, &info).await?;
    ctx.hooks()?.raw_remove(&info).await?;
    ctx.note("the claimer deletes");
    ctx.pause(ctx.timing().left_to_a_claimer() / 2).await;
    ctx.register(&claimer, &claimed).await.promised("the claimer creates")?;
    let time = ctx.timing().audit() * 3;
    let what = "the claimer's entry stands";
    ctx.throughout(time, what, async || stands(&*claimer, &service, &[&claimed]).await).await
}
