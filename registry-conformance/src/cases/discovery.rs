//! D1 and D2: what `resolve` says, and that every field survives.

use std::time::{Duration, UNIX_EPOCH};

use registry_core::{Address, Info, InfoBuilder};

use crate::case;
use crate::case::Case;
use crate::cases::look::{holds, stands};
use crate::cases::steps::{hurried, sees};
use crate::cases::views::{in_a_hurry, is_refused, says_away, watching};
use crate::context::{Context, Owner};
use crate::ensure;
use crate::failure::{Failure, Promised as _};
use crate::hooks::Hook;
use crate::timing::Timing;

pub(super) const CASES: &[Case] = &[
    case!(D1: d1_an_unknown_service_is_empty),
    case!(D1: d1_each_resolve_shows_the_store_of_that_moment),
    case!(D1: d1_each_resolve_asks_the_store).with_hooks(&[Hook::CountRequests]),
    case!(D1, V3: d1_a_store_that_is_cut_off_is_an_error_and_no_empty_list)
        .with_hooks(&[Hook::Cut])
        .lasting(two_timeouts),
    case!(D1, V3: d1_a_killed_store_is_an_error_and_no_empty_list).with_hooks(&[Hook::Kill]).lasting(two_timeouts),
    case!(D1, V3: d1_a_frozen_store_is_an_error_and_no_empty_list).with_hooks(&[Hook::Freeze]).lasting(two_timeouts),
    case!(D2: d2_every_field_survives_the_round_trip),
    case!(D2: d2_a_watch_carries_every_field),
    case!(D2: d2_addresses_of_ipv4_ipv6_and_host_names_survive),
    case!(D2: d2_an_ipv6_address_has_its_brackets),
    case!(D2: d2_a_unix_socket_survives).where_offered(&["unix addresses"]),
    case!(D2: d2_odd_tags_survive_or_are_refused),
    case!(D2: d2_many_and_long_tags_survive_or_are_refused),
    case!(D2: d2_weights_up_to_65535_survive_and_larger_ones_are_not_changed),
    case!(D2: d2_times_at_their_limits_survive_or_are_refused),
    case!(D2: d2_an_odd_payload_codec_survives_or_is_refused),
    case!(D2: d2_another_network_survives_or_is_refused),
];

fn two_timeouts(timing: &Timing) -> Duration {
    timing.operation() * 2 + timing.recovery()
}

async fn d1_an_unknown_service_is_empty(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    stands(&*reader, &ctx.service(), &[]).await.promised("an unknown service is ok, with no instances")?;
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    ctx.deregister(&owner, &info).await?;
    sees(ctx, &*reader, &service, &[], "a service that nobody is left of is ok, with no instances").await
}

async fn d1_each_resolve_shows_the_store_of_that_moment(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    for weight in 1..=10 {
        let heavier = info.to_builder().weight(weight).build().map_err(Failure::bench)?;
        ctx.register(&owner, &heavier).await?;
        sees(ctx, &*reader, &service, &[&heavier], "the weight of this moment").await?;
        ctx.deregister(&owner, &heavier).await?;
        sees(ctx, &*reader, &service, &[], "nothing, at this moment").await?;
    }
    Ok(())
}

async fn d1_each_resolve_asks_the_store(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    // A watch, which knows the answer already, is no excuse.
    let _watch = watching(ctx, &reader, &service, &[&info]).await?;
    for round in 1..=5 {
        let before = ctx.hooks()?.requests(reader.id()).await?;
        reader.resolve(&service).await.promised("an answer")?;
        let sent = ctx.hooks()?.requests(reader.id()).await? - before;
        ensure!(sent > 0, "expected: resolve number {round} asks the store; seen: it sent nothing");
    }
    Ok(())
}

async fn d1_a_store_that_is_cut_off_is_an_error_and_no_empty_list(ctx: &Context) -> Result<(), Failure> {
    let reader = hurried(ctx, &[]).await?;
    let (hooks, id) = (ctx.hooks()?, reader.id());
    resolve_is_an_error_while(ctx, &reader, async || hooks.cut(id).await, async || hooks.heal(id).await).await
}

async fn d1_a_killed_store_is_an_error_and_no_empty_list(ctx: &Context) -> Result<(), Failure> {
    let reader = hurried(ctx, &[]).await?;
    let hooks = ctx.hooks()?;
    resolve_is_an_error_while(ctx, &reader, async || hooks.kill().await, async || hooks.restart().await).await
}

