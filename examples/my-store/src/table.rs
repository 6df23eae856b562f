//! The table: one line a row, read and written as a whole under a lock.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::lock::{lock, replace};
use crate::{left, millis};

/// A table in a folder: `table`, and beside it `lock` and, while it is written, `new`.
#[derive(Clone, Debug)]
pub struct Table(PathBuf);

/// The rows that live, under exclusive access across processes. A change that was not saved, or failed to be, has changed nothing.
#[derive(Debug)]
pub struct Rows {
    /// The rows.
    pub rows: Vec<Row>,
    folder: PathBuf,
    _lock: File,
}

/// One line: `{key}\t{owner}\t{until}\t{value}`. No part contains a tab or a line feed.
#[derive(Debug)]
pub struct Row {
    /// What it is found by.
    pub key: String,
    /// Who wrote it.
    pub owner: String,
    /// In milliseconds since 1970.
    until: u64,
    /// What it says.
    pub value: String,
}

impl Table {
    /// The table in the folder at `path`. Nothing is touched before the first operation.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Waits until nobody else holds the table, and reads it. Cancel safe.
    ///
    /// # Errors
    /// Those of the file system.
    pub async fn rows(&self) -> io::Result<Rows> {
        let lock = lock(&self.0).await?;
        let text = match fs::read(self.0.join("table")) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let rows = text.lines().filter_map(Row::read).filter(|row| left(row.until).is_some()).collect();
        Ok(Rows { rows, folder: self.0.clone(), _lock: lock })
    }
}

impl Rows {
    /// The row of `key`.
    pub fn find(&mut self, key: &str) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.key == key)
    }

    /// Writes the table.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(self) -> io::Result<()> {
        let text: String = self.rows.iter().map(Row::line).collect();
        replace(&self.folder, &self.folder.join("table"), text.as_bytes())
    }
}

impl Row {
    /// A row that lives for so long.
    pub fn new(key: &str, owner: &str, ttl: Duration, value: &[u8]) -> Self {
        let value = String::from_utf8_lossy(value).into();
        let mut row = Self { key: key.to_owned(), owner: owner.to_owned(), until: 0, value };
        row.extend(ttl);
        row
    }

    /// Lets it live for so long from now on.
    pub fn extend(&mut self, ttl: Duration) {
        self.until = millis(SystemTime::now() + ttl);
    }

    /// A line that is none of ours is no row of anybody.
    fn read(line: &str) -> Option<Self> {
        let mut parts = line.splitn(4, '\t');
        let (key, owner) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        Some(Self { key, owner, until: parts.next()?.parse().ok()?, value: parts.next()?.to_owned() })
    }

    fn line(&self) -> String {
        format!("{}\t{}\t{}\t{}\n", self.key, self.owner, self.until, self.value)
    }
}
