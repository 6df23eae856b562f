//! What must be true after a round, and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use registry_core::{Info, RegistrationState, Registry as _};

use super::ground::Ground;
use super::plan::{FOREIGN, HANDLES, OWNERS};
use super::stage::{SERVICE, Stage, service};

/// How often the world is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Within what time all is well. Recovery takes at most a TTL, an attempt, a pause and an audit; removals are held for another TTL; the rest is for a
/// slow machine.
fn bound<G: Ground>(stage: &Stage<G>) -> Duration {
    stage.ground.options().ttl * 3 + Duration::from_secs(6)
}

/// Looks until all is well; then returns, or gives the last reason why it is not.
pub(super) async fn settles<G: Ground>(
    stage: &Stage<G>,
    when: &str,
    look: impl AsyncFn() -> Result<(), String>,
) -> Result<(), String> {
    let (began, bound) = (Instant::now(), bound(stage));
    while let Err(reason) = look().await {
        if began.elapsed() > bound {
            return Err(format!("{when}, not within {bound:?}: {reason}"));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// How many tasks live on this runtime.
pub(super) fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

pub(super) async fn all_is_as_wanted<G: Ground>(stage: &Stage<G>) -> Result<(), String> {
    entries_are_wanted(stage).await?;
    owners_know_it(stage)?;
    watchers_equal_the_store(stage).await
}

/// Each identity that an owner wants stands, as one of those who want it registered it, on a session that lives; and nothing else stands but what
/// strangers wrote.
async fn entries_are_wanted<G: Ground>(stage: &Stage<G>) -> Result<(), String> {
    let codec = stage.ground.store().map_err(|error| error.to_string())?;
    let encode = |info: &Info| codec.encode(info).map_err(|error| error.to_string());
    let mut wanted: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for info in stage.wanted.iter().flat_map(|wanted| wanted.values()) {
        let record = encode(info)?;
        wanted.entry(record.key().to_string()).or_default().push(record.value().to_vec());
    }
    let mut entries = stage.ground.entries(SERVICE).await.map_err(|error| error.to_string())?;
    for port in FOREIGN {
        entries.remove(encode(&super::plan::info(port, 1))?.key().as_str());
    }
    let sessions = stage.ground.sessions().await.map_err(|error| error.to_string())?;
    for (key, values) in &wanted {
        let entry = entries.get(key).ok_or_else(|| format!("{key} is wanted and does not stand"))?;
        if !values.contains(&entry.value) {
            return Err(format!("{key} stands as nobody wants it: {}", String::from_utf8_lossy(&entry.value)));
        }
        if !entry.session.is_some_and(|session| sessions.contains(&session)) {
            return Err(format!("{key} stands on session {:x?}, which does not live", entry.session));
        }
    }
    if let Some(key) = entries.keys().find(|key| !wanted.contains_key(*key)) {
        return Err(format!("{key} stands and nobody wants it"));
    }
    let used: BTreeSet<_> = entries.values().map(|entry| entry.session).collect();
    if used.len() > OWNERS || sessions.len() > HANDLES * G::SESSIONS {
        return Err(format!("{} sessions live, {} of them hold entries", sessions.len(), used.len()));
    }
    Ok(())
}

/// Of those who want an identity one says that its entry stands, and the others that they yield.
fn owners_know_it<G: Ground>(stage: &Stage<G>) -> Result<(), String> {
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

async fn watchers_equal_the_store<G: Ground>(stage: &Stage<G>) -> Result<(), String> {
    let store = stage.ground.store().map_err(|error| error.to_string())?;
    let found = store.list(&service()).await.map_err(|error| format!("{error:?}"))?;
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
pub(super) async fn nothing_leaks<G: Ground>(mut stage: Stage<G>, tasks_before: usize) -> Result<(), String> {
    stage.handles[0].close().await.map_err(|error| format!("close: {error}"))?;
    stage.watches.clear();
    stage.handles.clear();
    let when = "after all handles were dropped";
    let remove = async |port| stage.delete(port).await.map_err(|error| format!("the bench: {error}"));
    for port in FOREIGN {
        remove(port).await?;
    }
    settles(&stage, when, async || {
        let sessions = stage.ground.sessions().await.map_err(|error| error.to_string())?;
        let entries = stage.ground.entries(SERVICE).await.map_err(|error| error.to_string())?;
        let rest = stage.ground.left_over().await.map_err(|error| error.to_string())?;
        if sessions.is_empty() && entries.is_empty() && rest.is_empty() {
            Ok(())
        } else {
            Err(format!("left: {sessions:?}, {entries:?}, {rest:?}"))
        }
    })
    .await?;
    settles(&stage, when, async || {
        let open: u64 = stage.proxies.iter().map(|proxy| proxy.counts().open).sum();
        let alive = tasks();
        if open == 0 && alive <= tasks_before {
            Ok(())
        } else {
            Err(format!("{open} connections and {alive} tasks live, {tasks_before} at the start"))
        }
    })
    .await
}
