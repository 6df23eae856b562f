//! What a proxy counts and looks for.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fault::Direction;
use super::messages::Messages;

/// What has gone through a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted so far.
    pub accepted: u64,
    /// Those of them that the server refused.
    pub refused: u64,
    /// Connections open now.
    pub open: u64,
    /// Bytes read from clients.
    pub to_server: u64,
    /// Bytes read from the server.
    pub to_client: u64,
    /// Reads that wait for their delivery: held ones above all.
    pub waiting: u64,
    /// Requests from clients: messages in HTTP/2 data frames, that is gRPC requests and what is sent on their streams; requests of HTTP/1.1; and
    /// ZooKeeper's requests but for pings. Zero under TLS.
    pub messages: u64,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    accepted: AtomicU64,
    refused: AtomicU64,
    closed: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
    waiting: AtomicU64,
    messages: AtomicU64,
    patterns: Mutex<Vec<Pattern>>,
}

#[derive(Debug)]
struct Pattern {
    bytes: Vec<u8>,
    seen: bool,
}

impl Tally {
    pub(super) fn counts(&self) -> Counts {
        // The closed ones first, so that there are never more of them.
        let closed = self.closed.load(Relaxed);
        let accepted = self.accepted.load(Relaxed);
        Counts {
            accepted,
            refused: self.refused.load(Relaxed),
            open: accepted.saturating_sub(closed),
            to_server: self.to_server.load(Relaxed),
            to_client: self.to_client.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            messages: self.messages.load(Relaxed),
        }
    }

    /// Counts a connection as open for as long as the value lives.
    pub(super) fn connection(&self) -> Open<'_> {
        Open { tally: self, number: self.accepted.fetch_add(1, Relaxed) }
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Counts a read as waiting for as long as the value lives.
    pub(super) fn waiting(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Relaxed);
        Waiting(self)
    }

    pub(super) fn look_for(&self, bytes: Vec<u8>) {
        assert!(!bytes.is_empty(), "no bytes to look for");
        self.patterns().push(Pattern { bytes, seen: false });
    }

    pub(super) fn found(&self) -> Vec<String> {
        let patterns = self.patterns();
        let seen = patterns.iter().filter(|pattern| pattern.seen);
        seen.map(|pattern| String::from_utf8_lossy(&pattern.bytes).into_owned()).collect()
    }

    /// Reads one direction of one connection.
    pub(super) fn scanner(&self, direction: Direction) -> Scanner<'_> {
        Scanner { tally: self, direction, tail: Vec::new(), messages: Messages::default() }
    }

    fn patterns(&self) -> MutexGuard<'_, Vec<Pattern>> {
        self.patterns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Open<'a> {
    tally: &'a Tally,
    /// Counted from 0 as connections are accepted.
    pub(super) number: u64,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.tally.closed.fetch_add(1, Relaxed);
    }
}

pub(super) struct Waiting<'a>(&'a Tally);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

pub(super) struct Scanner<'a> {
    tally: &'a Tally,
    direction: Direction,
    /// The end of what was read before, in which a pattern may have begun.
    tail: Vec<u8>,
    messages: Messages,
}

impl Scanner<'_> {
    pub(super) fn scan(&mut self, bytes: &[u8]) {
        let count = bytes.len() as u64;
        if self.direction == Direction::ToServer {
            self.tally.to_server.fetch_add(count, Relaxed);
            self.tally.messages.fetch_add(self.messages.count(bytes), Relaxed);
        } else {
            self.tally.to_client.fetch_add(count, Relaxed);
        }
        let mut patterns = self.tally.patterns();
        let Some(longest) = patterns.iter().map(|pattern| pattern.bytes.len()).max() else { return };
        self.tail.extend_from_slice(bytes);
        for pattern in patterns.iter_mut().filter(|pattern| !pattern.seen) {
            pattern.seen = self.tail.windows(pattern.bytes.len()).any(|window| window == pattern.bytes);
        }
        let old = self.tail.len().saturating_sub(longest - 1);
        self.tail.drain(..old);
    }
}
