//! One direction of one connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::fault::{Direction, Setting};
use super::tally::{Tally, Waiting};

/// How much one read takes.
const READ: usize = 16 * 1024;
/// How many reads are kept at most: 1 MiB.
const QUEUE: usize = 64;
/// The pause between reads that were held. A server has then begun with the one before.
const PAUSE: Duration = Duration::from_millis(10);

/// A direction, what is wrong with it, and whether bytes of this connection were lost.
pub(super) struct Way<'a> {
    pub(super) direction: Direction,
    /// Of the connection.
    pub(super) number: u64,
    pub(super) settings: watch::Receiver<Setting>,
    pub(super) torn: &'a AtomicBool,
    pub(super) tally: &'a Tally,
}

/// The connection is broken for both ends.
pub(super) struct Broken;

struct Item<'a> {
    arrived: Instant,
    what: What,
    _waiting: Waiting<'a>,
}

enum What {
    Bytes(Vec<u8>),
    Closed,
    Reset,
}

enum Passage {
    Passes,
    /// It had to wait for a hold to end.
    Released,
    Lost,
}

/// Carries what is read to the other side until both are done.
pub(super) async fn pump(from: ReadHalf<'_>, to: WriteHalf<'_>, way: Way<'_>) -> Result<(), Broken> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let (tally, direction) = (way.tally, way.direction);
    let ((), delivered) = tokio::join!(read(from, sender, tally, direction), deliver(receiver, to, way));
    delivered
}

async fn read<'a>(mut from: ReadHalf<'_>, queue: mpsc::Sender<Item<'a>>, tally: &'a Tally, direction: Direction) {
    let mut scanner = tally.scanner(direction);
    let mut buffer = vec![0; READ];
    loop {
        let what = match from.read(&mut buffer).await {
            Ok(0) => What::Closed,
            Ok(count) => What::Bytes(buffer[..count].to_vec()),
            Err(_) => What::Reset,
        };
        let goes_on = match &what {
            What::Bytes(bytes) => {
                scanner.scan(bytes);
                true
            }
            _ => false,
        };
        let queued = queue.send(Item { arrived: Instant::now(), what, _waiting: tally.waiting() }).await;
        if queued.is_err() || !goes_on {
            return;
        }
    }
}

async fn deliver(mut queue: mpsc::Receiver<Item<'_>>, mut to: WriteHalf<'_>, mut way: Way<'_>) -> Result<(), Broken> {
    let mut settings = way.settings.clone();
    let (number, direction) = (way.number, way.direction);
    let left_behind = async {
        if direction == Direction::ToServer || settings.wait_for(|setting| setting.leaves_behind(number)).await.is_err()
        {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = left_behind => {}
        delivered = deliver_all(&mut queue, &mut to, &mut way) => return delivered,
    }
    // The client takes it for the end, and leaves.
    let _ = to.shutdown().await;
    Ok(())
}

async fn deliver_all(
    queue: &mut mpsc::Receiver<Item<'_>>,
    to: &mut WriteHalf<'_>,
    way: &mut Way<'_>,
) -> Result<(), Broken> {
    while let Some(item) = queue.recv().await {
        let passage = way.passage(item.arrived).await;
        match (passage, item.what) {
            (Passage::Lost, What::Bytes(_)) => {}
            (Passage::Lost, What::Closed | What::Reset) => return Ok(()),
            (passage, What::Bytes(bytes)) => {
                if to.write_all(&bytes).await.is_err() {
                    return way.refused().await;
                }
                if let Passage::Released = passage {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            // Towards a server a reset is a close: it could overtake what was sent before.
            (_, What::Reset) if way.direction == Direction::ToClient => return Err(Broken),
            (_, What::Closed | What::Reset) => {
                let _ = to.shutdown().await;
                return Ok(());
            }
        }
    }
    Ok(())
}

impl Way<'_> {
    /// Waits until an item may pass, or is lost.
    async fn passage(&mut self, arrived: Instant) -> Passage {
        let mut passage = Passage::Passes;
        loop {
            let fault = self.settings.borrow_and_update().on(self.number);
            if fault.loses(self.direction) {
                self.torn.store(true, Ordering::Relaxed);
                return Passage::Lost;
            }
            if fault.holds(self.direction) {
                passage = Passage::Released;
                // Without a proxy the link is aborted.
                let _ = self.settings.changed().await;
                continue;
            }
            let Some(latency) = fault.latency(self.direction) else { return passage };
            tokio::select! {
                () = tokio::time::sleep_until(arrived + latency) => return passage,
                _ = self.settings.changed() => {}
            }
        }
    }

    /// The receiver has gone. A server's end is news for the client, which may be held or lost.
    async fn refused(&mut self) -> Result<(), Broken> {
        if self.direction == Direction::ToClient {
            return Ok(());
        }
        self.direction = Direction::ToClient;
        match self.passage(Instant::now()).await {
            Passage::Lost => Ok(()),
            Passage::Passes | Passage::Released => Err(Broken),
        }
    }
}
