//! D: discovery.

use std::time::{Duration, UNIX_EPOCH};

use crate::case;
use crate::case::Case;
use crate::cases::look::stands;
use crate::context::Context;
use crate::failure::{Failure, Promised as _};
use crate::hooks::Hook;

pub(super) const CASES: &[Case] = &[
    case!(D1: d1_an_unknown_service_is_empty),
    case!(D2: d2_every_field_survives_the_round_trip),
    case!(D3: d3_a_malformed_entry_hides_nothing).with_hooks(&[Hook::RawBytes]),
];

async fn d1_an_unknown_service_is_empty(ctx: &Context) -> Result<(), Failure> {
    let reader = ctx.connect().await?;
    stands(&*reader, &ctx.service(), &[]).await.promised("an unknown service is ok, with no instances")
}

async fn d2_every_field_survives_the_round_trip(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    for address in ["10.1.2.3:8888", "[2001:db8::5]:8888", "host.example:80"] {
        let info = ctx
            .builder(&service)
            .address(address)
            .payload_codec("thrift")
            .weight(21)
            .start_time(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123))
            .warm_up(Duration::from_millis(90_500))
            .tag("zone", "a")
            .tag("größe", "\u{2603} \"quoted\" \\ <&>")
            .build()
            .map_err(Failure::bench)?;
        ctx.register(&owner, &info).await?;
        stands(&*reader, &service, &[&info]).await.promised("what was registered, field by field")?;
        ctx.deregister(&owner, &info).await?;
    }
    Ok(())
}

async fn d3_a_malformed_entry_hides_nothing(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    ctx.hooks()?.raw_bytes(&service, "10.9.9.9:9", b"{ not a record").await?;
    stands(&*reader, &service, &[&info]).await.promised("the good entry, and only it")
}
