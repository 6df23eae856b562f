//! L3 and L5: what comes back after a fault, how soon, and at what cost to the store.

use std::time::Duration;

use futures_util::future::join_all;
use registry_core::store::Renewal;
use registry_core::{HandleState, Info};

use crate::case;
use crate::case::Case;
use crate::cases::look::stands;
use crate::cases::steps::{changed, rich};
use crate::context::{Context, Owner};
use crate::ensure;
use crate::failure::Failure;
use crate::hooks::Hook;
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(L3: l3_all_is_back_after_the_store_was_killed_and_restarted).with_hooks(&[Hook::Kill]).lasting(outage),
    case!(L3: l3_all_is_back_after_the_store_stood_still).with_hooks(&[Hook::Freeze]).lasting(outage),
    case!(L3: l3_all_is_back_after_the_network_was_cut).with_hooks(&[Hook::Cut]).lasting(outage),
    case!(L3: l3_all_is_back_after_a_long_outage).with_hooks(&[Hook::Cut]).lasting(long_outage),
    case!(L3: l3_all_is_back_after_each_of_many_session_expiries).with_hooks(&[Hook::Expire]).lasting(outage),
    case!(L3: l3_all_is_back_after_the_store_lost_its_data).with_hooks(&[Hook::Wipe]).lasting(Timing::recovery),
    case!(L3: l3_all_is_back_after_the_owners_process_stood_still).in_real_time().lasting(Timing::quiet),
    case!(L3, R4: l3_an_update_is_what_comes_back).with_hooks(&[Hook::Expire]).lasting(Timing::recovery),
    case!(L5: l5_between_audits_many_registrations_cost_no_more_than_one)
        .with_hooks(&[Hook::CountRequests])
        .lasting(steady),
    case!(L5: l5_owners_that_lost_the_store_together_spread_their_reconnects)
        .with_hooks(&[Hook::Kill, Hook::CountRequests])
        .lasting(long_outage),
    case!(L5: l5_an_owner_backs_off_while_the_store_is_away)
        .with_hooks(&[Hook::Kill, Hook::CountRequests])
        .lasting(long_outage),
];

fn outage(timing: &Timing) -> Duration {
    timing.quiet() + timing.recovery()
}

fn long_outage(timing: &Timing) -> Duration {
    timing.operation() * 8 + timing.recovery()
}

/// How long the cost of the steady state is counted.
fn steady(timing: &Timing) -> Duration {
    timing.ttl() * 6
}

/// An owner with three registrations of two services, and an independent client that reads them.
struct Scene {
    owner: Owner,
    reader: Owner,
    infos: [Info; 3],
}

impl Scene {
    async fn new(ctx: &Context) -> Result<Self, Failure> {
        let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
        let (service, other) = (ctx.service(), ctx.service());
        let infos = [rich(ctx, &service)?, ctx.info(&service), rich(ctx, &other)?];
        for info in &infos {
            ctx.register(&owner, info).await?;
        }
        Ok(Self { owner, reader, infos })
    }

    async fn stands(&self) -> Result<(), String> {
        let [first, second, other] = &self.infos;
        stands(&*self.reader, first.service(), &[first, second]).await?;
        stands(&*self.reader, other.service(), &[other]).await
    }

    /// The fault is over: everything comes back, field by field, and stays.
    async fn comes_back(&self, ctx: &Context) -> Result<(), Failure> {
        ctx.note("the fault is over");
        let what = "every registration is back, field by field";
        ctx.eventually(ctx.timing().recovery(), what, async || self.stands().await).await?;
        // What was taken for recovered may be what the store has not expired yet.
        let stays = ctx.timing().recovery();
        ctx.pause(stays).await;
        ctx.throughout(ctx.timing().ttl(), "it stays", async || self.stands().await).await
    }
}

async fn l3_all_is_back_after_the_store_was_killed_and_restarted(ctx: &Context) -> Result<(), Failure> {
    let scene = Scene::new(ctx).await?;
    ctx.hooks()?.kill().await?;
    ctx.pause(ctx.timing().quiet()).await;
    ctx.hooks()?.restart().await?;
    scene.comes_back(ctx).await
}

