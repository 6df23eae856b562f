//! What a keeper tells the outside (clause L6): one channel for the handle, one for each registration.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use crate::metrics;
use crate::status::{HandleState, HandleStatus, RegistrationState, RegistrationStatus, Trouble};
use crate::store::{Key, Record};

/// The status channels of one handle.
pub(super) struct Board {
    handle: watch::Sender<HandleStatus>,
    registrations: Mutex<Registrations>,
}

#[derive(Default)]
struct Registrations {
    channels: HashMap<Key, watch::Sender<RegistrationStatus>>,
    closed: bool,
    /// It was closed by a call, not by the end of its runtime.
    by_call: bool,
}

impl Board {
    pub(super) fn new() -> Self {
        let status = HandleStatus {
            state: HandleState::Unreachable,
            since: SystemTime::now(),
            attempts: 0,
            last_error: None,
            next_try: None,
        };
        Self { handle: watch::Sender::new(status), registrations: Mutex::default() }
    }

    pub(super) fn status(&self) -> watch::Receiver<HandleStatus> {
        self.handle.subscribe()
    }

    pub(super) fn registration(&self, key: &Key) -> Option<watch::Receiver<RegistrationStatus>> {
        self.lock().channels.get(key).map(watch::Sender::subscribe)
    }

    pub(super) fn registrations(&self) -> Vec<RegistrationStatus> {
        self.lock().channels.values().map(|sender| sender.borrow().clone()).collect()
    }

    /// Changes the handle's status; `since` moves when the state does.
    pub(super) fn set_handle(&self, state: HandleState, change: impl FnOnce(&mut HandleStatus)) {
        self.handle.send_modify(|status| {
            if status.state != state {
                status.state = state;
                status.since = SystemTime::now();
            }
            change(status);
        });
    }

    /// Starts the status of an announced registration, unless it has one.
    pub(super) fn announced(&self, record: &Record) {
        let mut registrations = self.lock();
        if !registrations.channels.contains_key(record.key()) {
            registrations.begin(record, RegistrationState::Pending, RegistrationTrouble::default());
        }
    }

    /// Changes a registration's status, or starts it.
    pub(super) fn set_registration(&self, record: &Record, state: RegistrationState, trouble: RegistrationTrouble) {
        let mut registrations = self.lock();
        let Some(sender) = registrations.channels.get(record.key()) else {
            return registrations.begin(record, state, trouble);
        };
        sender.send_if_modified(|status| {
            let moved = status.state != state;
            if moved {
                status.state = state;
                status.since = SystemTime::now();
            }
            let error = trouble.error.or_else(|| status.last_error.clone());
            let changed = moved
                || status.attempts != trouble.attempts
                || status.last_error != error
                || status.next_try != trouble.next_try;
            status.attempts = trouble.attempts;
            status.last_error = error;
            status.next_try = trouble.next_try;
            changed
        });
    }

    /// The registration was withdrawn: its channel ends.
    pub(super) fn remove_registration(&self, key: &Key) {
        if self.lock().channels.remove(key).is_some() {
            metrics::registrations(-1.0);
        }
    }

    /// From here on the end of the keeper is that of a `close`, with whatever result.
    pub(super) fn closes_by_call(&self) {
        self.lock().by_call = true;
    }

    /// Whether a `close` came to its end.
    pub(super) fn was_closed_by_call(&self) -> bool {
        self.lock().by_call
    }

    /// The handle is closed, or its runtime ended: everything ends.
    pub(super) fn close(&self) {
        self.set_handle(HandleState::Closed, |status| status.next_try = None);
        let mut registrations = self.lock();
        metrics::registrations(-(registrations.channels.len() as f64));
        registrations.channels.clear();
        registrations.closed = true;
    }

    fn lock(&self) -> MutexGuard<'_, Registrations> {
        self.registrations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registrations {
    fn begin(&mut self, record: &Record, state: RegistrationState, trouble: RegistrationTrouble) {
        if self.closed {
            return;
        }
        metrics::registrations(1.0);
        let status = RegistrationStatus {
            service: record.info().service().clone(),
            address: record.info().address().clone(),
            key: record.key().to_arc(),
            state,
            since: SystemTime::now(),
            attempts: trouble.attempts,
            last_error: trouble.error,
            next_try: trouble.next_try,
        };
        self.channels.insert(record.key().clone(), watch::Sender::new(status));
    }
}

/// What went wrong with a registration, for its status.
#[derive(Default)]
pub(super) struct RegistrationTrouble {
    pub(super) attempts: u32,
    /// `None` keeps the last error.
    pub(super) error: Option<Trouble>,
    pub(super) next_try: Option<SystemTime>,
}
