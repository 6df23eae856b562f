//! V1 and V2: bad input of callers, and hostile bytes in the store.

use std::time::{Duration, UNIX_EPOCH};

use fastrand::Rng;
use registry_core::{Error, ErrorKind, Info, InfoBuilder, InvalidField, MAX_ENTRY, MAX_SERVICE_NAME, ServiceName};
use tracing::Level;

use crate::case;
use crate::case::Case;
use crate::cases::look::stands;
use crate::cases::steps::{oversized, sees};
use crate::cases::views::{in_time, is_refused, nothing_new, watching};
use crate::context::{Context, Owner};
use crate::ensure;
use crate::failure::{Failure, Promised as _};
use crate::hooks::Hook;
use crate::log::Log;
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(V1: v1_what_no_store_carries_is_refused_by_its_field),
    case!(V1: v1_an_oversized_entry_is_refused_by_its_field_and_the_earlier_registration_stands),
    case!(V1, R4: v1_a_refused_update_leaves_the_identity_as_it_was).lasting(Timing::restored_by_audit),
    case!(V1, R10: v1_announce_refuses_what_register_refuses),
    case!(V1: v1_a_refusal_sends_nothing).with_hooks(&[Hook::CountRequests]),
    case!(V1: v1_a_refusal_needs_no_store).with_hooks(&[Hook::Cut]),
    case!(V1: v1_no_name_is_looked_up),
    case!(V1, X3: v1_a_service_name_is_refused_by_all_calls_or_by_none),
    case!(V2, D3: v2_mutated_records_hide_nothing_and_flood_no_log).with_hooks(&[Hook::RawBytes]),
];

async fn v1_what_no_store_carries_is_refused_by_its_field(ctx: &Context) -> Result<(), Failure> {
    let service = ctx.service();
    let valid = || ctx.builder(&service);
    let mut builders: Vec<(&str, bool, InfoBuilder)> = vec![
        ("service", false, valid().service("")),
        ("service", true, valid().service("x".repeat(MAX_SERVICE_NAME + 1))),
        ("address", false, Info::builder(service.as_str())),
        ("weight", true, valid().weight(0)),
        ("start_time", true, valid().start_time(UNIX_EPOCH - Duration::from_millis(1))),
        ("warm_up", true, valid().warm_up(Duration::MAX)),
        ("tags", true, valid().tag("k", "v".repeat(MAX_ENTRY))),
        ("payload_codec", true, valid().payload_codec("v".repeat(MAX_ENTRY + 1))),
    ];
    for name in ["a/b", "/", ".", "..", "a\0b", "a\nb", "\u{7f}"] {
        builders.push(("service", false, valid().service(name)));
    }
    for address in
        ["", "host", "host:", ":80", "host:0", "host:65536", "host:+1", "0.0.0.0:80", "[::]:80", "a b:80", "a/b:80"]
    {
        builders.push(("address", false, valid().address(address)));
    }
    for (field, has_limit, builder) in builders {
        let shown = format!("{builder:.60?}");
        let refused = builder.build().err().ok_or_else(|| Failure::broken(format!("{shown} is not refused")))?;
        let named = (refused.field(), refused.offence().is_empty(), refused.limit().is_some() || !has_limit);
        ensure!(named == (field, false, true), "expected: field {field}, offence and limit; seen: {refused:?}");
    }
    Ok(())
}

/// The error is invalid input that names this field, the offence and the limit.
fn names<T>(field: &str, result: Result<T, Error>) -> Result<(), Failure> {
    let error = result.err().ok_or_else(|| Failure::broken(format!("expected: {field} is refused; seen: ok")))?;
    ensure!(error.kind() == ErrorKind::InvalidInput, "expected: invalid input; seen: {error:?}");
    let seen = error.invalid_field().map(InvalidField::field);
    ensure!(seen == Some(field), "expected: invalid input that names the field `{field}`; seen: {seen:?} in {error}");
    let complete = error.invalid_field().is_some_and(|field| !field.offence().is_empty() && field.limit().is_some());
    ensure!(complete, "expected: the offence and the limit are named; seen: {error}");
    Ok(())
}

