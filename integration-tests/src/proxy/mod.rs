//! A TCP proxy that breaks links in every way that a network does.

mod fault;
mod link;
mod messages;
mod pump;
mod tally;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::bench;

pub use self::fault::{Direction, Fault};
pub use self::tally::Counts;

use self::fault::{LeftBehind, Setting};
use self::link::Link;
use self::tally::Tally;

/// One listener in front of one server, with a [`Fault`] that can be switched at any time and holds for open connections, too.
///
/// It runs on a thread of its own, so that it goes on while the test's runtime is busy or its clock is paused. Dropping it closes the
/// listener and all connections.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    setting: watch::Sender<Setting>,
    upstream: watch::Sender<SocketAddr>,
    resets: broadcast::Sender<()>,
    tally: Arc<Tally>,
    task: AbortHandle,
}

impl FaultProxy {
    /// A proxy in front of `upstream`, on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        Self::start_on((Ipv4Addr::LOCALHOST, 0).into(), upstream).await
    }

    /// A proxy in front of `upstream` that listens at `address`; port 0 is a free one.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn start_on(address: SocketAddr, upstream: SocketAddr) -> io::Result<Self> {
        let listener = bench::on_bench(TcpListener::bind(address)).await?;
        let address = listener.local_addr()?;
        let (setting, settings) = watch::channel(Setting::new(Fault::None));
        let (upstream, upstreams) = watch::channel(upstream);
        // Who misses some of them would have been reset by the first.
        let (resets, _) = broadcast::channel(1);
        let tally = Arc::new(Tally::default());
        let link = Link { settings, upstreams, resets: resets.clone(), tally: tally.clone() };
        let task = bench::runtime().spawn(accept(listener, link)).abort_handle();
        Ok(Self { address, setting, upstream, resets, tally, task })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The fault in force.
    pub fn fault(&self) -> Fault {
        self.setting.borrow().fault
    }

    /// From now on this fault is in force, on open connections and on new ones. What a client or the server sends after this returned is
    /// subject to it.
    pub fn set(&self, fault: Fault) {
        self.setting.send_modify(|setting| {
            setting.fault = fault;
            // They stay left behind, so that none misses it however soon this comes.
            if let Some(old) = &mut setting.left_behind {
                old.fault = fault;
            }
        });
    }

    /// New connections pass from now on, while the fault in force stays on those that are open now. Their clients see them close: what they
    /// had sent stays held, if it was, until the next [`set`](Self::set) or [`heal`](Self::heal), and arrives then.
    pub fn overtake(&self) {
        let below = self.tally.counts().accepted;
        self.setting.send_modify(|setting| {
            setting.left_behind = Some(LeftBehind { below, fault: setting.fault });
            setting.fault = Fault::None;
        });
    }

    /// Ends the fault in force. Held bytes are delivered; connections that lost bytes are reset, for their streams have a hole.
    pub fn heal(&self) {
        self.set(Fault::None);
    }

    /// Resets the connections that are open now, once.
    pub fn reset_connections(&self) {
        // None is open when nobody listens.
        let _ = self.resets.send(());
    }

    /// New connections go to this server.
    pub fn retarget(&self, upstream: SocketAddr) {
        self.upstream.send_replace(upstream);
    }

    /// What has passed so far, lost and held bytes included.
    pub fn counts(&self) -> Counts {
        self.tally.counts()
    }

    /// From now on looks for these bytes in what clients and server send, also across reads.
    pub fn look_for(&self, bytes: impl Into<Vec<u8>>) {
        self.tally.look_for(bytes.into());
    }

    /// Those of the looked-for bytes that were seen, as text.
    pub fn found(&self) -> Vec<String> {
        self.tally.found()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, link: Link) {
    // The links end with this task: a JoinSet that is dropped aborts its tasks.
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => drop(links.spawn(link.clone().carry(client))),
                // Out of file descriptors, or a client that left at once: neither is a reason to stop.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = links.join_next() => {}
        }
    }
}
