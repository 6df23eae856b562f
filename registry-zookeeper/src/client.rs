//! One client of ZooKeeper: core's [`Store`] over the transport.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_core::store::{
    Capabilities, Found, Malformed, OpenRequest, Record, Session, Store, StoreError, Support, View,
};
use registry_core::{Error, Info, InvalidField, Outcome, ServiceName};

use crate::config::Config;
use crate::engine::{Disposable, Engine, Failure, Watch};
use crate::entries;
use crate::session::ZooKeeperSession;
use crate::transport::{Line, Link, all};
use crate::view::ZooKeeperView;

/// How long a removed node may stay away before its removal is reported: a takeover is a delete and a create.
const SETTLE: Duration = Duration::from_millis(500);

/// A client of one ZooKeeper ensemble, below one chroot: what [`Handle`](crate::Handle) drives.
///
/// Made by [`Options::client`](crate::Options::client) for wrappers and tests at the level of single operations; programs use
/// [`connect`](crate::connect). Nothing is sent before the first operation. Clones are one client: closing a handle on one of them closes all.
#[derive(Clone)]
pub struct Client {
    line: Arc<Line>,
}

impl Client {
    pub(crate) fn new(config: Config) -> Self {
        Self::on(Arc::new(Disposable), config)
    }

    pub(crate) fn on(engine: Arc<dyn Engine>, config: Config) -> Self {
        Self { line: Arc::new(Line::new(engine, config)) }
    }

    /// Removes what registrations leave for good below the chroot, and the chroot: the nodes of services, as far as they are empty. Whether nothing is left
    /// is returned: instances stay, and nodes that carry data. For tools that worked below a chroot of their own; a service whose node is removed
    /// while somebody registers gets it again.
    ///
    /// # Errors
    /// `InvalidInput` without a chroot; otherwise what kept the nodes from being listed or removed. What was removed before stays removed.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing running; what was removed stays removed.
    pub async fn prune(&self) -> Result<bool, Error> {
        if self.line.config().chroot.is_empty() {
            let refused = InvalidField::new("hosts", "has no chroot: what stands at the top may be anybody's");
            return Err(Error::from(refused).in_operation("prune"));
        }
        let pruned = self.pruned().await;
        pruned.map_err(|failure| StoreError::from(failure).into_error("prune", Outcome::Unknown))
    }