async fn v1_an_oversized_entry_is_refused_by_its_field_and_the_earlier_registration_stands(
    ctx: &Context,
) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let standing = ctx.info(&service);
    ctx.register(&owner, &standing).await?;
    let mut watch = watching(ctx, &reader, &service, &[&standing]).await?;
    let other = ctx.info(&service);
    names("tags", ctx.register(&owner, &oversized(&other)?).await)?;
    let codec = other.to_builder().payload_codec("v".repeat(MAX_ENTRY)).build().map_err(Failure::bench)?;
    names("payload_codec", ctx.register(&owner, &codec).await)?;
    ensure!(owner.registration(&other).is_none(), "expected: no registration after a refusal; seen: one");
    stands(&*reader, &service, &[&standing]).await.promised("the earlier registration stands as it was")?;
    nothing_new(&mut watch, ctx.timing().look(), "nothing was written").await
}

async fn v1_a_refused_update_leaves_the_identity_as_it_was(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.builder(&service).weight(7).tag("zone", "a").build().map_err(Failure::bench)?;
    ctx.register(&owner, &info).await?;
    sees(ctx, &*reader, &service, &[&info], "the registration").await?;
    names("tags", ctx.register(&owner, &oversized(&info)?).await)?;
    owner.is_ready().promised("ready, as before the refusal")?;
    let what = "the registration as it was";
    let time = ctx.timing().restored_by_audit();
    ctx.throughout(time, what, async || stands(&*reader, &service, &[&info]).await).await
}

async fn v1_announce_refuses_what_register_refuses(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    names("tags", owner.announce(&oversized(&info)?))?;
    ensure!(owner.registration(&info).is_none(), "expected: no registration after a refusal; seen: one");
    ensure!(owner.registrations().is_empty(), "expected: nothing is wanted; seen: {:?}", owner.registrations());
    stands(&*reader, &service, &[]).await.promised("nothing is written")
}

async fn v1_a_refusal_sends_nothing(ctx: &Context) -> Result<(), Failure> {
    let owner = ctx.connect().await?;
    let bad = oversized(&ctx.info(&ctx.service()))?;
    let mut fewest = u64::MAX;
    // A keep-alive may fall into one of the tries.
    for _ in 0..5 {
        let before = ctx.hooks()?.requests(owner.id()).await?;
        names("tags", ctx.register(&owner, &bad).await)?;
        names("tags", owner.announce(&bad))?;
        fewest = fewest.min(ctx.hooks()?.requests(owner.id()).await? - before);
    }
    ensure!(fewest == 0, "expected: a refusal sends nothing; seen: {fewest} requests");
    Ok(())
}

async fn v1_a_refusal_needs_no_store(ctx: &Context) -> Result<(), Failure> {
    let owner = ctx.connect().await?;
    let bad = oversized(&ctx.info(&ctx.service()))?;
    ctx.hooks()?.cut(owner.id()).await?;
    let (limit, what) = (ctx.timing().operation() / 4, "a refusal at once, with the store away");
    let refused = ctx.within(limit, what, ctx.register(&owner, &bad)).await?;
    ctx.hooks()?.heal(owner.id()).await?;
    names("tags", refused)
}

async fn v1_no_name_is_looked_up(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    // RFC 2606 keeps `.invalid` from ever being a name.
    let info = ctx.builder(&service).address("nobody.invalid:80").build().map_err(Failure::bench)?;
    let registered =
        ctx.within(ctx.timing().prompt(), "an answer without a look-up", ctx.register(&owner, &info)).await?;
    registered.promised("a host name that resolves to nothing is registered")?;
    sees(ctx, &*reader, &service, &[&info], "the host name as it was registered").await
}

