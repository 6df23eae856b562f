//! What must be true after a round, and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use registry_core::store::Store as _;
use registry_core::{Info, RegistrationState, Registry as _};

use crate::plan::{HANDLES, OWNERS};
use crate::stage::{Entry, PREFIX, Stage, service};

/// How often the world is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Connections of a handle: for leases, calls and watches.
const CONNECTIONS: u64 = 3;

/// All is as wanted within the contract's bounds, counted from the end of the fault: entries and what owners say of them within the recovery
/// bound, watchers within a grace time more (W4).
pub(crate) async fn recovers(stage: &Stage) -> Result<(), String> {
    let (began, bound) = (Instant::now(), stage.timing.recovery());
    settles("after the fault", began, bound, async || owners_are_served(stage).await).await?;
    let bound = bound + stage.timing.grace();
    settles("after the fault", began, bound, async || watchers_equal_the_store(stage).await).await?;
    settles("after the fault", began, bound, async || nothing_is_left_over(stage).await).await
}

/// A change is seen as soon as ever; a removal may be held for a grace time, as the outage was only just over.
pub(crate) async fn follows(stage: &Stage) -> Result<(), String> {
    let (began, bound) = (Instant::now(), stage.timing.prompt() + stage.timing.grace());
    settles("after a later change", began, bound, async || {
        owners_are_served(stage).await?;
        watchers_equal_the_store(stage).await
    })
    .await
}

