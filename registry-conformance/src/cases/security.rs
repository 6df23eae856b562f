//! X2 and X3: security, as far as it needs no server of its own.

use std::error::Error as _;
use std::time::Duration;

use registry_core::{Address, Error, Info, ServiceName};
use tracing::Level;

use crate::case;
use crate::case::Case;
use crate::cases::look::stands;
use crate::cases::steps::sees;
use crate::cases::views::{is_refused, nothing_new, watching};
use crate::context::{Context, Owner};
use crate::ensure;
use crate::failure::{Failure, Promised as _};
use crate::hooks::Hook;
use crate::log::Log;
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(X2: x2_no_secret_is_in_a_status_or_an_error),
    case!(X2: x2_no_secret_is_in_what_an_outage_says).with_hooks(&[Hook::Cut]).lasting(Timing::operation),
    case!(X2: x2_no_secret_is_in_what_a_refusal_says).with_hooks(&[Hook::BadCredentials]).lasting(Timing::operation),
    case!(X3: x3_no_service_name_reaches_another_service).lasting(many_calls),
    case!(X3: x3_no_service_name_reaches_another_namespace).lasting(many_calls),
    case!(X3: x3_no_tag_reaches_another_service).lasting(many_calls),
    case!(X3: x3_no_socket_path_reaches_another_service).where_offered(&["unix addresses"]),
];

/// How long some hundred calls take, one after the other.
fn many_calls(timing: &Timing) -> Duration {
    timing.allow(Duration::from_secs(10))
}

/// All that is shown, to be searched for secrets.
struct Shown {
    log: Log,
    text: String,
}

impl Shown {
    fn new() -> Self {
        Self { log: Log::of(Level::DEBUG), text: String::new() }
    }

    fn error<T>(&mut self, result: Result<T, Error>) {
        let Err(error) = result else { return };
        self.text += &format!("{error:?} {error}\n");
        let mut source = error.source();
        while let Some(cause) = source {
            self.text += &format!("{cause:?} {cause}\n");
            source = cause.source();
        }
    }

    fn status(&mut self, owner: &Owner) {
        let status = owner.status().borrow().clone();
        self.text += &format!("{status:?} {status}\n");
        self.text += &owner.registrations().iter().map(|status| format!("{status:?} {status}\n")).collect::<String>();
        self.error(
            owner
                .is_ready()
                .map_err(|cause| Error::new(registry_core::ErrorKind::Other, "ready", format!("{cause:?} {cause}"))),
        );
    }

    fn has_no_secret(self, ctx: &Context) -> Result<(), Failure> {
        let shown = self.text + &self.log.lines().join("\n");
        for (number, secret) in ctx.secrets().iter().enumerate() {
            let line = shown.lines().find(|line| line.contains(secret.as_str()));
            let place = line.map(|line| line.replace(secret.as_str(), "<the secret>"));
            ensure!(place.is_none(), "expected: secret {number} is shown nowhere; seen: {place:?}");
        }
        Ok(())
    }
}

async fn x2_no_secret_is_in_a_status_or_an_error(ctx: &Context) -> Result<(), Failure> {
    let mut shown = Shown::new();
    let owner = ctx.connect().await?;
    let info = ctx.info(&ctx.service());
    ctx.register(&owner, &info).await?;
    shown.status(&owner);
    let oversized = info.to_builder().tags([("k", "v".repeat(registry_core::MAX_ENTRY - 1))]).build();
    shown.error(owner.register(&oversized.map_err(Failure::bench)?).await);
    ctx.close(&owner).await?;
    shown.status(&owner);
    shown.error(owner.register(&info).await);
    shown.error(owner.resolve(info.service()).await);
    shown.has_no_secret(ctx)
}

async fn x2_no_secret_is_in_what_an_outage_says(ctx: &Context) -> Result<(), Failure> {
    let mut shown = Shown::new();
    let owner = ctx.connect().await?;
    let info = ctx.info(&ctx.service());
    ctx.register(&owner, &info).await?;
    let watch = owner.watch(info.service())?;
    ctx.hooks()?.cut(owner.id()).await?;
    shown.error(owner.resolve(info.service()).await);
    shown.error(owner.register(&info).await);
    shown.status(&owner);
    shown.text += &format!("{:?} {watch:?}\n", watch.latest());
    shown.error(owner.close().await);
    ctx.hooks()?.heal(owner.id()).await?;
    shown.has_no_secret(ctx)
}

async fn x2_no_secret_is_in_what_a_refusal_says(ctx: &Context) -> Result<(), Failure> {
    let mut shown = Shown::new();
    let service = ctx.service();
    match ctx.open(ctx.request_with_bad_credentials()).await {
        Ok(owner) => {
            shown.error(owner.register(&ctx.info(&service)).await);
            shown.error(owner.resolve(&service).await);
            shown.status(&owner);
        }
        Err(error) => shown.error(Err::<(), _>(error)),
    }
    shown.has_no_secret(ctx)
}

