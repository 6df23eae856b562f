//! One client of the store: core's [`Store`] over a [`Link`].

use std::sync::Arc;

use async_trait::async_trait;
use registry_core::store::{
    Capabilities, Found, JsonRecord, Key, OpenRequest, Record, Session, Store, StoreError, View,
};
use registry_core::{Info, InvalidField, ServiceName};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::link::{Access, Held, Link, Passage};
use crate::namespace::Namespace;
use crate::session::MemorySession;
use crate::state::{Power, State};
use crate::store::MemoryStore;
use crate::view::MemoryView;

/// A client of one [`MemoryStore`], in one namespace, over one [`Link`]: what [`Handle`](crate::Handle) drives.
///
/// Made by [`Options::client`](crate::Options::client) for wrappers and tests at the level of single operations; programs use
/// [`connect`](crate::connect).
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) connection: Connection,
    pub(crate) namespace: Namespace,
}

/// A store and the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) store: MemoryStore,
    pub(crate) link: Link,
}

impl Client {
    /// The way to the store, to change its faults.
    pub fn link(&self) -> &Link {
        &self.connection.link
    }

    fn folder(&self, service: &ServiceName) -> Arc<str> {
        format!("{}/{service}", self.namespace.as_str()).into()
    }
}

#[async_trait]
impl Store for Client {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn encode(&self, info: &Info) -> Result<Record, InvalidField> {
        let key = format!("{}/{}", self.folder(info.service()), info.address());
        Record::fitting(Key::new(key), JsonRecord::encode(info), info)
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        let link = self.connection.link.id();
        let commit = move |state: &mut State, now, ()| state.open(request.ttl, link, now);
        let (id, notify) = self.connection.write(Access::Session, |_| (), commit).await?;
        Ok(Arc::new(MemorySession::new(self.connection.clone(), id, notify)))
    }

    async fn list(&self, service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        let folder = self.folder(service);
        self.connection.read(|state| state.list(&folder)).await
    }

    async fn view(&self, service: &ServiceName, _attempt: u32) -> Result<Box<dyn View>, StoreError> {
        let folder = self.folder(service);
        let armed = self.connection.read(|state| (state.arm(&folder), state.life)).await;
        let (notify, life) = armed?;
        Ok(Box::new(MemoryView::new(self.connection.clone(), folder, notify, life)))
    }
}

impl Connection {
    /// One read, at one moment.
    pub(crate) async fn read<T>(&self, what: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        let _counted = self.store.count_request();
        self.travel().await;
        let mut what = Some(what);
        loop {
            let (link, power) = (self.link.changed().notified(), self.store.power().notified());
            match self.link.passage(Access::Read) {
                Passage::Fail(error) => return Err(error),
                Passage::Open => {
                    let answer = self.store.with(|state, _| match state.power {
                        Power::Running => what.take().map(|what| Ok(what(state))),
                        Power::Stopped => Some(Err(stopped())),
                        Power::Frozen => None,
                    });
                    if let Some(answer) = answer {
                        return answer;
                    }
                }
                Passage::Wait | Passage::Late | Passage::Mute => {}
            }
            tokio::select! { () = link => {}, () = power => {} }
        }
    }

    /// One write in two steps, as a client does it that reads before it writes: `prepare` reads, `commit` checks again and writes. They are one
    /// step unless the link delivers late. An error means that the write has not taken effect and never will.
    pub(crate) async fn write<P, T>(
        &self,
        access: Access,
        prepare: impl FnOnce(&State) -> P + Send,
        commit: impl FnOnce(&mut State, Instant, P) -> T + Send + 'static,
    ) -> Result<T, StoreError>
    where
        P: Send + 'static,
        T: Send + 'static,
    {
        let _counted = self.store.count_request();
        self.travel().await;
        let mut steps = Some((prepare, commit));
        loop {
            let (link, power) = (self.link.changed().notified(), self.store.power().notified());
            let passage = self.link.passage(access);
            let late = matches!(passage, Passage::Late);
            let arrived = match passage {
                Passage::Fail(error) => return Err(error),
                Passage::Wait => None,
                Passage::Open | Passage::Late | Passage::Mute => self.store.with(|state, now| match state.power {
                    Power::Stopped => Some(Err(stopped())),
                    Power::Frozen => None,
                    Power::Running => steps.take().map(|(prepare, commit)| {
                        let prepared = prepare(state);
                        Ok(if late {
                            Arrived::Late(commit, prepared)
                        } else {
                            Arrived::Done(commit(state, now, prepared))
                        })
                    }),
                }),
            };
            match arrived {
                None => tokio::select! { () = link => {}, () = power => {} },
                Some(Err(error)) => return Err(error),
                Some(Ok(Arrived::Late(commit, prepared))) => {
                    let lost = |_| StoreError::unreachable("the request was lost on its way");
                    return self.hold(commit, prepared).await.map_err(lost);
                }
                Some(Ok(Arrived::Done(answer))) => {
                    if matches!(passage, Passage::Mute) {
                        std::future::pending::<()>().await;
                    }
                    return Ok(answer);
                }
            }
        }
    }

    /// Leaves a write on the way: it is applied when the link releases it, also when nobody waits any more.
    fn hold<P: Send + 'static, T: Send + 'static>(
        &self,
        commit: impl FnOnce(&mut State, Instant, P) -> T + Send + 'static,
        prepared: P,
    ) -> oneshot::Receiver<T> {
        let (answer, answered) = oneshot::channel();
        let commit = Box::new(move |state: &mut State, now: Instant| {
            // Nobody waiting any more is the point of a late delivery.
            let _ = answer.send(commit(state, now, prepared));
        });
        self.link.hold(Held { store: self.store.clone(), commit });
        answered
    }

    async fn travel(&self) {
        self.link.count_request();
        let delay = self.link.current_delay();
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }
}

/// How far a write got.
enum Arrived<T, C, P> {
    Done(T),
    /// Checked, and not yet written.
    Late(C, P),
}

/// The error of every request to a store that was stopped.
pub(crate) fn stopped() -> StoreError {
    StoreError::unreachable("connection refused: the store was stopped, start it")
}
