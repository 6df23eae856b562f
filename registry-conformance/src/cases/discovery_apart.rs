//! D3 and D4: broken entries hide nothing, and services are kept apart.

use std::cell::Cell;

use registry_core::{ErrorKind, Info, ServiceName, Snapshot};
use tracing::Level;

use crate::case;
use crate::case::Case;
use crate::cases::look::{holds, stands};
use crate::cases::steps::sees;
use crate::cases::views::{is_refused, nothing_new, settled, watching};
use crate::context::{Context, Owner, addresses};
use crate::ensure;
use crate::failure::{Failure, Promised as _};
use crate::hooks::Hook;
use crate::log::Log;

pub(super) const CASES: &[Case] = &[
    case!(D3: d3_a_malformed_entry_hides_nothing).with_hooks(&[Hook::RawBytes]),
    case!(D3, V2: d3_garbage_hides_nothing_from_resolve).with_hooks(&[Hook::RawBytes]),
    case!(D3, V2: d3_garbage_hides_nothing_from_a_watch).with_hooks(&[Hook::RawBytes]),
    case!(D3, V2: d3_a_malformed_entry_is_logged_once).with_hooks(&[Hook::RawBytes]),
    case!(D3: d3_an_entry_that_is_overwritten_with_garbage_is_gone_and_may_come_back)
        .with_hooks(&[Hook::RawBytes, Hook::RawRemove]),
    case!(D3: d3_an_entry_that_vanishes_during_a_read_is_absent_and_no_error),
    case!(D4: d4_names_that_begin_alike_are_apart_for_resolve),
    case!(D4: d4_names_that_begin_alike_are_apart_for_a_watch),
    case!(D4: d4_the_same_name_in_another_namespace_is_apart),
];

