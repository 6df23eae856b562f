//! The folder: what stands where, who may touch it when, and who is told.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::lock::{lock, replace};
use crate::{MAX_FILE, left, millis};

/// A folder with leases. An entry lives as long as its lease, or for ever when it names none.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// Exclusive access to the folder, across processes; ends when it is dropped. Every change is one rename or removal: one that failed has changed nothing.
#[derive(Debug)]
pub struct Locked<'a> {
    root: &'a Path,
    _file: File,
}

/// An entry that is alive.
#[derive(Debug)]
pub struct Entry {
    /// `None` when nothing keeps it alive.
    pub lease: Option<u64>,
    /// Its bytes.
    pub value: Vec<u8>,
    /// How long it has left unless its lease is renewed.
    pub left: Option<Duration>,
}

/// Is told each time that somebody changed something.
#[derive(Debug)]
pub struct Listener {
    socket: tokio::net::UnixDatagram,
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`. Nothing is touched before the first operation.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Waits until nobody else holds the folder, which is made when it is not there. Cancel safe.
    ///
    /// # Errors
    /// Those of the file system.
    pub async fn lock(&self) -> io::Result<Locked<'_>> {
        let file = lock(&self.0).await?;
        for part in ["leases", "data", "listeners"] {
            fs::create_dir_all(self.0.join(part))?;
        }
        Ok(Locked { root: &self.0, _file: file })
    }
}

impl Locked<'_> {
    /// The time that a lease has left; `None` when it has expired or never was.
    pub fn lease(&self, id: u64) -> Option<Duration> {
        fs::read_to_string(self.lease_file(id)).ok()?.parse().ok().and_then(left)
    }

    /// Grants or renews a lease.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn extend(&self, id: u64, ttl: Duration) -> io::Result<()> {
        replace(self.root, &self.lease_file(id), millis(SystemTime::now() + ttl).to_string().as_bytes())
    }

    /// What stands under `key`. An entry whose lease is over is none.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn entry(&self, key: &str) -> io::Result<Option<Entry>> {
        let mut bytes = Vec::new();
        match File::open(self.file(key)) {
            Ok(file) => file.take(MAX_FILE).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some((lease, value)) = split(&bytes) else {
            return Ok(Some(Entry { lease: None, value: bytes, left: None }));
        };
        let value = value.to_vec();
        Ok(self.lease(lease).map(|left| Entry { lease: Some(lease), value, left: Some(left) }))
    }

    /// Writes an entry that lives as long as this lease.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, key: &str, lease: u64, value: &[u8]) -> io::Result<()> {
        let file = self.file(key);
        file.parent().map_or(Ok(()), fs::create_dir_all)?;
        replace(self.root, &file, &[format!("{lease:016x}\n").as_bytes(), value].concat())?;
        self.tell();
        Ok(())
    }

    /// Removes an entry.
    ///
    /// # Errors
    /// Those of the file system; also when there is none.
    pub fn remove(&self, key: &str) -> io::Result<()> {
        fs::remove_file(self.file(key))?;
        self.tell();
        Ok(())
    }

    /// The keys that begin with `{part}/`, of entries alive or not.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn keys(&self, part: &str) -> io::Result<Vec<String>> {
        let names = names(&self.file(part))?;
        Ok(names.into_iter().map(|name| format!("{part}/{name}")).collect())
    }

    /// Ends a lease with all that hangs on it, and clears away after those that have expired.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn sweep(&self, ended: Option<u64>) -> io::Result<()> {
        for name in names(&self.root.join("leases"))? {
            let id = u64::from_str_radix(&name, 16).ok();
            if id.is_none_or(|id| Some(id) == ended || self.lease(id).is_none()) {
                fs::remove_file(self.root.join("leases").join(name))?;
            }
        }
        for part in names(&self.root.join("data"))? {
            for key in self.keys(&part)? {
                if self.entry(&key)?.is_none() {
                    fs::remove_file(self.file(&key))?;
                }
            }
        }
        self.tell();
        Ok(())
    }

    /// Whoever changes something from now on tells this listener.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn listen(&self) -> io::Result<Listener> {
        let path = self.root.join(format!("listeners/{:016x}", fastrand::u64(..)));
        Ok(Listener { socket: tokio::net::UnixDatagram::bind(&path)?, path })
    }

    /// Tells every listener. One whose queue is full has been told; one that does not listen any more has died.
    fn tell(&self) {
        let Ok(socket) = UnixDatagram::unbound() else { return };
        let listeners = self.root.join("listeners");
        for name in names(&listeners).unwrap_or_default() {
            let told = socket.set_nonblocking(true).and_then(|()| socket.send_to(b"!", listeners.join(&name)));
            if told.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
                // Whoever comes next tries again.
                let _ = fs::remove_file(listeners.join(&name));
            }
        }
    }

    fn lease_file(&self, id: u64) -> PathBuf {
        self.root.join(format!("leases/{id:016x}"))
    }

    fn file(&self, key: &str) -> PathBuf {
        self.root.join("data").join(key)
    }
}

impl Listener {
    /// Waits until something was changed since the last call. Cancel safe.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn changed(&self) -> io::Result<()> {
        let mut told = [0];
        self.socket.recv(&mut told).await?;
        while self.socket.try_recv(&mut told).is_ok() {}
        Ok(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // What is left over is cleared away by the next writer.
        let _ = fs::remove_file(&self.path);
    }
}

/// The names in a folder; none when it is not there.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(folder) {
        Ok(files) => Ok(files.flatten().filter_map(|file| file.file_name().into_string().ok()).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn split(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (lease, value) = bytes.split_at_checked(16)?;
    let lease = u64::from_str_radix(std::str::from_utf8(lease).ok()?, 16).ok()?;
    Some((lease, value.strip_prefix(b"\n")?))
}
