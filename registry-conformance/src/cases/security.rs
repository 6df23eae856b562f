//! X2 and X3: security, as far as it needs no server of its own.

use registry_core::ServiceName;

use crate::case;
use crate::case::Case;
use crate::cases::look::stands;
use crate::context::Context;
use crate::ensure;
use crate::failure::{Failure, Promised as _};

pub(super) const CASES: &[Case] =
    &[case!(X2: x2_no_secret_is_in_a_status_or_an_error), case!(X3: x3_no_service_name_reaches_another_service)];

async fn x2_no_secret_is_in_a_status_or_an_error(ctx: &Context) -> Result<(), Failure> {
    let owner = ctx.connect().await?;
    let info = ctx.info(&ctx.service());
    ctx.register(&owner, &info).await?;
    let mut shown = format!("{:?} {}", owner.status().borrow(), owner.status().borrow().clone());
    shown += &owner.registrations().iter().map(|status| format!("{status:?} {status}")).collect::<String>();
    ctx.close(&owner).await?;
    if let Err(error) = owner.register(&info).await {
        shown += &format!("{error:?} {error}");
    }
    for (number, secret) in ctx.secrets().iter().enumerate() {
        ensure!(
            !shown.contains(secret.as_str()),
            "expected: secret {number} of the harness is shown nowhere; seen: it is"
        );
    }
    Ok(())
}

async fn x3_no_service_name_reaches_another_service(ctx: &Context) -> Result<(), Failure> {
    let (owner, intruder) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    let tricks = [
        format!("{service}/"),
        format!("{service}/.."),
        format!("../{service}"),
        format!("x/../{service}"),
        format!("%2e%2e%2f{service}"),
        format!("./{service}"),
    ];
    for trick in tricks {
        // A name that is refused reaches nothing.
        let Ok(name) = ServiceName::new(trick.as_str()) else { continue };
        if let Ok(snapshot) = intruder.resolve(&name).await {
            ensure!(snapshot.is_empty(), "expected: `{trick}` reads no other service; seen: {snapshot:?}");
        }
        let foreign = info.to_builder().service(trick).weight(66).build().map_err(Failure::bench)?;
        if ctx.register(&intruder, &foreign).await.is_ok() {
            stands(&*owner, &service, &[&info]).await.promised("the other service is untouched")?;
            ctx.deregister(&intruder, &foreign).await?;
        }
        stands(&*owner, &service, &[&info]).await.promised("the other service is untouched")?;
    }
    Ok(())
}
