//! What must be true after a round, and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use registry_core::{Info, RegistrationState, Registry as _};

use super::ground::{Entry, Ground};
use super::plan::{FOREIGN, HANDLES, OWNERS, info};
use super::stage::{Stage, service};

/// How often the world is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// All is as wanted within the contract's bounds, counted from the end of the fault: entries and what owners say of them within the recovery
/// bound, watchers within a grace time more (W4).
pub(super) async fn recovers<G: Ground>(stage: &Stage<G>) -> Result<(), String> {
    let (began, bound) = (Instant::now(), stage.timing.recovery());
    settles("after the fault", began, bound, async || owners_are_served(stage).await).await?;
    let bound = bound + stage.timing.grace();
    settles("after the fault", began, bound, async || watchers_equal_the_store(stage).await).await?;
    settles("after the fault", began, bound, async || nothing_is_left_over(stage).await).await
}

/// A change is seen as soon as ever; a removal may be held for a grace time, as the outage was only just over.
pub(super) async fn follows<G: Ground>(stage: &Stage<G>) -> Result<(), String> {
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
pub(super) fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Which owner says that it holds an address.
pub(super) fn holders<G: Ground>(stage: &Stage<G>) -> BTreeMap<String, usize> {
    let holds = |owner: usize, info: &Info| state(stage, owner, info) == Some(RegistrationState::Registered);
    let of = |owner: usize| {
        let held = stage.wanted[owner].iter().filter(move |(_, info)| holds(owner, info));
        held.map(move |(address, _)| (address.clone(), owner))
    };
    (0..OWNERS).flat_map(of).collect()
}

fn state<G: Ground>(stage: &Stage<G>, owner: usize, info: &Info) -> Option<RegistrationState> {
    stage.handles[owner].registration(info).map(|now| now.borrow().state)
}

/// Each identity that is wanted has one live owner, whose entry stands on its session, field by field, while the other one yields; of those who may
/// hold it, it is the last one who called, where that is known. No other entry stands but strangers'.
async fn owners_are_served<G: Ground>(stage: &Stage<G>) -> Result<(), String> {
    let entries = stage.entries().await?;
    let key = |info: &Info| stage.observer.encode(info).map(|record| record.key().to_string());
    let mut wanted = BTreeSet::new();
    for (address, info) in stage.wanted.iter().flatten() {
        let key = key(info).map_err(|error| error.to_string())?;
        let entry = entries.get(&key).ok_or_else(|| format!("{key} is wanted and does not stand"))?;
        let holder = holder(stage, address)?;
        stands_for(stage, holder, address, &key, entry, &entries)?;
        if let Some(last) = stage.holders.of(address).filter(|last| *last != holder) {
            return Err(format!("owner {holder} holds {key}, but owner {last} was the last to register it"));
        }
        wanted.insert(key);
    }
    for port in FOREIGN {
        wanted.insert(key(&info(port, 1)).map_err(|error| error.to_string())?);
    }
    match entries.keys().find(|key| !wanted.contains(*key)) {
        Some(key) => Err(format!("{key} stands and nobody wants it")),
        None => Ok(()),
    }
}

/// The one owner who says that its entry stands; who else wants it must say that it yields.
fn holder<G: Ground>(stage: &Stage<G>, address: &str) -> Result<usize, String> {
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

/// The entry is what its holder wants, on the holder's session: that of the address which only this owner registers.
fn stands_for<G: Ground>(
    stage: &Stage<G>,
    holder: usize,
    address: &str,
    key: &str,
    entry: &Entry,
    entries: &BTreeMap<String, Entry>,
) -> Result<(), String> {
    let wanted = |address: &str| {
        let info = stage.wanted[holder].get(address).ok_or("its holder does not want it")?;
        stage.observer.encode(info).map_err(|error| error.to_string())
    };
    if *wanted(address)?.value() != *entry.value {
        return Err(format!(
            "{key} stands as owner {holder} does not want it: {}",
            String::from_utf8_lossy(&entry.value)
        ));
    }
    let own = wanted(stage.own_address(holder).as_str())?;
    match entries.get(own.key().as_str()).and_then(|entry| entry.session) {
        Some(session) if Some(session) == entry.session => Ok(()),
        session => Err(format!("{key} stands on session {:x?}, but owner {holder} has {session:x?}", entry.session)),
    }
}

async fn watchers_equal_the_store<G: Ground>(stage: &Stage<G>) -> Result<(), String> {
    let found = stage.observer.list(&service()).await.map_err(|error| format!("{error:?}"))?;
    let healthy = found.into_iter().filter(|found| found.healthy);
    let stored: Result<BTreeMap<_, _>, _> =
        healthy.map(|found| found.instance.map(|one| (one.address().clone(), one))).collect();
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

/// No session more than the handles use, nothing on others, no connection more than a handle uses, and no task more than before the first round.
async fn nothing_is_left_over<G: Ground>(stage: &Stage<G>) -> Result<(), String> {
    let alive = tasks();
    let sessions = stage.ground.sessions().await.map_err(|error| error.to_string())?;
    if sessions.len() > HANDLES * G::SESSIONS {
        return Err(format!("{HANDLES} handles have {} sessions, of {} each", sessions.len(), G::SESSIONS));
    }
    let strays = strays(stage, &sessions).await?;
    if !strays.is_empty() {
        return Err(format!("on no session that lives stand {strays:?}"));
    }
    let open: Vec<u64> = stage.proxies.iter().map(|proxy| proxy.counts().open).collect();
    if open.iter().any(|open| *open > G::CONNECTIONS) {
        return Err(format!("the handles have {open:?} connections, of {} each", G::CONNECTIONS));
    }
    let pooled = if G::POOLED { usize::try_from(open.iter().sum::<u64>()).unwrap_or(usize::MAX) } else { 0 };
    if alive > stage.tasks.saturating_add(pooled) {
        return Err(format!("{alive} tasks live, {} at the start, {pooled} connections are pooled", stage.tasks));
    }
    Ok(())
}

/// What stands on none of these sessions and was not written by strangers.
async fn strays<G: Ground>(stage: &Stage<G>, sessions: &[u64]) -> Result<Vec<String>, String> {
    let strangers: Result<Vec<_>, _> = FOREIGN.iter().map(|port| stage.observer.encode(&info(*port, 1))).collect();
    let strangers = strangers.map_err(|error| error.to_string())?;
    let mut strays = stage.ground.strays(sessions).await.map_err(|error| error.to_string())?;
    strays.retain(|key| !strangers.iter().any(|stranger| stranger.key().as_str() == key));
    Ok(strays)
}

/// One owner closes, the other crashes, the watchers go: nothing of them stays.
pub(super) async fn nothing_leaks<G: Ground>(mut stage: Stage<G>, tasks_before: usize) -> Result<(), String> {
    stage.handles[0].close().await.map_err(|error| format!("close: {error}"))?;
    stage.watches.clear();
    stage.handles.clear();
    stage.leave_observer().map_err(|error| error.to_string())?;
    let (began, bound) = (Instant::now(), stage.timing.crash_is_over());
    settles("after all handles were dropped", began, bound, async || {
        let sessions = stage.ground.sessions().await.map_err(|error| error.to_string())?;
        let strays = strays(&stage, &sessions).await?;
        if sessions.is_empty() && strays.is_empty() { Ok(()) } else { Err(format!("left: {sessions:x?}, {strays:?}")) }
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
