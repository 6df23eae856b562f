//! Exclusive access across processes.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Waits until nobody else holds the lock of `folder`, which is made when it is not there. Cancel safe. The lock ends when the file is dropped.
pub(crate) async fn lock(folder: &Path) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    let file = File::options().create(true).truncate(false).write(true).open(folder.join("lock"))?;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes a file. Readers see the old bytes or the new ones, also when this process is killed on the way. The caller holds the lock of `folder`.
pub(crate) fn replace(folder: &Path, file: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = folder.join("new");
    fs::write(&new, bytes)?;
    fs::rename(new, file)
}
