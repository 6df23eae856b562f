//! W: watch.

use crate::case;
use crate::case::Case;
use crate::cases::look::holds;
use crate::context::{Context, addresses};
use crate::ensure;
use crate::failure::{Failure, Promised as _};

pub(super) const CASES: &[Case] = &[
    case!(W1: w1_a_watch_is_unknown_then_present_then_follows_each_change),
    case!(W2: w2_the_last_of_many_quick_changes_is_delivered),
];

async fn w1_a_watch_is_unknown_then_present_then_follows_each_change(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let mut watch = reader.watch(&service).promised("a watch at once")?;
    ensure!(
        !watch.latest().is_known(),
        "expected: unknown before the store answered; seen: {}",
        addresses(&watch.latest())
    );
    let within = ctx.timing().prompt();
    let empty = ctx.next(&mut watch, within, "the present snapshot, also when empty").await?;
    holds(&empty.snapshot, &[]).promised("the service is empty")?;
    let info = ctx.info(&service);
    ctx.register(&owner, &info).await?;
    let added = ctx.next(&mut watch, within, "the new instance").await?;
    holds(&added.snapshot, &[&info]).promised("the new instance")?;
    let heavier = info.to_builder().weight(99).build().map_err(Failure::bench)?;
    ctx.register(&owner, &heavier).await?;
    let updated = ctx.next(&mut watch, within, "the changed weight").await?;
    holds(&updated.snapshot, &[&heavier]).promised("the changed weight")?;
    let difference = &updated.difference;
    let counts = (difference.added.len(), difference.updated.len(), difference.removed.len());
    ensure!(counts == (0, 1, 0), "expected: one update; seen (added, updated, removed): {counts:?}");
    ctx.deregister(&owner, &heavier).await?;
    let removed = ctx.next(&mut watch, within, "the last removal").await?;
    holds(&removed.snapshot, &[]).promised("the last removal")
}

async fn w2_the_last_of_many_quick_changes_is_delivered(ctx: &Context) -> Result<(), Failure> {
    let (owner, reader) = (ctx.connect().await?, ctx.connect().await?);
    let service = ctx.service();
    let mut watch = reader.watch(&service)?;
    let mut last = ctx.info(&service);
    for weight in 1..=50 {
        last = last.to_builder().weight(weight).build().map_err(Failure::bench)?;
        ctx.register(&owner, &last).await?;
    }
    let seen = async || match watch.next().await {
        Some(change) => holds(&change.snapshot, &[&last]),
        None => Err("the watch ended".to_owned()),
    };
    ctx.eventually(ctx.timing().prompt(), "the last weight", seen).await
}