/// Names that would be read as another place by a store that decodes, trims or resolves them.
fn tricks(target: &str) -> Vec<String> {
    let dots = ["..", ".", "%2e%2e", "%2E", "%252e%252e", "\u{ff0e}\u{ff0e}"];
    let slashes = ["/", "%2F", "%2f", "%252F", "\\", "%5C", "\u{2215}", ":", "?", "#", ";"];
    let mut names: Vec<String> = Vec::new();
    for slash in slashes {
        names.push(format!("{target}{slash}"));
        names.push(format!("{slash}{target}"));
        names.extend(dots.iter().map(|dot| format!("{dot}{slash}{target}")));
        names.push(format!("x{slash}..{slash}{target}"));
        names.push(format!("{target}{slash}10.1.0.0:8888"));
    }
    for end in [" ", ".", "\u{a0}", "\0", "%00", "%20", "*", "\n", "\u{200b}"] {
        names.push(format!("{target}{end}"));
    }
    names.push(format!(" {target}"));
    names.push(target.replacen('e', "%65", 1));
    names
}

/// Tries to register under each of these names: it is refused as `service`, or stays apart from the target and is found under its own name.
async fn keeps_apart(
    ctx: &Context,
    intruder: &Owner,
    names: Vec<String>,
    untouched: impl AsyncFn() -> Result<(), String>,
) -> Result<(), Failure> {
    for trick in names {
        // A name that is refused everywhere reaches nothing.
        let Ok(service) = ServiceName::new(trick.as_str()) else { continue };
        let foreign = ctx.builder(&service).weight(66).build().map_err(Failure::bench)?;
        if is_refused("resolve", intruder.resolve(&service).await, &["service"])? {
            continue;
        }
        sees(ctx, &**intruder, &service, &[], &format!("{trick:?} reads no other service")).await?;
        if is_refused("register", ctx.register(intruder, &foreign).await, &["service"])? {
            continue;
        }
        untouched().await.promised(&format!("the target is untouched by {trick:?}"))?;
        sees(ctx, &**intruder, &service, &[&foreign], "the entry under the name that was given").await?;
        ctx.deregister(intruder, &foreign).await?;
        untouched().await.promised(&format!("the target is untouched by the withdrawal of {trick:?}"))?;
    }
    Ok(())
}

async fn x3_no_service_name_reaches_another_service(ctx: &Context) -> Result<(), Failure> {
    let (owner, intruder) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    sees(ctx, &*owner, &service, &[&info], "the target").await?;
    let mut watch = watching(ctx, &owner, &service, &[&info]).await?;
    keeps_apart(ctx, &intruder, tricks(service.as_str()), async || stands(&*owner, &service, &[&info]).await).await?;
    nothing_new(&mut watch, ctx.timing().look(), "other services are other services").await
}

async fn x3_no_service_name_reaches_another_namespace(ctx: &Context) -> Result<(), Failure> {
    let elsewhere = ctx.request_elsewhere();
    let namespace = elsewhere.namespace.clone();
    // An adapter without namespaces refuses another one: then there is nothing to reach.
    let Ok(owner) = ctx.open(elsewhere).await else { return Ok(()) };
    let intruder = ctx.connect().await?;
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    let suffix = namespace.strip_prefix(ctx.namespace()).unwrap_or_default();
    let mut names = Vec::new();
    for target in [format!("{namespace}/{service}"), format!("{suffix}/{service}")] {
        names.extend(tricks(&target));
        names.extend(tricks(&target.replace('/', "%2F")));
        names.extend(tricks(&target.replace('/', "\\")));
    }
    keeps_apart(ctx, &intruder, names, async || stands(&*owner, &service, &[&info]).await).await
}

async fn x3_no_tag_reaches_another_service(ctx: &Context) -> Result<(), Failure> {
    let (owner, intruder) = (ctx.connect().await?, ctx.connect().await?);
    let (service, other) = (ctx.service(), ctx.service());
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    sees(ctx, &*owner, &service, &[&info], "the target").await?;
    for trick in tricks(service.as_str()).iter().step_by(5) {
        for tags in [[("k", trick.as_str())], [(trick.as_str(), "v")]] {
            let carrier = ctx.builder(&other).tags(tags).build().map_err(Failure::bench)?;
            if is_refused("register", ctx.register(&intruder, &carrier).await, &["tags"])? {
                continue;
            }
            sees(ctx, &*owner, &other, &[&carrier], "the entry with its odd tag").await?;
            stands(&*owner, &service, &[&info]).await.promised("the other service is untouched")?;
            ctx.deregister(&intruder, &carrier).await?;
        }
    }
    stands(&*owner, &service, &[&info]).await.promised("the other service is untouched")
}

async fn x3_no_socket_path_reaches_another_service(ctx: &Context) -> Result<(), Failure> {
    let (owner, intruder) = (ctx.connect().await?, ctx.connect().await?);
    let (service, other) = (ctx.service(), ctx.service());
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    let sockets =
        [format!("/{service}"), format!("/{service}/10.1.0.0:8888"), format!("/%2e%2e/{service}/x"), "/ ".into()];
    for path in sockets {
        let address = Address::unix(&path).map_err(Failure::bench)?;
        let socket: Info = ctx.builder(&other).address(address).build().map_err(Failure::bench)?;
        if is_refused("register", ctx.register(&intruder, &socket).await, &["address"])? {
            continue;
        }
        sees(ctx, &*owner, &other, &[&socket], "the socket under its own service").await?;
        stands(&*owner, &service, &[&info]).await.promised("the other service is untouched")?;
        ctx.deregister(&intruder, &socket).await?;
        stands(&*owner, &other, &[]).await.promised("nothing, after it was deregistered")?;
    }
    Ok(())
}
