//! The shared folder: what stands where, and who may touch it when.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use registry_core::store::{
    Applied, Key, MAX_RECORD, SessionError, SessionId, StoreError, WriteError, from_unix_millis, unix_millis,
};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The files of one namespace: `lock`, `leases/{id}`, `services/{service}/{address}`, and one socket a view in `views/`.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

/// Exclusive access to the folder, across processes; ends when it is dropped. It is never held while anything is awaited.
pub(crate) struct Locked<'a> {
    root: &'a Path,
    _file: File,
}

/// An entry that is alive: `{lease}\n{value}` in its file.
pub(crate) struct Entry {
    /// `None` when nothing keeps it alive.
    pub(crate) lease: Option<SessionId>,
    pub(crate) value: Vec<u8>,
    /// When it dies unless its lease is renewed.
    pub(crate) until: Option<SystemTime>,
}

/// An error of the file system. All changes are made by one rename or removal, so that one that failed has changed nothing.
#[derive(Debug)]
pub(crate) struct Trouble(io::Error);

impl Folder {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self(root)
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }

    /// Waits until nobody else holds the folder. The wait may be dropped at any moment; core bounds it.
    pub(crate) async fn lock(&self) -> Result<Locked<'_>, Trouble> {
        for part in ["leases", "services", "views"] {
            fs::create_dir_all(self.path(part))?;
        }
        let file = File::options().create(true).truncate(false).write(true).open(self.path("lock"))?;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Locked { root: &self.0, _file: file }),
                Err(Errno::WOULDBLOCK) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => return Err(Trouble(error.into())),
            }
        }
    }
}

impl Locked<'_> {
    /// Until when a lease lives; `None` when it has expired or never was.
    pub(crate) fn lease(&self, id: SessionId) -> Option<SystemTime> {
        let text = fs::read_to_string(self.lease_file(id)).ok()?;
        text.parse().ok().and_then(from_unix_millis).filter(|until| *until > SystemTime::now())
    }

    pub(crate) fn extend(&self, id: SessionId, ttl: Duration) -> Result<(), Trouble> {
        self.replace(&self.lease_file(id), unix_millis(SystemTime::now() + ttl).to_string().as_bytes())
    }

    /// What stands under `key`. An entry whose lease is over is none.
    pub(crate) fn entry(&self, key: &Key) -> Result<Option<Entry>, Trouble> {
        let mut bytes = Vec::new();
        match File::open(self.root.join(key.as_str())) {
            Ok(file) => file.take(MAX_RECORD as u64 + 64).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some((lease, value)) = split(&bytes) else {
            return Ok(Some(Entry { lease: None, value: bytes, until: None }));
        };
        let value = value.to_vec();
        Ok(self.lease(lease).map(|until| Entry { lease: Some(lease), value, until: Some(until) }))
    }

    pub(crate) fn write(&self, key: &Key, lease: SessionId, value: &[u8]) -> Result<(), Trouble> {
        let file = self.root.join(key.as_str());
        file.parent().map_or(Ok(()), fs::create_dir_all)?;
        self.replace(&file, &[format!("{:016x}\n", lease.0).as_bytes(), value].concat())?;
        self.wake();
        Ok(())
    }

    pub(crate) fn remove(&self, key: &Key) -> Result<(), Trouble> {
        fs::remove_file(self.root.join(key.as_str()))?;
        self.wake();
        Ok(())
    }

    /// The keys below `folder`, alive or not.
    pub(crate) fn keys(&self, folder: &str) -> Result<Vec<Key>, Trouble> {
        let names = names(&self.root.join(folder))?;
        Ok(names.into_iter().map(|name| Key::new(format!("{folder}/{name}"))).collect())
    }

    /// Ends a lease with all that hangs on it, or clears away after those that have expired.
    pub(crate) fn sweep(&self, ended: Option<SessionId>) -> Result<(), Trouble> {
        for name in names(&self.root.join("leases"))? {
            let id = u64::from_str_radix(&name, 16).map(SessionId).ok();
            if id.is_none_or(|id| Some(id) == ended || self.lease(id).is_none()) {
                fs::remove_file(self.root.join("leases").join(name))?;
            }
        }
        for service in names(&self.root.join("services"))? {
            for key in self.keys(&format!("services/{service}"))? {
                if self.entry(&key)?.is_none() {
                    fs::remove_file(self.root.join(key.as_str()))?;
                }
            }
        }
        self.wake();
        Ok(())
    }

    /// Tells every view that something changed. A view whose queue is full has been told; one that does not listen any more has died.
    fn wake(&self) {
        let Ok(socket) = UnixDatagram::unbound() else { return };
        let views = self.root.join("views");
        for view in names(&views).unwrap_or_default() {
            let told = socket.set_nonblocking(true).and_then(|()| socket.send_to(b"!", views.join(&view)));
            if told.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
                // Whoever comes next tries again.
                let _ = fs::remove_file(views.join(&view));
            }
        }
    }

    fn lease_file(&self, id: SessionId) -> PathBuf {
        self.root.join(format!("leases/{:016x}", id.0))
    }

    /// Readers see the old bytes or the new ones, also when this process is killed on the way.
    fn replace(&self, file: &Path, bytes: &[u8]) -> Result<(), Trouble> {
        let new = self.root.join("new");
        fs::write(&new, bytes)?;
        Ok(fs::rename(new, file)?)
    }
}

/// The names in a folder; none when it is not there.
fn names(folder: &Path) -> Result<Vec<String>, Trouble> {
    match fs::read_dir(folder) {
        Ok(files) => Ok(files.flatten().filter_map(|file| file.file_name().into_string().ok()).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn split(bytes: &[u8]) -> Option<(SessionId, &[u8])> {
    let (lease, value) = bytes.split_at_checked(16)?;
    let lease = u64::from_str_radix(std::str::from_utf8(lease).ok()?, 16).ok()?;
    Some((SessionId(lease), value.strip_prefix(b"\n")?))
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

impl From<Trouble> for StoreError {
    fn from(Trouble(error): Trouble) -> Self {
        let text = format!("the shared folder: {error}");
        if error.kind() == ErrorKind::PermissionDenied { Self::denied(text) } else { Self::unreachable(text) }
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
