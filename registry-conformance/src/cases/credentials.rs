//! X1: what becomes of a handle whose credentials the store refuses.

use std::time::Duration;

use registry_core::{ErrorKind, Info, Outcome, ServiceName, Watch};

use crate::case;
use crate::case::Case;
use crate::cases::look::stands;
use crate::cases::steps::{failed_with, sees};
use crate::cases::views::{in_time, knows, says, settled};
use crate::context::{Context, Owner};
use crate::ensure;
use crate::failure::{Failure, Promised as _};
use crate::hooks::Hook;
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(X1, V3: x1_bad_credentials_are_refused_and_change_nothing)
        .with_hooks(&[Hook::BadCredentials])
        .lasting(Timing::operation),
    case!(X1, L6: x1_a_lazy_handle_with_bad_credentials_says_denied_and_writes_nothing)
        .with_hooks(&[Hook::BadCredentials])
        .lasting(refused),
    case!(X1, R10: x1_credentials_that_become_good_are_taken_up)
        .with_hooks(&[Hook::BadCredentials, Hook::MendCredentials])
        .lasting(refused),
];

fn refused(timing: &Timing) -> Duration {
    timing.recovery() + timing.quiet()
}

/// A handle that opened although its credentials are bad, with a wish and a watch.
struct Refused {
    owner: Owner,
    reader: Owner,
    service: ServiceName,
    wish: Info,
    watch: Watch,
}

impl Refused {
    async fn new(ctx: &Context) -> Result<Self, Failure> {
        let reader = ctx.connect().await?;
        let service = ctx.service();
        let wish = ctx.info(&service);
        let mut request = ctx.request_with_bad_credentials();
        request.options.lazy = true;
        let opened = in_time(ctx, "connect", ctx.open(request)).await?;
        let owner = opened.promised("a lazy handle opens, whatever the store thinks of it")?;
        owner.announce(&wish).promised("announce needs no store")?;
        let watch = owner.watch(&service).promised("watch needs no store")?;
        let told = async || Self::says_denied(&owner, &wish);
        ctx.eventually(ctx.timing().recovery(), "the status says denied", told).await?;
        Ok(Self { owner, reader, service, wish, watch })
    }

    /// Stores differ in whether they refuse the session or what is asked in it.
    fn says_denied(owner: &Owner, wish: &Info) -> Result<(), String> {
        let handle = owner.status().borrow().last_error.clone();
        let registration = owner.registration(wish).and_then(|status| status.borrow().last_error.clone());
        let troubles = [handle, registration];
        match troubles.iter().flatten().any(|trouble| trouble.kind == ErrorKind::Denied) {
            true => Ok(()),
            false => Err(format!("{troubles:?}")),
        }
    }
}

async fn x1_bad_credentials_are_refused_and_change_nothing(ctx: &Context) -> Result<(), Failure> {
    let (denied, reader) = (&[ErrorKind::Denied], ctx.connect().await?);
    // Of another service: a store whose permissions are those of single nodes may let anybody in where somebody stands already.
    let (service, other) = (ctx.service(), ctx.service());
    let (held, intruder) = (ctx.info(&service), ctx.info(&other));
    ctx.register(&reader, &held).await?;
    let opened = in_time(ctx, "connect", ctx.open(ctx.request_with_bad_credentials())).await?;
    match opened {
        Err(error) => says("connect", Err::<(), _>(error), denied)?,
        // Some stores tell only when something is asked of them.
        Ok(owner) => {
            let written = in_time(ctx, "register", ctx.register(&owner, &intruder)).await?;
            let error = failed_with(Outcome::NotApplied, "register", written)?;
            says("register", Err::<(), _>(error), denied)?;
            says("resolve", in_time(ctx, "resolve", owner.resolve(&other)).await?, denied)?;
        }
    }
    sees(ctx, &*reader, &other, &[], "nothing that was refused").await?;
    sees(ctx, &*reader, &service, &[&held], "what stood before").await
}

async fn x1_a_lazy_handle_with_bad_credentials_says_denied_and_writes_nothing(ctx: &Context) -> Result<(), Failure> {
    let Refused { owner, reader, service, watch, .. } = Refused::new(ctx).await?;
    let empty = async || match watch.latest().is_known() {
        true => Err("the watch knows what it may not read".to_owned()),
        false if owner.is_ready().is_ok() => Err("the handle is ready".to_owned()),
        false => stands(&*reader, &service, &[]).await,
    };
    ctx.throughout(ctx.timing().ttl(), "nothing is written or read, and the handle is not ready", empty).await?;
    let another = ctx.info(&service);
    says("register", in_time(ctx, "register", ctx.register(&owner, &another)).await?, &[ErrorKind::Denied])?;
    says("resolve", in_time(ctx, "resolve", owner.resolve(&service)).await?, &[ErrorKind::Denied])?;
    sees(ctx, &*reader, &service, &[], "nothing, after calls that were denied").await
}

async fn x1_credentials_that_become_good_are_taken_up(ctx: &Context) -> Result<(), Failure> {
    let Refused { owner, reader, service, wish, mut watch } = Refused::new(ctx).await?;
    ctx.hooks()?.mend_credentials(owner.id()).await?;
    ctx.note("the credentials are good");
    let stands = async || stands(&*reader, &service, &[&wish]).await;
    ctx.eventually(ctx.timing().recovery(), "what was announced stands", stands).await?;
    settled(ctx, &mut watch, ctx.timing().recovery(), &[&wish], "what stands").await?;
    knows(&watch, &[&wish]).promised("the watch knows it")?;
    let ready = async || owner.is_ready().map_err(|cause| cause.to_string());
    ctx.eventually(ctx.timing().prompt(), "the handle is ready", ready).await?;
    ensure!(owner.registrations().len() == 1, "expected: one registration; seen: {:?}", owner.registrations());
    Ok(())
}