    async fn pruned(&self) -> Result<bool, Failure> {
        let link = self.line.link().await?;
        let mut folders = vec![self.line.config().chroot.clone()];
        let mut next = 0;
        while let Some(folder) = folders.get(next).cloned() {
            next += 1;
            match link.children(&folder, Watch::None).await {
                Ok(children) => folders.extend(children.iter().map(|child| format!("{folder}/{child}"))),
                Err(Failure::NoNode) => {}
                Err(failure) => return Err(failure),
            }
        }
        let mut clean = true;
        for path in folders.iter().rev() {
            let stat = match link.get(path, Watch::None).await {
                Ok((data, stat)) if data.is_empty() && stat.owner == 0 => stat,
                Err(Failure::NoNode) => continue,
                Ok(_) | Err(Failure::NoAuth) => {
                    clean = false;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            match link.delete(path, stat.version).await {
                Ok(()) | Err(Failure::NoNode) => {}
                Err(Failure::NotEmpty | Failure::BadVersion) => clean = false,
                Err(failure) => return Err(failure),
            }
        }
        Ok(clean)
    }

    async fn listed(&self, service: &ServiceName) -> Result<Vec<Found>, Failure> {
        let link = self.line.link().await?;
        // Nothing older is read than what stood when we were asked (clause D1).
        link.barrier().await?;
        let chroot = &self.line.config().chroot;
        let folder = format!("{chroot}{}", entries::folder(service));
        let children = match link.children(&folder, Watch::None).await {
            Ok(children) => children,
            Err(Failure::NoNode) => {
                may_read(&link, chroot).await?;
                return Ok(Vec::new());
            }
            Err(failure) => return Err(failure),
        };
        let reads = children.iter().map(|child| read(&link, &folder, service, child, Watch::None)).collect();
        let children: Vec<Child> = all(reads).await.into_iter().collect::<Result<_, _>>()?;
        let readable = children.iter().any(|child| matches!(child, Child::Readable(_)));
        if !readable && children.iter().any(Child::is_denied) {
            return Err(Failure::NoAuth);
        }
        Ok(children.into_iter().filter_map(Child::found).collect())
    }
}

/// Fails when we may not read below the chroot. A service that is not there does not tell: anybody is answered that.
pub(crate) async fn may_read(link: &Link, chroot: &str) -> Result<(), Failure> {
    let top = if chroot.is_empty() { "/" } else { chroot };
    match link.get(top, Watch::None).await {
        Ok(_) | Err(Failure::NoNode) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// What the read of one instance's node tells.
pub(crate) enum Child {
    Gone,
    Readable(Found),
    /// One that we may not read: it hides nothing else (clause D3). Where we may read none of them, the service is denied.
    Denied(Found),
}

impl Child {
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(_))
    }

    pub(crate) fn found(self) -> Option<Found> {
        match self {
            Self::Gone => None,
            Self::Readable(found) | Self::Denied(found) => Some(found),
        }
    }
}

pub(crate) async fn read(
    link: &Link,
    folder: &str,
    service: &ServiceName,
    child: &str,
    watch: Watch,
) -> Result<Child, Failure> {
    match link.get(&format!("{folder}/{child}"), watch).await {
        Ok((data, stat)) => Ok(Child::Readable(entries::found(service, child, &data, stat.modified))),
        Err(Failure::NoNode) => Ok(Child::Gone),
        Err(Failure::NoAuth) => {
            let why = Malformed("ZooKeeper does not permit us to read it".into());
            Ok(Child::Denied(Found::malformed(entries::key(service, child), why)))
        }
        Err(failure) => Err(failure),
    }
}

#[async_trait]
impl Store for Client {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            gap_free_takeover: Support::NotOffered(
                "the client has no transactions: another session's node is deleted and created anew; consumers do not see the gap within the settle time",
            ),
            atomic_withdrawal: Support::NotOffered(
                "a delete is conditional on a node's version alone, and every new node begins at version 0",
            ),
            conditional_writes: Support::NotOffered(
                "a write in place is conditional on a node's version alone, and every new node begins at version 0",
            ),
            write_fencing: Support::NotOffered("nothing stops a create that was sent before its session ended"),
            unix_addresses: Support::NotOffered("Kitex's readers fail on a node that is no host:port"),
            watch_end: Support::NotOffered("the client cannot remove a watch: it is not armed again after it fires"),
            settle: SETTLE,
            ..Capabilities::default()
        }
    }

    fn endpoints(&self) -> Vec<String> {
        self.line.config().hosts.clone()
    }

    fn check_service(&self, service: &ServiceName) -> Result<(), InvalidField> {
        entries::check_service(service, &self.line.config().chroot)
    }

    fn encode(&self, info: &Info) -> Result<Record, InvalidField> {
        entries::record(info, &self.line.config().chroot)
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        if request.attempt > 0 {
            self.line.turn();
        }
        Ok(Arc::new(ZooKeeperSession::open(self.line.clone()).await?))
    }

    async fn list(&self, service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        Ok(self.listed(service).await?)
    }

    async fn view(&self, service: &ServiceName, _attempt: u32) -> Result<Box<dyn View>, StoreError> {
        let link = self.line.link().await?;
        Ok(Box::new(ZooKeeperView::open(link, self.line.config().chroot.clone(), service.clone()).await?))
    }

    fn close(&self) {
        self.line.close();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.line.config();
        f.debug_struct("Client").field("hosts", &config.hosts).field("chroot", &config.chroot).finish_non_exhaustive()
    }
}
