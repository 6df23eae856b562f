//! Passwords and tokens in files, for handles whose credentials are bad at first.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use registry_conformance::HandleId;
use registry_core::{Error, ErrorKind, Material};

use crate::bench::BenchError;

/// The files of the cases that run, each with what it is to say when it is mended.
#[derive(Clone, Debug, Default)]
pub(super) struct CredentialFiles(Arc<Mutex<Vec<Entry>>>);

#[derive(Debug)]
struct Entry {
    namespace: String,
    handle: HandleId,
    path: PathBuf,
    good: String,
}

impl CredentialFiles {
    /// A file that says `bad` until it is mended.
    pub(super) fn bad(&self, namespace: &str, handle: HandleId, bad: &str, good: &str) -> Result<Material, Error> {
        let name = format!("registry-conformance-{}-{namespace}-{}", std::process::id(), handle.0);
        let path = std::env::temp_dir().join(name);
        let failed = |error: std::io::Error| Error::new(ErrorKind::Other, "connect", error.to_string());
        fs::write(&path, bad).map_err(failed)?;
        let entry = Entry { namespace: namespace.to_owned(), handle, path: path.clone(), good: good.to_owned() };
        self.lock().push(entry);
        Ok(Material::File(path))
    }

    /// From now on the file of this handle says what is right.
    pub(super) fn mend(&self, namespace: &str, handle: HandleId) -> Result<(), BenchError> {
        let files = self.lock();
        let entry = files.iter().find(|entry| entry.namespace == namespace && entry.handle == handle);
        let entry = entry.ok_or_else(|| BenchError::new(format!("handle {} has good credentials", handle.0)))?;
        fs::write(&entry.path, &entry.good).map_err(|error| BenchError::new(error.to_string()))
    }

    /// The case of this namespace is over.
    pub(super) fn finish(&self, namespace: &str) {
        self.lock().retain(|entry| {
            if entry.namespace != namespace {
                return true;
            }
            // One that is not there is removed.
            let _ = fs::remove_file(&entry.path);
            false
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
