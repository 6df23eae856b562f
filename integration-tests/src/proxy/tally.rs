//! What a proxy counts and looks for.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fault::Direction;

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
    /// Messages in HTTP/2 data frames from clients, that is gRPC requests and what is sent on their streams. Zero under TLS.
    pub messages: u64,
    /// Requests of HTTP/1.1. Zero under TLS.
    pub requests: u64,
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
    requests: AtomicU64,
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
            requests: self.requests.load(Relaxed),
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
        Scanner { tally: self, direction, tail: Vec::new(), frames: Frames::default(), lines: Lines::default() }
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
    frames: Frames,
    lines: Lines,
}

impl Scanner<'_> {
    pub(super) fn scan(&mut self, bytes: &[u8]) {
        let count = bytes.len() as u64;
        if self.direction == Direction::ToServer {
            self.tally.to_server.fetch_add(count, Relaxed);
            self.tally.messages.fetch_add(self.frames.messages(bytes), Relaxed);
            self.tally.requests.fetch_add(self.lines.requests(bytes), Relaxed);
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

/// Finds the frames of a client's side of HTTP/2 (RFC 9113, sections 3.4 and 4.1), however they are cut into reads.
#[derive(Default)]
struct Frames {
    preface: usize,
    is_other_protocol: bool,
    header: Vec<u8>,
    payload_left: usize,
}

impl Frames {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const HEADER: usize = 9;
    const DATA: u8 = 0;

    /// How many data frames with a payload begin in these bytes.
    fn messages(&mut self, mut bytes: &[u8]) -> u64 {
        let mut messages = 0;
        while let (Some(&byte), false) = (bytes.first(), self.is_other_protocol) {
            if let Some(&expected) = Self::PREFACE.get(self.preface) {
                self.is_other_protocol = byte != expected;
                self.preface += 1;
                bytes = &bytes[1..];
            } else if self.payload_left > 0 {
                let skipped = self.payload_left.min(bytes.len());
                self.payload_left -= skipped;
                bytes = &bytes[skipped..];
            } else {
                self.header.push(byte);
                bytes = &bytes[1..];
                if let [high, middle, low, kind, ..] = self.header[..]
                    && self.header.len() == Self::HEADER
                {
                    self.payload_left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                    messages += u64::from(kind == Self::DATA && self.payload_left > 0);
                    self.header.clear();
                }
            }
        }
        messages
    }
}

/// Finds the ends of the first lines of requests (RFC 9112, section 3), however they are cut into reads.
#[derive(Default)]
struct Lines {
    matched: usize,
}

impl Lines {
    const END: &[u8] = b" HTTP/1.1\r\n";

    /// How many of them end in these bytes.
    fn requests(&mut self, bytes: &[u8]) -> u64 {
        let mut requests = 0;
        for &byte in bytes {
            // No part of what is looked for is its beginning, but for its first byte.
            self.matched = match Self::END.get(self.matched) {
                Some(&expected) if byte == expected => self.matched + 1,
                _ => usize::from(byte == Self::END[0]),
            };
            if self.matched == Self::END.len() {
                requests += 1;
                self.matched = 0;
            }
        }
        requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_however_they_are_cut() {
        let text = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nPUT /b HTTP/1.1\r\n\r\n HTTP/1. HTTP/1.1\r\n";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let seen: u64 = text.chunks(size).map(|chunk| lines.requests(chunk)).sum();
            assert_eq!(seen, 3, "in pieces of {size}");
        }
    }
}