async fn d1_a_frozen_store_is_an_error_and_no_empty_list(ctx: &Context) -> Result<(), Failure> {
    let reader = hurried(ctx, &[]).await?;
    let hooks = ctx.hooks()?;
    resolve_is_an_error_while(ctx, &reader, async || hooks.freeze().await, async || hooks.thaw().await).await
}

async fn resolve_is_an_error_while(
    ctx: &Context,
    reader: &Owner,
    begin: impl AsyncFnOnce() -> Result<(), crate::HookError>,
    end: impl AsyncFnOnce() -> Result<(), crate::HookError>,
) -> Result<(), Failure> {
    let owner = ctx.connect().await?;
    let (service, nobody) = (ctx.service(), ctx.service());
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    let _watch = watching(ctx, reader, &service, &[&info]).await?;
    begin().await?;
    ctx.note("the fault begins");
    for name in [&service, &nobody] {
        let answer = in_a_hurry(ctx, "resolve", reader.resolve(name)).await?;
        says_away("resolve while the store is away", answer)?;
    }
    end().await?;
    ctx.note("the fault is over");
    let what = "the store's answer, after the fault";
    ctx.eventually(ctx.timing().recovery(), what, async || stands(&**reader, &service, &[&info]).await).await
}

/// An instance of which no field has its default.
fn complete(ctx: &Context, service: &registry_core::ServiceName) -> InfoBuilder {
    ctx.builder(service)
        .payload_codec("thrift")
        .weight(21)
        .start_time(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123))
        .warm_up(Duration::from_millis(90_500))
        .tag("zone", "a")
        .tag("größe", "\u{2603} \"quoted\" \\ <&>")
}

async fn d2_every_field_survives_the_round_trip(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = complete(ctx, &service).build().map_err(Failure::bench)?;
    ctx.register(&owner, &info).await?;
    sees(ctx, &*reader, &service, &[&info], "what was registered, field by field").await
}

async fn d2_a_watch_carries_every_field(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let mut watch = watching(ctx, &reader, &service, &[]).await?;
    let info = complete(ctx, &service).build().map_err(Failure::bench)?;
    ctx.register(&owner, &info).await?;
    let change = ctx.next(&mut watch, ctx.timing().prompt(), "the new instance").await?;
    holds(&change.snapshot, &[&info]).promised("what was registered, field by field")
}

async fn d2_addresses_of_ipv4_ipv6_and_host_names_survive(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let texts = ["10.1.2.3:1", "255.1.2.3:65535", "[2001:db8::5]:8888", "[::1]:80", "host.example:80", "pod-1_a:8080"];
    let mut standing = Vec::new();
    for text in texts {
        let info = ctx.builder(&service).address(text).build().map_err(Failure::bench)?;
        ctx.register(&owner, &info).await.promised("an address that every store carries")?;
        standing.push(info);
        let wanted: Vec<&Info> = standing.iter().collect();
        sees(ctx, &*reader, &service, &wanted, "each address that was registered").await?;
    }
    for info in &standing {
        ctx.deregister(&owner, info).await?;
    }
    sees(ctx, &*reader, &service, &[], "nothing, after each was deregistered").await
}

async fn d2_an_ipv6_address_has_its_brackets(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.builder(&service).address("2001:DB8::5:8888").build().map_err(Failure::bench)?;
    ctx.register(&owner, &info).await?;
    sees(ctx, &*reader, &service, &[&info], "the instance").await?;
    let snapshot = reader.resolve(&service).await?;
    let seen: Vec<&str> = snapshot.instances().iter().map(|instance| instance.address().as_str()).collect();
    ensure!(seen == ["[2001:db8::5]:8888"], "expected: [2001:db8::5]:8888, which can be dialled; seen: {seen:?}");
    Ok(())
}

async fn d2_a_unix_socket_survives(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let socket = Address::unix("/run/demo/a b.sock").map_err(Failure::bench)?;
    let (info, beside) = (ctx.builder(&service).address(socket).build().map_err(Failure::bench)?, ctx.info(&service));
    ctx.register(&owner, &beside).await?;
    ctx.register(&owner, &info).await.promised("a unix socket is registered")?;
    sees(ctx, &*reader, &service, &[&info, &beside], "the socket and the other address").await?;
    ctx.deregister(&owner, &info).await?;
    sees(ctx, &*reader, &service, &[&beside], "the other address alone").await
}

/// Registers, and either finds exactly that, or finds nothing after a refusal of one of these fields.
async fn survives_or_is_refused(
    ctx: &Context,
    (owner, reader): (&Owner, &Owner),
    info: &Info,
    fields: &[&str],
) -> Result<(), Failure> {
    if is_refused("register", ctx.register(owner, info).await, fields)? {
        return sees(ctx, &**reader, info.service(), &[], "nothing, after a refusal").await;
    }
    sees(ctx, &**reader, info.service(), &[info], "what was registered, field by field").await?;
    ctx.deregister(owner, info).await?;
    sees(ctx, &**reader, info.service(), &[], "nothing, after it was deregistered").await
}