/// Bytes that are a record in no format. Some are JSON, which an adapter may understand in its own way.
const GARBAGE: &[&[u8]] = &[
    b"",
    b" ",
    b"\0",
    b"\xff\xfe\xfd",
    b"{",
    b"{}",
    b"[]",
    b"null",
    b"true",
    b"1e999",
    b"\"text\"",
    b"{\"network\":\"tcp\",\"address\":\"10.9.0.1:9\",\"weight\":10,\"ta",
    b"{\"network\":\"tcp\",\"address\":\"no-port\",\"weight\":10,\"tags\":null}",
    b"{\"network\":\"tcp\",\"address\":\"0.0.0.0:0\",\"weight\":10,\"tags\":null}",
    b"{\"network\":7,\"address\":[],\"weight\":\"ten\",\"tags\":{\"a\":1}}",
    b"{\"Weight\":\"ten\",\"Tags\":[1,2]}",
    b"{\"Weight\":99999999999999999999999,\"Tags\":{}}",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

/// The address of a raw entry's name; registrations of the suite stand at `10.1`.
fn foreign(number: usize) -> String {
    format!("10.9.{}.{}:9", number / 256, number % 256)
}

async fn pollute(ctx: &Context, service: &ServiceName) -> Result<(), Failure> {
    for (number, bytes) in GARBAGE.iter().enumerate() {
        ctx.hooks()?.raw_bytes(service, &foreign(number), bytes).await?;
    }
    let long = vec![b'x'; 100_000];
    ctx.hooks()?.raw_bytes(service, &foreign(GARBAGE.len()), &long).await?;
    Ok(())
}

/// The good entries are there as they were registered; anything else is what an adapter made of a raw entry.
fn shows(snapshot: &Snapshot, good: &[&Info]) -> Result<(), String> {
    let ours = |address: &str| good.iter().any(|info| info.address().as_str() == address);
    let wanted = snapshot.instances().iter().filter(|instance| ours(instance.address().as_str())).cloned();
    holds(&Snapshot::new(snapshot.service().clone(), wanted), good)?;
    let mut strange = snapshot.instances().iter().map(|instance| instance.address().as_str());
    match strange.find(|address| !ours(address) && !address.starts_with("10.9.")) {
        Some(address) => Err(format!("{address}, which nobody wrote")),
        None => Ok(()),
    }
}

async fn d3_a_malformed_entry_hides_nothing(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    ctx.hooks()?.raw_bytes(&service, &foreign(0), b"{ not a record").await?;
    ctx.hooks()?.raw_bytes(&service, "no-address", b"\xff not a record either").await?;
    sees(ctx, &*reader, &service, &[&info], "the good entry, and only it").await
}

async fn d3_garbage_hides_nothing_from_resolve(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let (before, after) = (ctx.info(&service), ctx.info(&service));
    ctx.register(&owner, &before).await?;
    pollute(ctx, &service).await?;
    ctx.register(&owner, &after).await?;
    let look = async || match reader.resolve(&service).await {
        Ok(snapshot) => shows(&snapshot, &[&before, &after]),
        Err(error) => Err(error.to_string()),
    };
    ctx.eventually(ctx.timing().prompt(), "the good entries", look).await
}

async fn d3_garbage_hides_nothing_from_a_watch(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let (before, after) = (ctx.info(&service), ctx.info(&service));
    ctx.register(&owner, &before).await?;
    let early = watching(ctx, &reader, &service, &[&before]).await?;
    let what = "the good entry stays";
    ctx.during(what, pollute(ctx, &service), async || shows(&early.latest(), &[&before])).await??;
    ctx.register(&owner, &after).await?;
    let late = ctx.connect().await?.watch(&service)?;
    drop(late);
    let other = ctx.connect().await?;
    let late = other.watch(&service)?;
    for (watch, which) in [(early, "a watch that was there before"), (late, "a watch that came after")] {
        ctx.eventually(ctx.timing().prompt(), which, async || shows(&watch.latest(), &[&before, &after])).await?;
        ensure!(watch.latest().stale().is_none(), "expected: {which} is fresh; seen: {:?}", watch.latest().stale());
    }
    Ok(())
}

async fn d3_a_malformed_entry_is_logged_once(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    let mut watch = watching(ctx, &reader, &service, &[&info]).await?;
    let log = Log::of(Level::INFO);
    for round in 1..=50 {
        for number in 0..3 {
            ctx.hooks()?.raw_bytes(&service, &foreign(number), b"{ not a record").await?;
        }
        let last = info.to_builder().weight(round).build().map_err(Failure::bench)?;
        ctx.register(&owner, &last).await?;
        settled(ctx, &mut watch, ctx.timing().prompt(), &[&last], "the good entry's new weight").await?;
        stands(&*reader, &service, &[&last]).await.promised("the good entry")?;
    }
    let lines = log.lines();
    ensure!(
        lines.len() <= 3,
        "expected: one line for each of 3 malformed entries; seen: {} lines {lines:#?}",
        lines.len()
    );
    Ok(())
}

async fn d3_an_entry_that_is_overwritten_with_garbage_is_gone_and_may_come_back(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let steady = ctx.info(&service);
    ctx.register(&owner, &steady).await?;
    let mut watch = watching(ctx, &reader, &service, &[&steady]).await?;
    let broken = ctx.builder(&service).address(foreign(0).as_str()).build().map_err(Failure::bench)?;
    ctx.register(&owner, &broken).await?;
    settled(ctx, &mut watch, ctx.timing().prompt(), &[&steady, &broken], "both entries").await?;
    ctx.deregister(&owner, &broken).await?;
    ctx.hooks()?.raw_bytes(&service, &foreign(0), b"{ not a record").await?;
    settled(ctx, &mut watch, ctx.timing().prompt(), &[&steady], "the good entry alone").await?;
    ctx.hooks()?.raw_remove(&broken).await?;
    ctx.register(&owner, &broken).await?;
    settled(ctx, &mut watch, ctx.timing().prompt(), &[&steady, &broken], "both entries again").await
}

async fn d3_an_entry_that_vanishes_during_a_read_is_absent_and_no_error(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let (steady, fleeting) = (ctx.info(&service), ctx.info(&service));
    ctx.register(&owner, &steady).await?;
    sees(ctx, &*reader, &service, &[&steady], "the steady entry").await?;
    let done = Cell::new(false);
    let flapping = async {
        let mut result = Ok(());
        for _ in 0..30 {
            result = result.and(ctx.register(&owner, &fleeting).await).and(ctx.deregister(&owner, &fleeting).await);
        }
        done.set(true);
        result
    };
    let reading = async {
        while !done.get() {
            let snapshot = reader.resolve(&service).await.promised("an answer, while an entry comes and goes")?;
            let there = snapshot.get(steady.address().as_str()).is_some();
            ensure!(there, "expected: the steady entry; seen: {}", addresses(&snapshot));
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    let (flapped, read) = tokio::join!(flapping, reading);
    read.and(flapped.map_err(Failure::from))
}

/// Registers one instance under each of several names that resemble each other. A name that the store cannot keep apart is refused.
async fn neighbours(ctx: &Context, owner: &Owner) -> Result<Vec<Info>, Failure> {
    let name = ctx.service();
    let shorter = &name.as_str()[..name.as_str().len() - 1];
    let names = [
        name.to_string(),
        format!("{name}b"),
        format!("{name}-b"),
        format!("{name}.b"),
        format!("{name}_b"),
        format!("{name} b"),
        format!("b{name}"),
        name.as_str().to_uppercase(),
        shorter.to_owned(),
        format!("{name}{name}"),
    ];
    let mut standing = Vec::new();
    for name in names {
        let service = ServiceName::new(name).map_err(Failure::bench)?;
        let info = ctx.info(&service);
        if !is_refused("register", ctx.register(owner, &info).await, &["service"])? {
            standing.push(info);
        }
    }
    ensure!(standing.len() > 5, "expected: plain names are registered; seen: only {}", standing.len());
    Ok(standing)
}

async fn d4_names_that_begin_alike_are_apart_for_resolve(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let mut standing = neighbours(ctx, &owner).await?;
    while let Some(gone) = standing.pop() {
        sees(ctx, &*reader, gone.service(), &[&gone], "the one instance of this service").await?;
        ctx.deregister(&owner, &gone).await?;
        sees(ctx, &*reader, gone.service(), &[], "no instance of this service any more").await?;
        for info in &standing {
            sees(ctx, &*reader, info.service(), &[info], "the one instance of the other service").await?;
        }
    }
    Ok(())
}

async fn d4_names_that_begin_alike_are_apart_for_a_watch(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let standing = neighbours(ctx, &owner).await?;
    let mut watches = Vec::new();
    for info in &standing {
        watches.push(watching(ctx, &reader, info.service(), &[info]).await?);
    }
    let changed = standing[0].to_builder().weight(77).build().map_err(Failure::bench)?;
    ctx.register(&owner, &changed).await?;
    let mut watches = watches.iter_mut();
    let first = watches.next().ok_or_else(|| Failure::bench("there is no service"))?;
    settled(ctx, first, ctx.timing().prompt(), &[&changed], "the change of this service").await?;
    for (watch, info) in watches.zip(&standing[1..]) {
        nothing_new(watch, ctx.timing().look(), "only another service changed").await?;
        holds(&watch.latest(), &[info]).promised("the one instance of the other service")?;
    }
    Ok(())
}

async fn d4_the_same_name_in_another_namespace_is_apart(ctx: &Context) -> Result<(), Failure> {
    let here = ctx.connect().await?;
    let there = match ctx.open(ctx.request_elsewhere()).await {
        Ok(there) => there,
        // What cannot be kept apart is refused.
        Err(error) if error.kind() == ErrorKind::InvalidInput => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let service = ctx.service();
    let ours = ctx.info(&service);
    let theirs = ours.to_builder().weight(77).build().map_err(Failure::bench)?;
    ctx.register(&here, &ours).await?;
    sees(ctx, &*there, &service, &[], "nothing of the other namespace").await?;
    let mut watch = watching(ctx, &here, &service, &[&ours]).await?;
    ctx.register(&there, &theirs).await?;
    sees(ctx, &*there, &service, &[&theirs], "the entry of that namespace").await?;
    sees(ctx, &*here, &service, &[&ours], "the entry of this namespace").await?;
    nothing_new(&mut watch, ctx.timing().look(), "only the other namespace changed").await?;
    ctx.deregister(&there, &theirs).await?;
    sees(ctx, &*here, &service, &[&ours], "the entry of this namespace, still").await?;
    nothing_new(&mut watch, ctx.timing().look(), "only the other namespace changed").await
}
