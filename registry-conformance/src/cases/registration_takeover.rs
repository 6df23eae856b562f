//! R6 and R7: several owners of one identity.

use registry_core::{Info, RegistrationState, ServiceName};

use crate::case;
use crate::case::Case;
use crate::cases::look::{holds, is_there, stands};
use crate::cases::steps::{changed, patient, sees, without_a_gap};
use crate::context::{Context, Owner};
use crate::ensure;
use crate::failure::{Failure, Promised as _};
use crate::hooks::Hook;
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(R6: r6_deregister_leaves_a_successor_alone).lasting(watched),
    case!(R6, R9: r6_close_leaves_a_successor_alone).lasting(watched),
    case!(R6, L2: r6_the_expiry_of_the_old_owner_leaves_a_successor_alone).lasting(watched),
    case!(R6, L3: r6_recovery_of_the_old_owner_leaves_a_successor_alone).with_hooks(&[Hook::Expire]).lasting(watched),
    case!(R6, L3: r6_a_successor_that_comes_during_recovery_is_left_alone).with_hooks(&[Hook::Expire]).lasting(watched),
    case!(R6, R4: r6_a_late_register_of_the_old_owner_leaves_a_successor_alone)
        .with_hooks(&[Hook::DelayWrites, Hook::Overtake])
        .lasting(delayed),
    case!(R6, R5: r6_a_late_deregister_of_the_old_owner_leaves_a_successor_alone)
        .with_hooks(&[Hook::DelayWrites, Hook::Overtake])
        .lasting(delayed),
    case!(R7: r7_takeover_from_a_living_owner_succeeds_at_once).lasting(watched),
    case!(R7: r7_takeover_from_a_dead_owner_succeeds_at_once).lasting(watched),
    case!(R7: r7_no_resolver_sees_a_gap).where_offered(&["gap-free takeover"]),
    case!(R7, W1: r7_no_watcher_sees_a_gap).where_offered(&["gap-free takeover"]),
    case!(R7, L6: r7_the_displaced_owner_learns_it_within_an_audit).lasting(Timing::noticed_by_audit),
    case!(R7: r7_the_displaced_owner_yields_over_several_audits).lasting(audits),
    case!(R7: r7_the_displaced_owner_restores_its_entry_when_the_other_one_leaves).lasting(audits),
    case!(R7, L2: r7_the_displaced_owner_restores_its_entry_when_the_other_one_dies).lasting(audits),
    case!(R7: r7_the_last_to_call_register_holds_it).lasting(audits),
    case!(R7, R5: r7_a_displaced_owner_that_deregistered_restores_nothing).lasting(audits),
];

fn watched(timing: &Timing) -> std::time::Duration {
    timing.crash_is_over().max(timing.recovery())
}

fn delayed(timing: &Timing) -> std::time::Duration {
    timing.call_ends() + timing.quiet()
}

fn audits(timing: &Timing) -> std::time::Duration {
    timing.audit() * 4 + timing.restored_by_audit()
}

/// An owner, another one that is going to be or was its successor, their service, and the two registrations of one identity.
struct Pair {
    old: Owner,
    new: Owner,
    service: ServiceName,
    info: Info,
    successor: Info,
}

impl Pair {
    /// Two owners; the old one has registered.
    async fn one_registered(ctx: &Context, old: Owner) -> Result<Self, Failure> {
        let new = ctx.connect().await?;
        let service = ctx.service();
        let info = ctx.info(&service);
        let successor = changed(&info, 33)?;
        ctx.register(&old, &info).await?;
        Ok(Self { old, new, service, info, successor })
    }

    /// Two owners; the new one has taken over.
    async fn taken_over(ctx: &Context) -> Result<Self, Failure> {
        let pair = Self::one_registered(ctx, ctx.connect().await?).await?;
        pair.take_over(ctx).await?;
        Ok(pair)
    }

    async fn take_over(&self, ctx: &Context) -> Result<(), Failure> {
        let limit = ctx.timing().ttl() / 2;
        let what = "the takeover, which does not wait for the other owner's TTL";
        ctx.within(limit, what, ctx.register(&self.new, &self.successor)).await?.promised("the takeover succeeds")
    }

    /// The successor's entry stands as it was written, all the time.
    async fn successor_stands(&self, ctx: &Context, time: std::time::Duration) -> Result<(), Failure> {
        if !ctx.capabilities().atomic_withdrawal.is_offered() {
            // It may vanish in the one round trip between check and removal, and is restored within this time.
            ctx.pause(ctx.timing().ttl() / 3 + ctx.timing().allow(std::time::Duration::from_secs(2))).await;
        }
        let what = "the successor's entry stands";
        ctx.throughout(time, what, async || stands(&*self.new, &self.service, &[&self.successor]).await).await
    }

