//! Notes which writes core asks for, before the store sees them: the invariants judge the asking, too.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_core::store::{
    Guard, Key, Lineage, Put, Record, Removed, Session, SessionError, SessionId, Signal, Standing, StoreError,
    WriteError,
};
use tokio::time::Instant;

use crate::faults::Client;
use crate::world::{Ask, Asked};

pub(super) struct Recorded {
    pub(super) client: Arc<Client>,
    pub(super) session: Box<dyn Session>,
}

impl Recorded {
    fn note(&self, key: &Key, what: Asked) {
        let ask = Ask { at: Instant::now(), client: self.client.id, key: key.clone(), what };
        self.client.world.lock().asks.push(ask);
    }
}

#[async_trait]
impl Session for Recorded {
    fn id(&self) -> SessionId {
        self.session.id()
    }

    fn ttl(&self) -> Option<Duration> {
        self.session.ttl()
    }

    async fn put(&self, batch: &[Put], ours: &Lineage) -> Vec<Result<(), WriteError>> {
        for put in batch {
            let info = put.record.info().clone();
            let what = if put.guard == Guard::Claim { Asked::Claim(info) } else { Asked::Restore(info) };
            self.note(put.record.key(), what);
        }
        self.session.put(batch, ours).await
    }

    async fn remove(&self, batch: &[Record], ours: &Lineage) -> Vec<Result<Removed, WriteError>> {
        batch.iter().for_each(|record| self.note(record.key(), Asked::Remove));
        self.session.remove(batch, ours).await
    }

    async fn inspect(
        &self,
        records: &[Record],
        ours: &Lineage,
    ) -> Result<Vec<Result<Standing, StoreError>>, SessionError> {
        self.session.inspect(records, ours).await
    }

    async fn renew(&self, due: &[Record]) -> Result<Vec<Key>, SessionError> {
        self.session.renew(due).await
    }

    async fn signal(&self) -> Signal {
        self.session.signal().await
    }

    async fn fence(&self) -> Result<(), SessionError> {
        self.session.fence().await
    }

    async fn end(&self) -> Result<(), StoreError> {
        self.session.end().await
    }
}