async fn v1_a_service_name_is_refused_by_all_calls_or_by_none(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let base = ctx.service();
    let long = format!("{base}-{}", "x".repeat(MAX_SERVICE_NAME - base.as_str().len() - 1));
    let odd =
        ["\u{540d}\u{524d}", "a b", " padded ", "%2e%2e", "a:b", "a\\b", "*", "a?b#c", "\u{2028}", "Ünï", "a\u{300}"];
    for name in odd.iter().map(|odd| format!("{base}{odd}")).chain([long]) {
        let service = ServiceName::new(name).map_err(Failure::bench)?;
        let info = ctx.info(&service);
        if is_refused("register", ctx.register(&owner, &info).await, &["service"])? {
            let refused = is_refused("resolve", reader.resolve(&service).await, &["service"])?
                && is_refused("watch", reader.watch(&service), &["service"])?
                && is_refused("announce", owner.announce(&info), &["service"])?;
            ensure!(refused, "expected: {service:?} is refused by all calls, as by register; seen: it is not");
            continue;
        }
        sees(ctx, &*reader, &service, &[&info], "the instance under its odd name").await?;
        let watch = watching(ctx, &reader, &service, &[&info]).await?;
        let seen = watch.service();
        ensure!(seen == service, "expected: a watch of {service:?}; seen: of {seen:?}");
        ctx.deregister(&owner, &info).await?;
        sees(ctx, &*reader, &service, &[], "nothing, after it was deregistered").await?;
    }
    Ok(())
}

/// Records of several stores' formats, to be mutated.
const RECORDS: [&str; 3] = [
    r#"{"network":"tcp","address":"10.9.0.1:9","weight":10,"tags":{"group":"blue","idc":"hd1"},"start_time":17,"warm_up":3}"#,
    r#"{"Weight":10,"Tags":{"group":"blue","idc":"hd1"},"PayloadCodec":"thrift","StartTime":17,"WarmUp":3,"Network":"udp"}"#,
    r#"{"ID":"demo:10.9.0.1:9","Tags":["group:blue"],"Port":9,"Address":"10.9.0.1","Weights":{"Passing":10},"Meta":{}}"#,
];

/// Some bytes changed, removed, doubled or cut off.
fn mutated(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = RECORDS[rng.usize(..RECORDS.len())].as_bytes().to_vec();
    for _ in 0..rng.usize(1..6) {
        let at = rng.usize(..bytes.len().max(1));
        match rng.u8(..6) {
            _ if bytes.is_empty() => break,
            0 => bytes[at] ^= 1 << rng.u8(..8),
            1 => bytes[at] = *b"\"\\{}[],:-09e\0\xff".get(rng.usize(..14)).unwrap_or(&b'x'),
            2 => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            4 => bytes.insert(at, bytes[at]),
            _ => bytes.splice(at..at, b"9".repeat(rng.usize(1..40))).for_each(drop),
        }
    }
    bytes
}

async fn v2_mutated_records_hide_nothing_and_flood_no_log(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let good = ctx.info(&service);
    ctx.register(&owner, &good).await?;
    let watch = watching(ctx, &reader, &service, &[&good]).await?;
    let (log, mut rng) = (Log::of(Level::INFO), Rng::with_seed(2));
    for number in 0..200 {
        let (name, bytes) = (format!("10.9.{number}.1:9"), mutated(&mut rng));
        ctx.hooks()?.raw_bytes(&service, &name, &bytes).await?;
        if number % 20 == 0 {
            finds(ctx, &reader, &good).await?;
        }
    }
    finds(ctx, &reader, &good).await?;
    let there = watch.latest().get(good.address().as_str()).is_some();
    ensure!(there, "expected: the watch still has the good entry; seen: {:?}", *watch.latest());
    let lines = log.lines();
    ensure!(lines.len() <= 200, "expected: at most one line for each of 200 entries; seen: {}", lines.len());
    Ok(())
}

/// The good entry is read in time, as it was registered.
async fn finds(ctx: &Context, reader: &Owner, good: &Info) -> Result<(), Failure> {
    let snapshot = in_time(ctx, "resolve", reader.resolve(good.service())).await?;
    let snapshot = snapshot.promised("an answer, whatever stands beside the good entry")?;
    let found = snapshot.get(good.address().as_str());
    let same = found.is_some_and(|found| **found == *good);
    ensure!(same, "expected: the good entry as it was registered; seen: {found:?}");
    Ok(())
}
