//! What can be wrong with a link.

use std::time::Duration;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What clients send.
    ToServer,
    /// What the server answers.
    ToClient,
    /// Both ways.
    Both,
}

/// What is wrong with all links of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Bytes take this much longer, on each way that is named.
    Latency(Direction, Duration),
    /// Bytes vanish, and nobody is told: both ways this is a cut cable, `ToClient` an answer that is lost after the request was carried out.
    /// Neither end sees the other close. When this ends, connections that lost bytes are reset; so are those that were opened while their
    /// requests could not pass.
    Lose(Direction),
    /// Bytes are kept, in order, and delivered when this ends, one read after the other with a short pause between: so a request is carried
    /// out although its cancellation, or the end of the connection, was held behind it. Up to 1 MiB a connection and direction; then the sender
    /// is stalled.
    Hold(Direction),
    /// Open connections are reset, and so are new ones.
    Reset,
    /// Open connections are closed, and new ones are closed as soon as they are accepted.
    AcceptAndClose,
}

/// What is in force on a proxy: a fault, and possibly another for connections that are older than some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) fault: Fault,
    pub(crate) left_behind: Option<LeftBehind>,
}

/// The connections whose client was told that they ended, while what they hold is still on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeftBehind {
    /// Connections are numbered as they are accepted; these are the ones below.
    pub(crate) below: u64,
    pub(crate) fault: Fault,
}

impl Setting {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, left_behind: None }
    }

    /// What is wrong with the connection of this number.
    pub(crate) fn on(&self, connection: u64) -> Fault {
        match self.left_behind {
            Some(old) if connection < old.below => old.fault,
            _ => self.fault,
        }
    }

    pub(crate) fn leaves_behind(&self, connection: u64) -> bool {
        self.left_behind.is_some_and(|old| connection < old.below)
    }
}

impl Direction {
    pub(crate) fn covers(self, other: Self) -> bool {
        self == Self::Both || self == other
    }
}

impl Fault {
    pub(crate) fn loses(self, direction: Direction) -> bool {
        matches!(self, Self::Lose(lost) if lost.covers(direction))
    }

    pub(crate) fn latency(self, direction: Direction) -> Option<Duration> {
        match self {
            Self::Latency(delayed, latency) if delayed.covers(direction) => Some(latency),
            _ => None,
        }
    }

    pub(crate) fn holds(self, direction: Direction) -> bool {
        matches!(self, Self::Hold(held) if held.covers(direction))
    }
}
