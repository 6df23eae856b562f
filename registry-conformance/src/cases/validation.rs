//! V: bad input.

use registry_core::{Error, ErrorKind, MAX_ENTRY};

use crate::case;
use crate::case::Case;
use crate::cases::look::stands;
use crate::context::Context;
use crate::ensure;
use crate::failure::{Failure, Promised as _};

pub(super) const CASES: &[Case] = &[
    case!(V1: v1_an_oversized_entry_is_refused_by_its_field_and_the_earlier_registration_stands),
    case!(V3: v3_calls_on_a_closed_handle_say_closed),
];

async fn v1_an_oversized_entry_is_refused_by_its_field_and_the_earlier_registration_stands(
    ctx: &Context,
) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let standing = ctx.info(&service);
    ctx.register(&owner, &standing).await?;
    // The builder lets this pass, since it knows no key and no separators; the entry as a whole is over the limit.
    let tags = [("k", "v".repeat(MAX_ENTRY - 1))];
    let oversized = standing.to_builder().tags(tags).build().map_err(Failure::bench)?;
    let refused = ctx.register(&owner, &oversized).await;
    let error = refused.err().ok_or_else(|| Failure::broken("expected: an entry past 64 KiB is refused; seen: ok"))?;
    let field = error.invalid_field().map(registry_core::InvalidField::field);
    ensure!(field == Some("tags"), "expected: invalid input that names the field `tags`; seen: {field:?} in {error}");
    stands(&*reader, &service, &[&standing]).await.promised("the earlier registration stands as it was")
}

async fn v3_calls_on_a_closed_handle_say_closed(ctx: &Context) -> Result<(), Failure> {
    let owner = ctx.connect().await?;
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.close(&owner).await?;
    ctx.close(&owner).await.promised("a second close is ok")?;
    closed("register", ctx.register(&owner, &info).await)?;
    closed("deregister", ctx.deregister(&owner, &info).await)?;
    closed("announce", owner.announce(&info))?;
    closed("resolve", owner.resolve(&service).await)?;
    closed("watch", owner.watch(&service))
}

fn closed<T>(call: &str, result: Result<T, Error>) -> Result<(), Failure> {
    match result {
        Ok(_) => Err(Failure::broken(format!("expected: {call} on a closed handle fails; seen: ok"))),
        Err(error) if error.kind() == ErrorKind::Closed => Ok(()),
        Err(error) => Err(Failure::broken(format!("expected: {call} on a closed handle says closed; seen: {error}"))),
    }
}
