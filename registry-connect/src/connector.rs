//! From a URL to a handle.

use std::fmt;
use std::pin::Pin;

use registry_core::{Error, Handle};

use crate::options::UrlOption;
use crate::settings::Settings;
use crate::suggest::suggest;
use crate::url::{Url, refused};

/// The schemes that this crate can have, each with the Cargo feature that brings it.
const FEATURES: &[(&str, &str)] =
    &[("consul", "consul"), ("etcd", "etcd"), ("memory", "memory"), ("zookeeper", "zookeeper")];

/// What opens a backend.
pub type Opening = Pin<Box<dyn Future<Output = Result<Handle, Error>> + Send>>;

/// A kind of store that a URL can name: its scheme, its own keys, and what opens it.
#[derive(Clone, Copy)]
pub struct Backend {
    /// The scheme in lower case.
    pub scheme: &'static str,
    /// The options that it has besides those of [`OPTIONS`](crate::OPTIONS).
    pub options: &'static [UrlOption],
    /// Opens a handle.
    pub open: fn(Settings) -> Opening,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// The backends that a URL can name. Programs with an adapter of their own add it; all others call [`connect`](crate::connect).
#[derive(Clone, Debug)]
pub struct Connector {
    backends: Vec<Backend>,
}

impl Connector {
    /// The backends that are compiled in.
    pub fn new() -> Self {
        Self { backends: crate::backends::compiled_in() }
    }

    /// The same, with `backend`, which goes before one of the same scheme.
    #[must_use]
    pub fn with(mut self, backend: Backend) -> Self {
        self.backends.retain(|other| other.scheme != backend.scheme);
        self.backends.push(backend);
        self
    }

    /// The schemes that URLs can have.
    pub fn schemes(&self) -> impl Iterator<Item = &'static str> {
        self.backends.iter().map(|backend| backend.scheme)
    }

    /// Connects to the store that `url` names, on the runtime that this is called on.
    ///
    /// # Errors
    /// `InvalidInput` on the part or key of the URL that cannot be; otherwise what the backend's own `connect` says.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing running.
    pub async fn connect(&self, url: &str) -> Result<Handle, Error> {
        let url = Url::parse(url)?;
        let Some(backend) = self.backends.iter().find(|backend| backend.scheme == url.scheme()) else {
            return Err(self.unknown(url.scheme()));
        };
        (backend.open)(Settings::new(url, backend.options)?).await
    }

    fn unknown(&self, scheme: &str) -> Error {
        let mut schemes: Vec<_> = self.schemes().collect();
        schemes.sort_unstable();
        let compiled_in = if schemes.is_empty() { "none".into() } else { schemes.join(", ") };
        let offence = if let Some((_, feature)) = FEATURES.iter().find(|(name, _)| *name == scheme) {
            format!(
                "`{scheme}` is not compiled in: enable the Cargo feature `{feature}` of registry-connect; compiled in: {compiled_in}"
            )
        } else if let Some(meant) = suggest(scheme, schemes.iter().copied()) {
            format!("`{scheme}` is unknown: did you mean `{meant}`? compiled in: {compiled_in}")
        } else {
            format!("`{scheme}` is unknown; compiled in, each by its Cargo feature: {compiled_in}")
        };
        refused("scheme", offence)
    }
}

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}
