//! L: liveness.

use registry_core::HandleState;

use crate::case;
use crate::case::Case;
use crate::cases::look::stands;
use crate::context::Context;
use crate::ensure;
use crate::failure::{Failure, Promised as _};
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(L2: l2_a_crashed_owner_is_gone_after_its_ttl_and_not_before).lasting(Timing::crash_is_over),
    case!(L6: l6_a_handle_is_ready_when_its_registrations_stand),
];

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

async fn l6_a_handle_is_ready_when_its_registrations_stand(ctx: &Context) -> Result<(), Failure> {
    let owner = ctx.connect().await?;
    let info = ctx.info(&ctx.service());
    ensure!(owner.registration(&info).is_none(), "expected: no status before the registration; seen: one");
    ctx.register(&owner, &info).await?;
    owner.is_ready().promised("ready, with one registration that stands")?;
    ensure!(owner.registration(&info).is_some(), "expected: a status of the registration; seen: none");
    ctx.close(&owner).await?;
    let state = owner.status().borrow().state;
    ensure!(state == HandleState::Closed, "expected: a closed handle says so; seen: {state}");
    ensure!(owner.is_ready().is_err(), "expected: a closed handle is not ready; seen: ready");
    Ok(())
}
