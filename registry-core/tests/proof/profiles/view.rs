//! A view of one service on the world: its history, told with a lag.
//!
//! The first list is read where the watch begins, so nothing is lost between the two. What happens while a change is under way is merged with it.
//! Telling a change is a numbered operation of the handle, and meets its fault.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_core::ServiceName;
use registry_core::store::{Key, StoreError, View, ViewChange};
use tokio::time::Instant;

use super::{Profile, found, found_one};
use crate::faults::{Client, Cut, Failure, Fault, Live};
use crate::world::{Availability, Entry};

pub(crate) struct SimView {
    profile: Profile,
    client: Arc<Client>,
    prefix: String,
    /// The service as it was told.
    told: BTreeMap<Key, Entry>,
    /// How much of the history is in `told`.
    seen: usize,
    epoch: u64,
    lag: Duration,
    first: bool,
    /// A sign of life was asked for.
    asked: bool,
    /// A change that is told late, and when.
    held: Option<(Instant, ViewChange)>,
    /// The line hangs: nothing is ever told again, nor answered.
    hung: bool,
    /// When a long poll returns with nothing new.
    poll_until: Instant,
    _live: Live,
}

/// What a view has to tell.
enum Told {
    New(ViewChange),
    /// It met its fault before.
    Late(ViewChange),
}

/// How long a poll of the blind profile waits for news.
const POLL: Duration = Duration::from_secs(3);

impl SimView {
    pub(super) async fn open(profile: Profile, client: Arc<Client>, service: &ServiceName) -> Result<Self, StoreError> {
        let prefix = format!("{service}/");
        let live = client.alive();
        let begin = |state: &mut crate::world::State| (state.entries.clone(), state.history.len(), state.epoch);
        let (told, seen, epoch) = client.request("view", begin).await.map_err(Failure::into_store)?;
        let lag = client.draw(0..=profile.max_lag().as_millis() as u64);
        let poll_until = Instant::now() + POLL;
        let (first, asked, held, hung) = (true, false, None, false);
        Ok(Self { profile, client, prefix, told, seen, epoch, lag, first, asked, held, hung, poll_until, _live: live })
    }

    /// Takes up what is visible by now. Returns the keys that changed, and when more will be visible.
    fn catch_up(&mut self) -> (Vec<Key>, Option<Instant>) {
        let state = self.client.world.lock();
        let now = Instant::now();
        let mut changed = Vec::new();
        while let Some(event) = state.history.get(self.seen) {
            if event.at + self.lag > now {
                return (changed, Some(event.at + self.lag));
            }
            self.seen += 1;
            if !event.key.as_str().starts_with(&self.prefix) {
                continue;
            }
            match &event.after {
                Some(entry) => self.told.insert(event.key.clone(), entry.clone()),
                None => self.told.remove(&event.key),
            };
            changed.retain(|key| *key != event.key);
            changed.push(event.key.clone());
            // A stream tells one change at a time.
            if self.profile != Profile::Blind {
                return (changed, Some(now));
            }
        }
        (changed, None)
    }

    /// What to tell, or until when nothing can be told.
    fn turn(&mut self) -> Result<Told, Instant> {
        let never = Instant::now() + Duration::from_secs(3_600);
        let availability = {
            let state = self.client.world.lock();
            if state.epoch == self.epoch { state.availability } else { Availability::Down }
        };
        if self.hung || availability == Availability::Frozen || self.client.cut() == Some(Cut::Silent) {
            return Err(never);
        }
        match self.held.take() {
            Some((at, change)) if at > Instant::now() => {
                self.held = Some((at, change));
                return Err(at);
            }
            Some((_, change)) => return Ok(Told::Late(change)),
            None => {}
        }
        if self.first {
            self.first = false;
            return Ok(Told::New(ViewChange::Full(found(&self.told, &self.prefix))));
        }
        let (changed, more) = self.catch_up();
        let polled = self.profile == Profile::Blind && (self.poll_until <= Instant::now() || self.asked);
        if self.profile == Profile::Blind && (!changed.is_empty() || polled) {
            self.asked = false;
            self.poll_until = Instant::now() + POLL;
            return Ok(Told::New(ViewChange::Full(found(&self.told, &self.prefix))));
        }
        if let Some(key) = changed.into_iter().next() {
            return Ok(Told::New(match self.told.get(&key) {
                Some(entry) => ViewChange::Upsert(found_one(&key, entry)),
                None => ViewChange::Remove(key),
            }));
        }
        if self.asked {
            self.asked = false;
            return Ok(Told::New(ViewChange::Alive));
        }
        Err(more.unwrap_or(never).min(if self.profile == Profile::Blind { self.poll_until } else { never }))
    }

    /// Whether something happened just as the store went away, and is told in the same breath, as a stream does.
    fn has_last_words(&self) -> bool {
        let state = self.client.world.lock();
        let now = Instant::now();
        let unseen = state.history.get(self.seen..).unwrap_or_default();
        let mine = unseen.iter().any(|event| event.at == now && event.key.as_str().starts_with(&self.prefix));
        self.profile == Profile::Atomic && self.client.cut().is_none() && !self.hung && mine
    }

    fn is_over(&self) -> bool {
        let state = self.client.world.lock();
        let gone = state.epoch != self.epoch || state.availability == Availability::Down;
        gone && self.client.cut() != Some(Cut::Silent) || self.client.cut() == Some(Cut::Refused)
    }
}

#[async_trait]
impl View for SimView {
    async fn next(&mut self) -> Result<ViewChange, StoreError> {
        let client = self.client.clone();
        loop {
            let news = client.world.news();
            if self.is_over() && !self.has_last_words() {
                return Err(StoreError::unreachable("the view was cut off"));
            }
            let wake = match self.turn() {
                Ok(Told::Late(change)) => return Ok(change),
                Ok(Told::New(change)) => match client.next("next") {
                    None | Some(Fault::LoseSession | Fault::DropCall) => return Ok(change),
                    Some(Fault::Fail | Fault::FailUnsure | Fault::FailApplied) => {
                        return Err(StoreError::unreachable("planned: the view failed"));
                    }
                    Some(Fault::Hang | Fault::HangApplied) => {
                        self.hung = true;
                        continue;
                    }
                    Some(Fault::Late(delay)) => {
                        self.held = Some((Instant::now() + delay, change));
                        continue;
                    }
                },
                Err(wake) => wake,
            };
            tokio::select! {
                biased;
                () = news => {}
                () = client.line_changed.notified() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    async fn probe(&mut self) -> Result<(), StoreError> {
        if self.hung {
            std::future::pending::<()>().await;
        }
        self.client.request("probe", |_| ()).await.map_err(Failure::into_store)?;
        self.asked = true;
        Ok(())
    }

    fn silence(&self) -> Duration {
        if self.profile == Profile::Blind { POLL + Duration::from_secs(1) } else { Duration::from_secs(1) }
    }
}
