//! What was found to stand, and what follows from it.

use tokio::time::Instant;

use super::actor::{Actor, MISSING_PAUSE};
use super::link::Epoch;
use super::slot::Believed;
use crate::error::ErrorKind;
use crate::store::{Key, Record, SessionError, Standing, StoreError};

impl Actor {
    pub(super) fn inspected(
        &mut self,
        epoch: Epoch,
        records: Vec<Record>,
        result: Result<Vec<Result<Standing, StoreError>>, SessionError>,
    ) {
        self.batch_done(epoch);
        let standings = match result {
            Ok(standings) => standings.into_iter().map(Some).collect(),
            Err(SessionError::Lost) => {
                self.lose_session(epoch);
                vec![None; records.len()]
            }
            Err(SessionError::Failed(error)) => vec![Some(Err(error)); records.len()],
        };
        for (record, standing) in records.into_iter().zip(standings) {
            let key = record.key().clone();
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            slot.busy = false;
            if let Some(Err(error)) = &standing {
                self.not_shown(&key, error);
                self.touch(&key);
                continue;
            }
            let current = self.link.is_at(epoch);
            let still_wanted = slot.wanted.as_ref().is_some_and(|wanted| wanted.record == record);
            if let (Some(Ok(standing)), true, true) = (standing, current, still_wanted) {
                self.judge(&key, standing);
            }
            self.touch(&key);
        }
        self.report_restored();
    }

    /// It was not told what stands there. It is asked again after a pause; where nothing is known to be wrong, and the store refused to show it, by the next
    /// audit, so that many that are refused do not cost a request each all the time (L5).
    fn not_shown(&mut self, key: &Key, error: &StoreError) {
        self.suspect(error);
        let Some(slot) = self.slots.get_mut(key) else { return };
        if error.kind() == ErrorKind::Denied && matches!(slot.believed, Believed::Stands | Believed::Foreign) {
            slot.last_error = Some(Self::trouble(error));
            return;
        }
        slot.look = true;
        self.pause(key, Some(error));
    }

    /// What an inspection of a wanted registration means.
    fn judge(&mut self, key: &Key, standing: Standing) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        match standing {
            Standing::Ours { current: true, same: true } => {
                self.stands(key);
                return;
            }
            Standing::Ours { .. } | Standing::Unowned => slot.believed = Believed::Wrong,
            Standing::Foreign => {
                self.displaced(key);
                return;
            }
            Standing::Absent if matches!(slot.believed, Believed::Stands | Believed::Foreign) => {
                slot.believed = Believed::Missing;
                slot.not_before = Some(Instant::now() + MISSING_PAUSE);
            }
            Standing::Absent => slot.believed = Believed::Lapsed,
        }
        slot.beat_at = None;
    }
}