    async fn old_one_is_back(&self, ctx: &Context, within: std::time::Duration) -> Result<(), Failure> {
        let what = "the displaced owner's entry is back";
        ctx.eventually(within, what, async || stands(&*self.old, &self.service, &[&self.info]).await).await
    }

    /// Waits until the old owner says that it is displaced.
    async fn displaced(&self, ctx: &Context) -> Result<(), Failure> {
        let told = async || match self.old.registration(&self.info) {
            Some(status) if status.borrow().state == RegistrationState::Displaced => Ok(()),
            Some(status) => Err(status.borrow().to_string()),
            None => Err("no status".to_owned()),
        };
        ctx.eventually(ctx.timing().noticed_by_audit(), "the old owner says `displaced`", told).await
    }
}

async fn r6_deregister_leaves_a_successor_alone(ctx: &Context) -> Result<(), Failure> {
    let pair = Pair::taken_over(ctx).await?;
    ctx.deregister(&pair.old, &pair.info).await.promised("deregister of what a successor holds is ok")?;
    pair.successor_stands(ctx, ctx.timing().crash_is_over()).await
}

async fn r6_close_leaves_a_successor_alone(ctx: &Context) -> Result<(), Failure> {
    let pair = Pair::taken_over(ctx).await?;
    ctx.close(&pair.old).await.promised("close is ok")?;
    pair.successor_stands(ctx, ctx.timing().crash_is_over()).await
}

async fn r6_the_expiry_of_the_old_owner_leaves_a_successor_alone(ctx: &Context) -> Result<(), Failure> {
    let Pair { old, new, service, successor, .. } = Pair::taken_over(ctx).await?;
    old.crash();
    ctx.note("the old owner crashed");
    let what = "the successor's entry stands";
    let time = ctx.timing().crash_is_over();
    ctx.throughout(time, what, async || stands(&*new, &service, &[&successor]).await).await
}

async fn r6_recovery_of_the_old_owner_leaves_a_successor_alone(ctx: &Context) -> Result<(), Failure> {
    let pair = Pair::taken_over(ctx).await?;
    ctx.hooks()?.expire(pair.old.id()).await?;
    ctx.note("the old owner's session expired");
    pair.successor_stands(ctx, watched(ctx.timing())).await
}

async fn r6_a_successor_that_comes_during_recovery_is_left_alone(ctx: &Context) -> Result<(), Failure> {
    let pair = Pair::one_registered(ctx, ctx.connect().await?).await?;
    ctx.hooks()?.expire(pair.old.id()).await?;
    ctx.note("the old owner's session expired");
    pair.take_over(ctx).await?;
    pair.successor_stands(ctx, watched(ctx.timing())).await
}

async fn r6_a_late_register_of_the_old_owner_leaves_a_successor_alone(ctx: &Context) -> Result<(), Failure> {
    let pair = Pair::one_registered(ctx, patient(ctx).await?).await?;
    ctx.hooks()?.delay_writes(pair.old.id()).await?;
    let late = ctx.register(&pair.old, &changed(&pair.info, 66)?).await;
    ensure!(late.is_err(), "expected: an update without an answer fails; seen: ok");
    ctx.hooks()?.overtake(pair.old.id()).await?;
    pair.take_over(ctx).await?;
    ctx.hooks()?.heal(pair.old.id()).await?;
    ctx.note("the old owner's delayed writes arrive");
    pair.successor_stands(ctx, ctx.timing().quiet()).await
}

async fn r6_a_late_deregister_of_the_old_owner_leaves_a_successor_alone(ctx: &Context) -> Result<(), Failure> {
    let pair = Pair::one_registered(ctx, patient(ctx).await?).await?;
    ctx.hooks()?.delay_writes(pair.old.id()).await?;
    let late = ctx.deregister(&pair.old, &pair.info).await;
    ensure!(late.is_err(), "expected: a deregister without an answer fails; seen: ok");
    pair.take_over(ctx).await?;
    ctx.hooks()?.heal(pair.old.id()).await?;
    ctx.note("the old owner's delayed removals arrive");
    pair.successor_stands(ctx, ctx.timing().quiet()).await
}