async fn d2_odd_tags_survive_or_are_refused(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let odd = [
        "",
        " ",
        " padded ",
        "größe \u{540d}\u{524d} \u{1f980}",
        "e\u{301} is not \u{e9}",
        "\"quoted\" 'single' `back`",
        "back\\slash \\u0041 \\n",
        "line\nbreak\r\ttab",
        "\u{1}\u{1f}\u{7f}\u{80}",
        "nul\u{0}nul",
        "<script>&amp;</script>",
        "\u{2028}\u{2029}\u{feff}\u{200b}",
        "a:b:c",
        "a=b,c;d|e",
        "a/b/../c",
        "%2F%00%zz",
        "{\"json\":[1]}",
        "null",
    ];
    for text in odd {
        let service = ctx.service();
        let value = ctx.builder(&service).tag("key", text).build().map_err(Failure::bench)?;
        survives_or_is_refused(ctx, (&owner, &reader), &value, &["tags"]).await?;
        let key = ctx.builder(&service).tag(text, "value").tag("other", "").build().map_err(Failure::bench)?;
        survives_or_is_refused(ctx, (&owner, &reader), &key, &["tags"]).await?;
    }
    Ok(())
}

async fn d2_many_and_long_tags_survive_or_are_refused(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let many = (0..200).map(|number| (format!("key-{number}"), number.to_string()));
    let many = ctx.builder(&service).tags(many).build().map_err(Failure::bench)?;
    survives_or_is_refused(ctx, (&owner, &reader), &many, &["tags"]).await?;
    for length in [255, 4_096, 30_000] {
        let long = ctx.builder(&service).tag("long", "\u{e9}".repeat(length)).build().map_err(Failure::bench)?;
        survives_or_is_refused(ctx, (&owner, &reader), &long, &["tags"]).await?;
    }
    Ok(())
}

async fn d2_weights_up_to_65535_survive_and_larger_ones_are_not_changed(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    for weight in [1, 2, 10, 255, 256, 65_535] {
        let info = ctx.builder(&service).weight(weight).build().map_err(Failure::bench)?;
        ctx.register(&owner, &info).await.promised("a weight that every store carries")?;
        sees(ctx, &*reader, &service, &[&info], "the weight that was registered").await?;
        ctx.deregister(&owner, &info).await?;
    }
    for weight in [65_536, 1_000_000, i32::MAX as u32 + 1, u32::MAX] {
        let info = ctx.builder(&service).weight(weight).build().map_err(Failure::bench)?;
        survives_or_is_refused(ctx, (&owner, &reader), &info, &["weight"]).await?;
    }
    Ok(())
}

async fn d2_times_at_their_limits_survive_or_are_refused(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    const LAST: u64 = (1 << 53) - 1;
    for (start, warm_up) in [(0, 0), (0, 1), (1, LAST), (1_700_000_000_001, 999), (LAST, 0)] {
        let builder = ctx.builder(&service).start_time(UNIX_EPOCH + Duration::from_millis(start));
        let info = builder.warm_up(Duration::from_millis(warm_up)).build().map_err(Failure::bench)?;
        survives_or_is_refused(ctx, (&owner, &reader), &info, &["start_time", "warm_up"]).await?;
    }
    let without_start = ctx.builder(&service).warm_up(Duration::from_secs(30)).build().map_err(Failure::bench)?;
    survives_or_is_refused(ctx, (&owner, &reader), &without_start, &["warm_up"]).await
}

async fn d2_an_odd_payload_codec_survives_or_is_refused(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    for codec in ["thrift", "Protobuf v3", " ", "\u{540d}\"<&>\u{2028}", "a\nb", "x/../y"] {
        let info = ctx.builder(&service).payload_codec(codec).build().map_err(Failure::bench)?;
        survives_or_is_refused(ctx, (&owner, &reader), &info, &["payload_codec"]).await?;
    }
    Ok(())
}

async fn d2_another_network_survives_or_is_refused(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    for network in ["tcp4", "tcp6", "udp", "quic"] {
        let address = Address::new(network, "[2001:db8::7]:8888").map_err(Failure::bench)?;
        let info = ctx.builder(&service).address(address).build().map_err(Failure::bench)?;
        survives_or_is_refused(ctx, (&owner, &reader), &info, &["address", "network"]).await?;
    }
    Ok(())
}
