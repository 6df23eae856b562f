//! One connection through the proxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpStream;
use tokio::sync::{broadcast, watch};

use super::fault::{Direction, Fault};
use super::pump::{self, Way};
use super::tally::Tally;

/// What each connection of a proxy is made with.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) faults: watch::Receiver<Fault>,
    pub(super) upstreams: watch::Receiver<SocketAddr>,
    pub(super) resets: broadcast::Sender<()>,
    pub(super) tally: Arc<Tally>,
}

/// How a connection ends.
pub(super) enum End {
    /// Both ends see it close.
    Closed,
    /// Both ends see it break.
    Reset,
}

impl Link {
    pub(super) async fn carry(self, mut client: TcpStream) {
        let _open = self.tally.connection();
        if let End::Reset = self.join(&mut client).await {
            // A socket that is closed with no time to linger sends a reset.
            let _ = client.set_zero_linger();
        }
    }

    async fn join(&self, client: &mut TcpStream) -> End {
        let mut resets = self.resets.subscribe();
        let mut faults = self.faults.clone();
        let connecting = async {
            let mut fault = *faults.borrow_and_update();
            match fault {
                Fault::Reset => return Err(End::Reset),
                Fault::AcceptAndClose => return Err(End::Closed),
                _ if !fault.loses(Direction::ToServer) => {
                    let upstream = *self.upstreams.borrow();
                    return TcpStream::connect(upstream).await.map_err(|_| End::Reset);
                }
                _ => {}
            }
            // On a real cut this connection would never have come about: it must not live on afterwards.
            while fault.loses(Direction::ToServer) && faults.changed().await.is_ok() {
                fault = *faults.borrow_and_update();
            }
            Err(End::Reset)
        };
        let connected = tokio::select! {
            connected = connecting => connected,
            _ = resets.recv() => Err(End::Reset),
        };
        match connected {
            Ok(mut server) => {
                let end = self.relay(client, &mut server, resets).await;
                if let End::Reset = end {
                    let _ = server.set_zero_linger();
                }
                end
            }
            Err(end) => end,
        }
    }

    async fn relay(&self, client: &mut TcpStream, server: &mut TcpStream, mut resets: broadcast::Receiver<()>) -> End {
        // A proxy should not add the delays that small writes get.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let torn = AtomicBool::new(false);
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let way = |direction| Way { direction, faults: self.faults.clone(), torn: &torn, tally: &self.tally };
        let both_ways = async {
            let there = pump::pump(from_client, to_server, way(Direction::ToServer));
            let back = pump::pump(from_server, to_client, way(Direction::ToClient));
            match tokio::try_join!(there, back) {
                // Its end was lost as well: neither side may learn it before the fault is over.
                Ok(_) if torn.load(Ordering::Relaxed) => std::future::pending().await,
                Ok(_) => End::Closed,
                Err(pump::Broken) => End::Reset,
            }
        };
        tokio::select! {
            end = both_ways => end,
            end = supervise(self.faults.clone(), &torn) => end,
            _ = resets.recv() => End::Reset,
        }
    }
}

/// Ends the connection when the fault wants it, and when bytes were lost and nothing loses them any more.
async fn supervise(mut faults: watch::Receiver<Fault>, torn: &AtomicBool) -> End {
    loop {
        match *faults.borrow_and_update() {
            Fault::Reset => return End::Reset,
            Fault::AcceptAndClose => return End::Closed,
            Fault::Lose(_) => {}
            _ if torn.load(Ordering::Relaxed) => return End::Reset,
            _ => {}
        }
        if faults.changed().await.is_err() {
            return End::Closed;
        }
    }
}
