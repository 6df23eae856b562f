#![doc = include_str!("../README.md")]

mod folder;
mod lock;
mod table;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

pub use self::folder::{Entry, Folder, Listener, Locked};
pub use self::table::{Row, Rows, Table};

/// The largest file of one entry that is read, in bytes: what is longer is cut off.
const MAX_FILE: u64 = 256 * 1024;

/// A path for a store of this process alone, in memory where there is such a folder: a disk that others keep busy may take longer than a TTL to answer.
pub fn scratch(name: &str) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("{name}-{}", std::process::id()))
}

/// A moment on the wall clock that all processes share, in milliseconds since 1970.
fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The time left until then; none when it is over.
fn left(until: u64) -> Option<Duration> {
    until.checked_sub(millis(SystemTime::now())).filter(|left| *left > 0).map(Duration::from_millis)
}