/// Looks until all is well; then returns, or gives the last reason why it is not.
async fn settles(
    when: &str,
    began: Instant,
    bound: Duration,
    look: impl AsyncFn() -> Result<(), String>,
) -> Result<(), String> {
    while let Err(reason) = look().await {
        if began.elapsed() > bound {
            return Err(format!("{when}, not within {bound:?}: {reason}"));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// How many tasks live on this runtime.
pub(crate) fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Which owner says that it holds an address.
pub(crate) fn holders(stage: &Stage) -> BTreeMap<String, usize> {
    let holds = |owner: usize, info: &Info| state(stage, owner, info) == Some(RegistrationState::Registered);
    let of = |owner: usize| {
        let held = stage.wanted[owner].iter().filter(move |(_, info)| holds(owner, info));
        held.map(move |(address, _)| (address.clone(), owner))
    };
    (0..OWNERS).flat_map(of).collect()
}

fn state(stage: &Stage, owner: usize, info: &Info) -> Option<RegistrationState> {
    stage.handles[owner].registration(info).map(|now| now.borrow().state)
}

/// Each identity that is wanted has one live owner, whose entry stands on its lease, field by field, while the other one yields; of those who may
/// hold it, it is the last one who called, where that is known. No other entry stands.
async fn owners_are_served(stage: &Stage) -> Result<(), String> {
    let entries = stage.entries().await.map_err(|error| error.to_string())?;
    let key = |info: &Info| stage.observer.encode(info).map(|record| record.key().to_string());
    let mut wanted = BTreeSet::new();
    for (address, info) in stage.wanted.iter().flatten() {
        let key = key(info).map_err(|error| error.to_string())?;
        let entry = entries.get(&key).ok_or_else(|| format!("{key} is wanted and does not stand"))?;
        let holder = holder(stage, address)?;
        stands_for(stage, holder, &key, entry, &entries)?;
        if let Some(last) = stage.holders.of(address).filter(|last| *last != holder) {
            return Err(format!("owner {holder} holds {key}, but owner {last} was the last to register it"));
        }
        wanted.insert(key);
    }
    let is_entry = |key: &str| key.starts_with(&format!("{PREFIX}/demo/"));
    match entries.keys().find(|key| is_entry(key) && !wanted.contains(*key)) {
        Some(key) => Err(format!("{key} stands and nobody wants it")),
        None => Ok(()),
    }
}

/// The one owner who says that its entry stands; who else wants it must say that it yields.
fn holder(stage: &Stage, address: &str) -> Result<usize, String> {
    let wants = (0..OWNERS).filter_map(|owner| Some((owner, stage.wanted[owner].get(address)?)));
    let states: Vec<_> = wants.map(|(owner, info)| (owner, state(stage, owner, info))).collect();
    let in_state = |wanted| states.iter().filter(move |(_, state)| *state == Some(wanted)).map(|(owner, _)| *owner);
    let yielding = in_state(RegistrationState::Displaced).count();
    let mut standing = in_state(RegistrationState::Registered);
    match (standing.next(), standing.next()) {
        (Some(holder), None) if yielding + 1 == states.len() => Ok(holder),
        _ => Err(format!("{address} has not one owner: {states:?}")),
    }
}

/// The entry is what its holder wants, on the holder's lease: that of the address which only this owner registers.
fn stands_for(
    stage: &Stage,
    holder: usize,
    key: &str,
    entry: &Entry,
    entries: &BTreeMap<String, Entry>,
) -> Result<(), String> {
    let wanted = |address: &str| {
        let info = stage.wanted[holder].get(address).ok_or("its holder does not want it")?;
        stage.observer.encode(info).map_err(|error| error.to_string())
    };
    let address = key.rsplit('/').next().unwrap_or_default();
    if *wanted(address)?.value() != *entry.value {
        return Err(format!(
            "{key} stands as owner {holder} does not want it: {}",
            String::from_utf8_lossy(&entry.value)
        ));
    }
    let own = wanted(stage.own_address(holder).as_str())?;
    match entries.get(own.key().as_str()).map(|entry| entry.lease) {
        Some(lease) if lease == entry.lease => Ok(()),
        lease => Err(format!("{key} stands on lease {:x}, but owner {holder} has {lease:x?}", entry.lease)),
    }
}

async fn watchers_equal_the_store(stage: &Stage) -> Result<(), String> {
    let found = stage.observer.list(&service()).await.map_err(|error| format!("{error:?}"))?;
    let stored: Result<BTreeMap<_, _>, _> =
        found.into_iter().map(|found| found.instance.map(|one| (one.address().clone(), one))).collect();
    let stored = stored.map_err(|malformed| format!("{malformed:?}"))?;
    for (number, watch) in stage.watches.iter().enumerate() {
        let latest = watch.latest();
        let seen: BTreeMap<_, _> = latest.instances().iter().map(|one| (one.address().clone(), one.clone())).collect();
        if !latest.is_known() || latest.stale().is_some() || !latest.unconfirmed().is_empty() || seen != stored {
            return Err(format!("watcher {number} sees {:?}, the store has {stored:?}", *latest));
        }
    }
    Ok(())
}

/// One lease a handle, nothing on others, no connection more than a handle uses, and no task more than before the first round.
async fn nothing_is_left_over(stage: &Stage) -> Result<(), String> {
    let alive = tasks();
    let leases = stage.leases().await.map_err(|error| error.to_string())?;
    let entries = stage.entries().await.map_err(|error| error.to_string())?;
    if leases.len() != HANDLES {
        return Err(format!("{HANDLES} handles have {} leases", leases.len()));
    }
    if let Some((key, entry)) = entries.iter().find(|(_, entry)| !leases.contains(&entry.lease)) {
        return Err(format!("{key} stands on lease {:x}, which does not live", entry.lease));
    }
    let open: Vec<u64> = stage.proxies.iter().map(|proxy| proxy.counts().open).collect();
    if open.iter().any(|open| *open > CONNECTIONS) {
        return Err(format!("the handles have {open:?} connections, of {CONNECTIONS} each"));
    }
    if alive > stage.tasks {
        return Err(format!("{alive} tasks live, {} at the start", stage.tasks));
    }
    Ok(())
}

/// One owner closes, the other crashes, the watchers go: nothing of them stays.
pub(crate) async fn nothing_leaks(mut stage: Stage, tasks_before: usize) -> Result<(), String> {
    stage.handles[0].close().await.map_err(|error| format!("close: {error}"))?;
    stage.watches.clear();
    stage.handles.clear();
    let (began, bound) = (Instant::now(), stage.timing.crash_is_over());
    settles("after all handles were dropped", began, bound, async || {
        let leases = stage.leases().await.map_err(|error| error.to_string())?;
        let entries = stage.entries().await.map_err(|error| error.to_string())?;
        if leases.is_empty() && entries.is_empty() { Ok(()) } else { Err(format!("left: {leases:?}, {entries:?}")) }
    })
    .await?;
    let proxies = stage.leave();
    settles("after everything was dropped", began, bound, async || {
        let open: u64 = proxies.iter().map(|proxy| proxy.counts().open).sum();
        let alive = tasks();
        let well = open == 0 && alive <= tasks_before;
        if well {
            Ok(())
        } else {
            Err(format!("{open} connections and {alive} tasks live, {tasks_before} at the start"))
        }
    })
    .await
}
