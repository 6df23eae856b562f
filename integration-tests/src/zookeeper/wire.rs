//! ZooKeeper's client protocol, as far as the back door speaks it: frames of big-endian fields after a length (`zookeeper.jute` of ZooKeeper 3.9).

use super::door::Acl;

/// The fields of a message.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn int(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn long(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn flag(mut self, value: bool) -> Self {
        self.0.push(value.into());
        self
    }

    /// A buffer, or a string in UTF-8.
    pub(super) fn bytes(self, value: &[u8]) -> Self {
        let length = i32::try_from(value.len()).expect("invariant: the back door sends little");
        let mut writer = self.int(length);
        writer.0.extend(value);
        writer
    }

    pub(super) fn string(self, value: &str) -> Self {
        self.bytes(value.as_bytes())
    }

    /// A list with one entry.
    pub(super) fn acl(self, acl: &Acl) -> Self {
        self.int(1).int(acl.permissions).string(acl.scheme).string(acl.id)
    }

    pub(super) fn join(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The message with its length in front.
    pub(super) fn frame(self) -> Vec<u8> {
        Self::default().bytes(&self.0).0
    }
}

/// The fields of an answer. Every getter is `None` past its end.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn int(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    pub(super) fn long(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    /// A buffer; one that is null is empty.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.int()?;
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).unwrap_or(0))?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn string(&mut self) -> Option<String> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}
