//! Values that must not be shown (clause X2).

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::store::StoreError;

/// The largest file that is taken for a secret or a certificate, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// A text that neither `Debug` nor `Display` shows: both write `***`. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keeps `text` from being shown.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A secret or a certificate: the value itself, or the file that has it.
///
/// A file is named, not read, when options are made: an adapter [reads](Self::read) it again for each new session, so that a rotated
/// credential is taken up without a restart (clause X1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    /// The value itself.
    Inline(Secret),
    /// The value stands in this file.
    File(PathBuf),
}

impl Material {
    /// The value, read from its file now if it has one. Line ends at the end of a file are left out: editors put them there.
    ///
    /// # Errors
    /// `Misconfigured` with the path when the file cannot be read, has more than 1 MiB, or is no UTF-8. Never its content.
    pub fn read(&self) -> Result<Secret, Error> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::File(path) => read_file(path),
        }
    }

    /// [`read`](Self::read), for an adapter's operations: the error begins with what the value was to be, as in `the ACL token: …`.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_as(&self, what: &str) -> Result<Secret, StoreError> {
        self.read()
            .map_err(|error| StoreError::new(ErrorKind::Misconfigured, format!("the {what}: {}", error.message())))
    }

    /// Whether the value stands in a file, which may say something else by now.
    pub fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

fn read_file(path: &Path) -> Result<Secret, Error> {
    let refuse =
        |why: String| Error::new(ErrorKind::Misconfigured, "connect", format!("the file {} {why}", path.display()));
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
    match read {
        Ok(size) if size as u64 > MAX_FILE => Err(refuse(format!("has more than {MAX_FILE} bytes"))),
        Ok(_) => Ok(Secret::new(text.trim_end_matches(['\r', '\n']))),
        Err(error) => Err(refuse(format!("cannot be read: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Material::Inline(Secret::new("tiger"));
        assert_eq!(format!("{secret:?}"), "Inline(***)");
        assert_eq!(secret.read().unwrap().expose(), "tiger");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Material::File("/no/such/file".into()).read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.message().starts_with("the file /no/such/file cannot be read"), "{error}");
    }
}