async fn l3_all_is_back_after_the_store_stood_still(ctx: &Context) -> Result<(), Failure> {
    let scene = Scene::new(ctx).await?;
    ctx.hooks()?.freeze().await?;
    ctx.pause(ctx.timing().quiet()).await;
    ctx.hooks()?.thaw().await?;
    scene.comes_back(ctx).await
}

async fn l3_all_is_back_after_the_network_was_cut(ctx: &Context) -> Result<(), Failure> {
    let scene = Scene::new(ctx).await?;
    ctx.hooks()?.cut(scene.owner.id()).await?;
    ctx.pause(ctx.timing().quiet()).await;
    ctx.hooks()?.heal(scene.owner.id()).await?;
    scene.comes_back(ctx).await
}

async fn l3_all_is_back_after_a_long_outage(ctx: &Context) -> Result<(), Failure> {
    let scene = Scene::new(ctx).await?;
    ctx.hooks()?.cut(scene.owner.id()).await?;
    ctx.pause(ctx.timing().operation() * 6).await;
    ctx.hooks()?.heal(scene.owner.id()).await?;
    scene.comes_back(ctx).await
}

async fn l3_all_is_back_after_each_of_many_session_expiries(ctx: &Context) -> Result<(), Failure> {
    let scene = Scene::new(ctx).await?;
    for _ in 0..8 {
        ctx.hooks()?.expire(scene.owner.id()).await?;
        ctx.note("the session expired");
        let what = "every registration is back, field by field";
        ctx.eventually(ctx.timing().recovery(), what, async || scene.stands().await).await?;
    }
    scene.comes_back(ctx).await
}

async fn l3_all_is_back_after_the_store_lost_its_data(ctx: &Context) -> Result<(), Failure> {
    let scene = Scene::new(ctx).await?;
    ctx.hooks()?.wipe().await?;
    scene.comes_back(ctx).await
}

async fn l3_all_is_back_after_the_owners_process_stood_still(ctx: &Context) -> Result<(), Failure> {
    let scene = Scene::new(ctx).await?;
    // Nothing of this runtime runs, as if its process were stopped.
    std::thread::sleep(ctx.timing().ttl() * 2);
    scene.comes_back(ctx).await
}

async fn l3_an_update_is_what_comes_back(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let first = rich(ctx, &service)?;
    let last = changed(&first, 77)?;
    ctx.register(&owner, &first).await?;
    ctx.register(&owner, &last).await?;
    ctx.hooks()?.expire(owner.id()).await?;
    let what = "the last registration is back";
    ctx.eventually(ctx.timing().recovery(), what, async || stands(&*reader, &service, &[&last]).await).await
}

async fn l5_between_audits_many_registrations_cost_no_more_than_one(ctx: &Context) -> Result<(), Failure> {
    const MANY: u32 = 60;
    let mut request = ctx.request();
    request.options.audit_interval = steady(ctx.timing()) * 10;
    let owner = ctx.open(request).await?;
    let service = ctx.service();
    let infos: Vec<Info> = (0..MANY).map(|_| ctx.info(&service)).collect();
    for result in join_all(infos.iter().map(|info| ctx.register(&owner, info))).await {
        result?;
    }
    ctx.pause(ctx.timing().ttl()).await;
    let before = ctx.hooks()?.requests(owner.id()).await?;
    ctx.pause(steady(ctx.timing())).await;
    let cost = ctx.hooks()?.requests(owner.id()).await? - before;
    // One each third of a TTL, and one for the ends of the time that was counted; jitter makes them no more than a fifth more.
    let turns = 3 * 6 + 1;
    let each = if ctx.capabilities().renewal == Renewal::Entry { u64::from(MANY) + 1 } else { 1 };
    let most = (turns + turns / 5) * each;
    let registrations = owner.registrations().len();
    ensure!(
        cost <= most,
        "expected: at most {most} requests in six TTLs for {registrations} registrations; seen: {cost}"
    );
    Ok(())
}

