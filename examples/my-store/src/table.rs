//! The table: one line an entry, read and written as a whole under a lock.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use registry_core::store::{Applied, Key, SessionError, StoreError, WriteError, unix_millis};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A table in a folder: `table`, and beside it `lock` and, while it is written, `new`.
#[derive(Clone, Debug)]
pub(crate) struct Table(PathBuf);

/// The rows that live, under exclusive access across processes. It is never held while anything is awaited.
pub(crate) struct Rows {
    pub(crate) rows: Vec<Row>,
    folder: PathBuf,
    _lock: File,
}

/// One line: `{key}\t{owner}\t{until}\t{value}`.
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) owner: String,
    /// In milliseconds since 1970.
    until: u64,
    pub(crate) value: String,
}

/// An error of the file system. A change is made by one rename, so that one that failed has changed nothing.
#[derive(Debug)]
pub(crate) struct Trouble(io::Error);

impl Table {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Waits until nobody else holds the table, and reads it. The wait may be dropped at any moment; core bounds it.
    pub(crate) async fn rows(&self) -> Result<Rows, Trouble> {
        fs::create_dir_all(&self.0)?;
        let lock = File::options().create(true).truncate(false).write(true).open(self.0.join("lock"))?;
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => return Err(Trouble(error.into())),
            }
        }
        let text = match fs::read(self.0.join("table")) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        let now = unix_millis(SystemTime::now());
        let rows = text.lines().filter_map(Row::read).filter(|row| row.until > now).collect();
        Ok(Rows { rows, folder: self.0.clone(), _lock: lock })
    }
}

impl Rows {
    pub(crate) fn find(&mut self, key: &Key) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.key == *key)
    }

    /// Writes the table. Readers see the old one or the new one, also when this process is killed on the way.
    pub(crate) fn save(self) -> Result<(), Trouble> {
        let text: String = self.rows.iter().map(Row::line).collect();
        let new = self.folder.join("new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, self.folder.join("table"))?)
    }
}

impl Row {
    pub(crate) fn new(key: &Key, owner: &str, ttl: Duration, value: &[u8]) -> Self {
        let mut row =
            Self { key: key.clone(), owner: owner.to_owned(), until: 0, value: String::from_utf8_lossy(value).into() };
        row.extend(ttl);
        row
    }

    pub(crate) fn extend(&mut self, ttl: Duration) {
        self.until = unix_millis(SystemTime::now() + ttl);
    }

    /// A line that is none of ours is no entry of anybody.
    fn read(line: &str) -> Option<Self> {
        let mut parts = line.splitn(4, '\t');
        let (key, owner) = (Key::new(parts.next()?), parts.next()?.to_owned());
        Some(Self { key, owner, until: parts.next()?.parse().ok()?, value: parts.next()?.to_owned() })
    }

    /// Neither escaped names nor JSON contain a tab or a line feed.
    fn line(&self) -> String {
        format!("{}\t{}\t{}\t{}\n", self.key, self.owner, self.until, self.value)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

impl From<Trouble> for StoreError {
    fn from(Trouble(error): Trouble) -> Self {
        let text = format!("the table: {error}");
        if error.kind() == io::ErrorKind::PermissionDenied { Self::denied(text) } else { Self::unreachable(text) }
    }
}

impl From<Trouble> for SessionError {
    fn from(trouble: Trouble) -> Self {
        Self::Failed(trouble.into())
    }
}

impl From<Trouble> for WriteError {
    fn from(trouble: Trouble) -> Self {
        Self::Failed { error: trouble.into(), applied: Applied::Never }
    }
}
