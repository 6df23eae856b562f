//! What must be true after a round, and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use registry_core::store::Store as _;
use registry_core::{Info, RegistrationState, Registry as _};

use crate::plan::{HANDLES, OWNERS};
use crate::stage::{PREFIX, Stage, service};

/// Recovery takes at most a TTL, an attempt, a pause and an audit, 5 s in all; removals are held for another TTL; the rest is for a slow machine.
const BOUND: Duration = Duration::from_secs(12);
/// How often the world is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Looks until all is well; then returns, or gives the last reason why it is not.
pub(crate) async fn settles(when: &str, look: impl AsyncFn() -> Result<(), String>) -> Result<(), String> {
    let began = Instant::now();
    while let Err(reason) = look().await {
        if began.elapsed() > BOUND {
            return Err(format!("{when}, not within {BOUND:?}: {reason}"));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// How many tasks live on this runtime.
pub(crate) fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

pub(crate) async fn all_is_as_wanted(stage: &Stage) -> Result<(), String> {
    entries_are_wanted(stage).await?;
    owners_know_it(stage)?;
    watchers_equal_the_store(stage).await
}

/// Each identity that an owner wants stands, as one of those who want it registered it, on a lease that lives; and nothing else stands.
async fn entries_are_wanted(stage: &Stage) -> Result<(), String> {
    let codec = stage.codec();
    let mut wanted: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for info in stage.wanted.iter().flat_map(|wanted| wanted.values()) {
        let record = codec.encode(info).map_err(|error| error.to_string())?;
        wanted.entry(record.key().to_string()).or_default().push(record.value().to_vec());
    }
    let entries = stage.entries().await.map_err(|error| error.to_string())?;
    let leases = stage.leases().await.map_err(|error| error.to_string())?;
    for (key, values) in &wanted {
        let entry = entries.get(key).ok_or_else(|| format!("{key} is wanted and does not stand"))?;
        if !values.contains(&entry.value) {
            return Err(format!("{key} stands as nobody wants it: {}", String::from_utf8_lossy(&entry.value)));
        }
        if !leases.contains(&entry.lease) {
            return Err(format!("{key} stands on lease {:x}, which does not live", entry.lease));
        }
    }
    // The adapter's fences are no entries; that they go with their leases is looked at in the end.
    let is_entry = |key: &str| key.starts_with(&format!("{PREFIX}/demo/"));
    if let Some(key) = entries.keys().find(|key| is_entry(key) && !wanted.contains_key(*key)) {
        return Err(format!("{key} stands and nobody wants it"));
    }
    let used: BTreeSet<_> = entries.values().map(|entry| entry.lease).collect();
    if used.len() > OWNERS || leases.len() > HANDLES {
        return Err(format!("{} leases live, {} of them hold entries", leases.len(), used.len()));
    }
    Ok(())
}

/// Of those who want an identity one says that its entry stands, and the others that they yield.
fn owners_know_it(stage: &Stage) -> Result<(), String> {
    let addresses: BTreeSet<_> = stage.wanted.iter().flat_map(|wanted| wanted.keys()).collect();
    for address in addresses {
        let info = |owner: usize| stage.wanted[owner].get(address);
        let state = |owner: usize, info: &Info| stage.handles[owner].registration(info).map(|now| now.borrow().state);
        let states: Vec<_> = (0..OWNERS).filter_map(|owner| info(owner).map(|info| state(owner, info))).collect();
        let standing = states.iter().filter(|state| **state == Some(RegistrationState::Registered)).count();
        let yielding = states.iter().filter(|state| **state == Some(RegistrationState::Displaced)).count();
        if standing != 1 || standing + yielding != states.len() {
            return Err(format!("{address} has not one owner: {states:?}"));
        }
    }
    Ok(())
}

async fn watchers_equal_the_store(stage: &Stage) -> Result<(), String> {
    let found = stage.codec().list(&service()).await.map_err(|error| format!("{error:?}"))?;
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

/// One owner closes, the other crashes, the watchers go: nothing of them stays.
pub(crate) async fn nothing_leaks(mut stage: Stage, tasks_before: usize) -> Result<(), String> {
    stage.handles[0].close().await.map_err(|error| format!("close: {error}"))?;
    stage.watches.clear();
    stage.handles.clear();
    settles("after all handles were dropped", async || {
        let leases = stage.leases().await.map_err(|error| error.to_string())?;
        let entries = stage.entries().await.map_err(|error| error.to_string())?;
        if leases.is_empty() && entries.is_empty() { Ok(()) } else { Err(format!("left: {leases:?}, {entries:?}")) }
    })
    .await?;
    settles("after all handles were dropped", async || {
        let open: u64 = stage.proxies.iter().map(|proxy| proxy.counts().open).sum();
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
