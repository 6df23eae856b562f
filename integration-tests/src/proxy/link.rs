//! One connection through the proxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpStream;
use tokio::sync::{broadcast, watch};

use super::fault::{Direction, Fault, Setting};
use super::pump::{self, Way};
use super::tally::Tally;

/// What each connection of a proxy is made with.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) settings: watch::Receiver<Setting>,
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
        let open = self.tally.connection();
        if let End::Reset = self.join(&mut client, open.number).await {
            // A socket that is closed with no time to linger sends a reset.
            let _ = client.set_zero_linger();
        }
    }

    async fn join(&self, client: &mut TcpStream, number: u64) -> End {
        let mut resets = self.resets.subscribe();
        let mut settings = self.settings.clone();
        let connecting = async {
            let mut fault = settings.borrow_and_update().on(number);
            match fault {
                Fault::Reset => return Err(End::Reset),
                Fault::AcceptAndClose => return Err(End::Closed),
                _ if !fault.loses(Direction::ToServer) => {
                    let upstream = *self.upstreams.borrow();
                    return TcpStream::connect(upstream).await.map_err(|_| {
                        self.tally.refused();
                        End::Reset
                    });
                }
                _ => {}
            }
            // On a real cut this connection would never have come about: it must not live on afterwards.
            while fault.loses(Direction::ToServer) && settings.changed().await.is_ok() {
                fault = settings.borrow_and_update().on(number);
            }
            Err(End::Reset)
        };
        let connected = tokio::select! {
            connected = connecting => connected,
            _ = resets.recv() => Err(End::Reset),
        };
        match connected {
            Ok(mut server) => {
                let end = self.relay(client, &mut server, number, resets).await;
                if let End::Reset = end {
                    let _ = server.set_zero_linger();
                }
                end
            }
            Err(end) => end,
        }
    }

    async fn relay(
        &self,
        client: &mut TcpStream,
        server: &mut TcpStream,
        number: u64,
        mut resets: broadcast::Receiver<()>,
    ) -> End {
        // A proxy should not add the delays that small writes get.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let torn = AtomicBool::new(false);
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let way =
            |direction| Way { direction, number, settings: self.settings.clone(), torn: &torn, tally: &self.tally };
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
            end = supervise(self.settings.clone(), number, &torn) => end,
            _ = resets.recv() => End::Reset,
        }
    }
}

/// Ends the connection when the fault wants it, and when bytes were lost and nothing loses them any more.
async fn supervise(mut settings: watch::Receiver<Setting>, number: u64, torn: &AtomicBool) -> End {
    loop {
        match settings.borrow_and_update().on(number) {
            Fault::Reset => return End::Reset,
            Fault::AcceptAndClose => return End::Closed,
            Fault::Lose(_) => {}
            _ if torn.load(Ordering::Relaxed) => return End::Reset,
            _ => {}
        }
        if settings.changed().await.is_err() {
            return End::Closed;
        }
    }
}