async fn r7_takeover_from_a_living_owner_succeeds_at_once(ctx: &Context) -> Result<(), Failure> {
    let pair = Pair::taken_over(ctx).await?;
    sees(ctx, &*pair.old, &pair.service, &[&pair.successor], "the new owner's entry").await?;
    pair.successor_stands(ctx, ctx.timing().crash_is_over()).await
}

async fn r7_takeover_from_a_dead_owner_succeeds_at_once(ctx: &Context) -> Result<(), Failure> {
    let pair = Pair::one_registered(ctx, ctx.connect().await?).await?;
    let Pair { old, new, service, successor, .. } = pair;
    old.crash();
    ctx.note("the old owner crashed");
    let (limit, what) = (ctx.timing().ttl() / 2, "the takeover, which does not wait for the dead owner's TTL");
    ctx.within(limit, what, ctx.register(&new, &successor)).await?.promised("the takeover succeeds")?;
    let what = "the successor's entry stands";
    let time = ctx.timing().crash_is_over();
    ctx.throughout(time, what, async || stands(&*new, &service, &[&successor]).await).await
}

async fn r7_no_resolver_sees_a_gap(ctx: &Context) -> Result<(), Failure> {
    let (pair, reader) = (Pair::one_registered(ctx, ctx.connect().await?).await?, ctx.connect().await?);
    let what = "the identity is there";
    ctx.during(what, pair.take_over(ctx), async || is_there(&*reader, &pair.info).await).await?
}

async fn r7_no_watcher_sees_a_gap(ctx: &Context) -> Result<(), Failure> {
    let (pair, reader) = (Pair::one_registered(ctx, ctx.connect().await?).await?, ctx.connect().await?);
    let mut watch = reader.watch(&pair.service)?;
    ctx.next(&mut watch, ctx.timing().prompt(), "the old owner's entry").await?;
    without_a_gap(ctx, &mut watch, &pair.info, pair.take_over(ctx)).await??;
    holds(&watch.latest(), &[&pair.successor]).promised("the watch ends up with the new owner's entry")
}

async fn r7_the_displaced_owner_learns_it_within_an_audit(ctx: &Context) -> Result<(), Failure> {
    let pair = Pair::taken_over(ctx).await?;
    pair.displaced(ctx).await
}

async fn r7_the_displaced_owner_yields_over_several_audits(ctx: &Context) -> Result<(), Failure> {
    let pair = Pair::taken_over(ctx).await?;
    pair.successor_stands(ctx, ctx.timing().audit() * 4).await?;
    pair.displaced(ctx).await
}

async fn r7_the_displaced_owner_restores_its_entry_when_the_other_one_leaves(ctx: &Context) -> Result<(), Failure> {
    let pair = Pair::taken_over(ctx).await?;
    pair.displaced(ctx).await?;
    ctx.deregister(&pair.new, &pair.successor).await?;
    pair.old_one_is_back(ctx, ctx.timing().restored_by_audit()).await
}

async fn r7_the_displaced_owner_restores_its_entry_when_the_other_one_dies(ctx: &Context) -> Result<(), Failure> {
    let pair = Pair::taken_over(ctx).await?;
    pair.displaced(ctx).await?;
    let Pair { old, new, service, info, .. } = pair;
    new.crash();
    ctx.note("the successor crashed");
    let within = ctx.timing().crash_is_over() + ctx.timing().restored_by_audit();
    let what = "the displaced owner's entry is back";
    ctx.eventually(within, what, async || stands(&*old, &service, &[&info]).await).await
}

async fn r7_the_last_to_call_register_holds_it(ctx: &Context) -> Result<(), Failure> {
    let pair = Pair::taken_over(ctx).await?;
    pair.displaced(ctx).await?;
    let last = changed(&pair.info, 44)?;
    ctx.register(&pair.old, &last).await.promised("registering again takes the identity back")?;
    let time = ctx.timing().audit() * 3;
    let what = "the entry of the last to call register stands";
    ctx.throughout(time, what, async || stands(&*pair.new, &pair.service, &[&last]).await).await
}

async fn r7_a_displaced_owner_that_deregistered_restores_nothing(ctx: &Context) -> Result<(), Failure> {
    let pair = Pair::taken_over(ctx).await?;
    pair.displaced(ctx).await?;
    ctx.deregister(&pair.old, &pair.info).await.promised("deregister of a displaced registration is ok")?;
    ctx.deregister(&pair.new, &pair.successor).await?;
    let time = ctx.timing().restored_by_audit();
    ctx.throughout(time, "nothing comes back", async || stands(&*pair.old, &pair.service, &[]).await).await
}