async fn l5_owners_that_lost_the_store_together_spread_their_reconnects(ctx: &Context) -> Result<(), Failure> {
    const OWNERS: usize = 24;
    let mut owners = Vec::new();
    for _ in 0..OWNERS {
        owners.push(ctx.connect().await?);
    }
    ctx.hooks()?.kill().await?;
    ctx.pause(ctx.timing().operation() * 2).await;
    let mut looks: Vec<Vec<Duration>> = Vec::new();
    if !ctx.is_virtual() {
        // While a real server starts it lets in together who came one by one, so that there it is looked at how they come: again where they seem to come
        // together, as a busy machine stands still for a moment now and then.
        while looks.len() < 3 && looks.iter().all(|times| crowd(times) > OWNERS / 2) {
            looks.push(attempts(ctx, &owners).await?);
        }
    }
    ctx.hooks()?.restart().await?;
    let returns = returns(ctx, &owners).await;
    ensure!(returns.len() == OWNERS, "expected: {OWNERS} owners are back; seen: {}", returns.len());
    let times = looks.pop().unwrap_or(returns);
    let crowd = crowd(&times);
    ensure!(
        crowd <= OWNERS / 2,
        "expected: reconnects are spread; seen: {crowd} of {OWNERS} within {WINDOW:?}: {times:?}"
    );
    Ok(())
}

/// How many come within a tenth of the back-off's cap of 2 s, over which full jitter spreads them: half of all is a herd.
fn crowd(times: &[Duration]) -> usize {
    let within = |from: Duration| times.iter().filter(|at| (from..from + WINDOW).contains(at)).count();
    times.iter().map(|from| within(*from)).max().unwrap_or_default()
}

/// Within what time reconnects count as simultaneous.
const WINDOW: Duration = Duration::from_millis(200);

/// How long after now each of these owners tries again. One that does so while this stands still itself is left out.
async fn attempts(ctx: &Context, owners: &[Owner]) -> Result<Vec<Duration>, Failure> {
    const LOOK: Duration = Duration::from_millis(10);
    let hooks = ctx.hooks()?;
    let mut waiting = Vec::new();
    for owner in owners {
        waiting.push((owner, hooks.requests(owner.id()).await?));
    }
    let began = ctx.elapsed();
    // The back-off's cap, and an attempt that is under way.
    let limit = Duration::from_secs(2) + ctx.timing().operation();
    let (mut looked, mut times) = (began, Vec::new());
    while !waiting.is_empty() {
        ctx.pause(LOOK).await;
        let now = ctx.elapsed();
        let stood_still = now - looked > WINDOW / 2;
        looked = now;
        let mut still = Vec::new();
        for (owner, before) in waiting {
            if hooks.requests(owner.id()).await? == before {
                still.push((owner, before));
            } else if !stood_still {
                times.push(now - began);
            }
        }
        waiting = still;
        let idle = waiting.len();
        ensure!(
            idle == 0 || now - began < limit,
            "expected: each owner tries again within {limit:?}; seen: {idle} do not"
        );
    }
    Ok(times)
}

/// How long after now each of these owners is connected again; without those that are not within the time of recovery.
async fn returns(ctx: &Context, owners: &[Owner]) -> Vec<Duration> {
    let (began, limit) = (ctx.elapsed(), ctx.timing().recovery());
    let returns = join_all(owners.iter().map(async |owner| {
        let mut status = owner.status();
        let connected = status.wait_for(|status| status.state == HandleState::Connected);
        let back = ctx.within(limit, "it is connected again", connected).await.is_ok_and(|status| status.is_ok());
        back.then(|| ctx.elapsed() - began)
    }));
    returns.await.into_iter().flatten().collect()
}

async fn l5_an_owner_backs_off_while_the_store_is_away(ctx: &Context) -> Result<(), Failure> {
    let scene = Scene::new(ctx).await?;
    ctx.hooks()?.kill().await?;
    let before = ctx.hooks()?.requests(scene.owner.id()).await?;
    let outage = ctx.timing().operation() * 8;
    ctx.pause(outage).await;
    let attempts = ctx.hooks()?.requests(scene.owner.id()).await? - before;
    // Pauses that grow to 2 s, uniformly spread, are 1 s in the mean; the first ones are shorter.
    let (fewest, most) = (outage.as_secs() / 4, outage.as_secs() * 2 + 15);
    ensure!(
        (fewest..=most).contains(&attempts),
        "expected: {fewest} to {most} attempts in an outage of {outage:?}; seen: {attempts}"
    );
    ctx.hooks()?.restart().await?;
    scene.comes_back(ctx).await
}
