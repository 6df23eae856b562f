//! The simulated store: core's store operations over a [`World`](crate::world::World), in three profiles.
//!
//! | profile | like | its weaknesses |
//! |---|---|---|
//! | [`atomic`] | etcd | late answers only |
//! | [`lagging`] | ZooKeeper | takeover is delete and create, removal is check and delete, readers lag |
//! | [`blind`] | Consul | writes are unconditional, each entry is lost by itself, readers get full lists |

pub(crate) mod atomic;
pub(crate) mod blind;
pub(crate) mod lagging;
mod recorded;
mod view;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_core::store::{
    Capabilities, Found, Key, OpenRequest, Record, Renewal, Session, Store, StoreError, Support, View,
};
use registry_core::{Info, InvalidField, ServiceName};

use self::recorded::Recorded;
use self::view::SimView;
use crate::faults::{Client, Failure, Live};
use crate::world::Entry;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Atomic,
    Lagging,
    Blind,
}

impl Profile {
    pub(crate) const ALL: [Self; 3] = [Self::Atomic, Self::Lagging, Self::Blind];

    /// How far a reader may be behind.
    pub(crate) fn max_lag(self) -> Duration {
        match self {
            Self::Atomic => Duration::ZERO,
            Self::Lagging => Duration::from_millis(150),
            Self::Blind => Duration::from_millis(50),
        }
    }

    pub(crate) fn capabilities(self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        let two_steps = Support::NotOffered("the check and the write are two requests");
        let no_fence = Support::NotOffered("nothing stops a request that was sent");
        let lag = Support::NotOffered("readers lag behind");
        match self {
            Self::Atomic => {}
            Self::Lagging => {
                capabilities.gap_free_takeover = Support::NotOffered("a takeover is delete and create");
                capabilities.atomic_withdrawal = two_steps.clone();
                capabilities.conditional_writes = two_steps;
                capabilities.write_fencing = no_fence;
                capabilities.linearizable_resolve = lag;
                capabilities.settle = Duration::from_millis(500);
            }
            Self::Blind => {
                capabilities.atomic_withdrawal = two_steps.clone();
                capabilities.conditional_writes = two_steps;
                capabilities.write_fencing = no_fence;
                capabilities.linearizable_resolve = lag;
                capabilities.renewal = Renewal::Entry;
                capabilities.end_withdraws = false;
                capabilities.max_batch = 1;
            }
        }
        capabilities
    }
}

/// One handle's store.
pub(crate) struct SimStore {
    pub(crate) profile: Profile,
    pub(crate) client: Arc<Client>,
}

/// The key of an identity, the same in all profiles.
pub(crate) fn key_of(info: &Info) -> Key {
    Key::new(format!("{}/{}", info.service(), info.address()))
}

#[async_trait]
impl Store for SimStore {
    fn capabilities(&self) -> Capabilities {
        self.profile.capabilities()
    }

    fn encode(&self, info: &Info) -> Result<Record, InvalidField> {
        Ok(Record::new(key_of(info), format!("{info:?}").into_bytes(), info))
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        let (id, ttl, profile) = (self.client.id, request.ttl, self.profile);
        let client = self.client.clone();
        let opened = client.request("open", move |state| match profile {
            Profile::Blind => state.next_session(),
            _ => state.open(id, ttl),
        });
        let base = Base::new(client.clone(), opened.await.map_err(Failure::into_store)?);
        let session: Box<dyn Session> = match profile {
            Profile::Atomic => Box::new(atomic::AtomicSession::new(base)),
            Profile::Lagging => Box::new(lagging::LaggingSession::new(base)),
            Profile::Blind => Box::new(blind::BlindSession::new(base, ttl, request.owner)),
        };
        Ok(Arc::new(Recorded { client, session }))
    }

    async fn list(&self, service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        let lag = self.client.draw(0..=self.profile.max_lag().as_millis() as u64);
        let prefix = format!("{service}/");
        let listed = self.client.request("list", move |state| found(&state.as_of(lag), &prefix)).await;
        listed.map_err(Failure::into_store)
    }

    async fn view(&self, service: &ServiceName, _attempt: u32) -> Result<Box<dyn View>, StoreError> {
        Ok(Box::new(SimView::open(self.profile, self.client.clone(), service).await?))
    }
}

/// What all sessions have.
pub(crate) struct Base {
    pub(crate) client: Arc<Client>,
    pub(crate) id: registry_core::store::SessionId,
    _live: Live,
}

impl Base {
    fn new(client: Arc<Client>, id: registry_core::store::SessionId) -> Self {
        let live = client.alive();
        Self { client, id, _live: live }
    }
}

/// The entries of one service, as readers get them.
fn found(entries: &std::collections::BTreeMap<Key, Entry>, prefix: &str) -> Vec<Found> {
    let of_service = entries.iter().filter(|(key, _)| key.as_str().starts_with(prefix));
    of_service.map(|(key, entry)| found_one(key, entry)).collect()
}

fn found_one(key: &Key, entry: &Entry) -> Found {
    let mut found = Found::new(key.clone(), (*entry.instance).clone(), entry.version);
    found.healthy = entry.healthy;
    found
}
