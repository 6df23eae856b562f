//! Finds the requests in what clients send, however it is cut into reads.

/// Counts the requests of one connection. What protocol it is shows in its first bytes.
#[derive(Debug, Default)]
pub(super) enum Messages {
    /// Nothing was read yet.
    #[default]
    Silent,
    /// HTTP/2, which begins with its preface, or else HTTP/1.1.
    Http(Http2, Http1),
    /// ZooKeeper's client protocol: frames after their length, so that the first byte is 0.
    ZooKeeper(ZooKeeper),
}

impl Messages {
    /// How many requests these bytes complete.
    pub(super) fn count(&mut self, bytes: &[u8]) -> u64 {
        if let (Self::Silent, Some(first)) = (&*self, bytes.first()) {
            *self = match first {
                0 => Self::ZooKeeper(ZooKeeper::default()),
                _ => Self::Http(Http2::default(), Http1::default()),
            };
        }
        match self {
            Self::Silent => 0,
            Self::Http(frames, lines) => {
                let messages = frames.count(bytes);
                if frames.is_other_protocol { lines.count(bytes) } else { messages }
            }
            Self::ZooKeeper(frames) => frames.count(bytes),
        }
    }
}

/// The frames of a client's side of HTTP/2 (RFC 9113, sections 3.4 and 4.1). A data frame with a payload counts: a request, or what is sent on
/// a stream.
#[derive(Debug, Default)]
pub(super) struct Http2 {
    preface: usize,
    is_other_protocol: bool,
    header: Vec<u8>,
    payload_left: usize,
}

impl Http2 {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const HEADER: usize = 9;
    const DATA: u8 = 0;

    fn count(&mut self, mut bytes: &[u8]) -> u64 {
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

/// The ends of the first lines of requests (RFC 9112, section 3).
#[derive(Debug, Default)]
pub(super) struct Http1 {
    matched: usize,
}

impl Http1 {
    const END: &[u8] = b" HTTP/1.1\r\n";

    fn count(&mut self, bytes: &[u8]) -> u64 {
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

/// The frames of ZooKeeper's clients (`zookeeper.jute`). Each counts but for the pings of the connection itself, as those of HTTP/2 do not count
/// either.
#[derive(Debug, Default)]
pub(super) struct ZooKeeper {
    /// The length of the frame, the number of the request and its kind.
    header: Vec<u8>,
    payload_left: usize,
}

impl ZooKeeper {
    const HEADER: usize = 12;
    const PING: i32 = 11;

    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut messages = 0;
        while let Some(&byte) = bytes.first() {
            if self.payload_left > 0 {
                let skipped = self.payload_left.min(bytes.len());
                self.payload_left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            self.header.push(byte);
            bytes = &bytes[1..];
            if let [a, b, c, d, _, _, _, _, e, f, g, h] = self.header[..] {
                let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                self.payload_left = length.saturating_sub(Self::HEADER - 4);
                messages += u64::from(i32::from_be_bytes([e, f, g, h]) != Self::PING);
                self.header.clear();
            }
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_http_1_are_counted_however_they_are_cut() {
        let text = b"PUT /a HTTP/1.1\r\nHost: h\r\n\r\nPUT /b HTTP/1.1\r\n\r\n HTTP/1. HTTP/1.1\r\n";
        for size in 1..text.len() {
            let mut messages = Messages::default();
            let seen: u64 = text.chunks(size).map(|chunk| messages.count(chunk)).sum();
            assert_eq!(seen, 3, "in pieces of {size}");
        }
    }
}
