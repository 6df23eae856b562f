//! TLS to a store: what a caller configures, and what an adapter makes connections from.

use crate::error::{ErrorKind, InvalidField};
use crate::secret::{Material, Secret};
use crate::store::StoreError;

/// TLS to a store. Files are read again for each new session, and once when the store denies something, so that rotated ones are picked up
/// (clause X1). `Debug` shows no secret.
///
/// ```
/// use registry_core::{Material, Tls};
///
/// let tls = Tls::new()
///     .with_ca(Material::File("/etc/store/ca.pem".into()))
///     .with_identity(Material::File("/etc/me/cert.pem".into()), Material::File("/etc/me/key.pem".into()));
/// # let _ = tls;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// The certificates, in PEM form, of the authorities that may sign the server's. `None`: those of the operating system.
    pub ca: Option<Material>,
    /// Our certificate, in PEM form, with its chain, for mutual TLS. Goes with [`key`](Self::key).
    pub certificate: Option<Material>,
    /// The private key of our certificate, in PEM form.
    pub key: Option<Material>,
    /// The name that the server's certificate must bear. `None`: the host that is dialled.
    pub server_name: Option<String>,
}

impl Tls {
    /// TLS that trusts the authorities of the operating system and shows no certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, trusting these authorities alone.
    #[must_use]
    pub fn with_ca(mut self, ca: Material) -> Self {
        self.ca = Some(ca);
        self
    }

    /// The same, with a certificate of ours (mutual TLS).
    #[must_use]
    pub fn with_identity(mut self, certificate: Material, key: Material) -> Self {
        self.certificate = Some(certificate);
        self.key = Some(key);
        self
    }

    /// The same, with the name that the server's certificate must bear.
    #[must_use]
    pub fn with_server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Refuses what no store could work with. For adapters, when options are checked; it reads no file.
    ///
    /// # Errors
    /// The offending option, by its key in a URL.
    pub fn check(&self) -> Result<(), InvalidField> {
        match (&self.certificate, &self.key) {
            (Some(_), None) => Err(InvalidField::new("key", "is missing for the certificate")),
            (None, Some(_)) => Err(InvalidField::new("cert", "is missing for the key")),
            _ if self.server_name.as_deref() == Some("") => Err(InvalidField::new("server_name", "is empty")),
            _ => Ok(()),
        }
    }

    /// Whether it names a file, which may say something else by now.
    pub fn has_files(&self) -> bool {
        [&self.ca, &self.certificate, &self.key].into_iter().flatten().any(Material::is_file)
    }

    /// The PEM texts, read from their files now. For adapters, at each new session.
    ///
    /// # Errors
    /// `Misconfigured`, with the file where there is one, when a text cannot be read or is no PEM. Never its content.
    pub fn read(&self) -> Result<TlsTexts, StoreError> {
        let ca = self.ca.as_ref().map(|ca| pem(ca, "CA certificate", "CERTIFICATE-----")).transpose()?;
        let identity = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some((
                pem(certificate, "client certificate", "CERTIFICATE-----")?,
                pem(key, "client key", "PRIVATE KEY-----")?,
            )),
            _ => None,
        };
        Ok(TlsTexts { ca, identity, server_name: self.server_name.clone() })
    }
}

/// The PEM texts of a [`Tls`], as they stood in options and files at one moment: equal when nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsTexts {
    /// The authorities that may sign the server's certificate; `None` for those of the operating system.
    pub ca: Option<Secret>,
    /// Our certificate and its key.
    pub identity: Option<(Secret, Secret)>,
    /// The name that the server's certificate must bear; `None` for the host that is dialled.
    pub server_name: Option<String>,
}

fn pem(material: &Material, what: &str, mark: &str) -> Result<Secret, StoreError> {
    let text = material.read_as(what)?;
    if text.expose().contains(mark) {
        return Ok(text);
    }
    let place = match material {
        Material::File(path) => format!(" in {}", path.display()),
        Material::Inline(_) => String::new(),
    };
    Err(StoreError::new(
        ErrorKind::Misconfigured,
        format!("the {what}{place} is no PEM: give a text with a `-----BEGIN … {mark}` line"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiger() -> Material {
        Material::Inline(Secret::new("tiger"))
    }

    #[test]
    fn what_cannot_work_is_refused_by_its_key() {
        let refused = |tls: Tls| tls.check().unwrap_err().field();
        assert_eq!(refused(Tls { certificate: Some(tiger()), ..Tls::new() }), "key");
        assert_eq!(refused(Tls { key: Some(tiger()), ..Tls::new() }), "cert");
        assert_eq!(refused(Tls::new().with_server_name("")), "server_name");
        assert!(Tls::new().with_identity(tiger(), tiger()).with_server_name("a").check().is_ok());
    }

    #[test]
    fn a_text_that_is_no_pem_is_misconfigured_and_not_shown() {
        for tls in [Tls::new().with_ca(tiger()), Tls::new().with_identity(tiger(), tiger())] {
            let error = tls.read().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured);
            assert!(error.message().contains("no PEM") && !error.message().contains("tiger"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named_with_what_it_was_to_be() {
        let tls = Tls::new().with_ca(Material::File("/no/such/ca.pem".into()));
        assert!(tls.has_files() && !Tls::new().with_ca(tiger()).has_files());
        let error = tls.read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.message().starts_with("the CA certificate: the file /no/such/ca.pem"), "{error}");
    }

    #[test]
    fn no_secret_is_shown() {
        let pem = |mark: &str| Material::Inline(Secret::new(format!("-----BEGIN {mark}-----\ntiger")));
        let tls = Tls::new().with_ca(pem("CERTIFICATE")).with_identity(pem("CERTIFICATE"), pem("PRIVATE KEY"));
        assert!(!format!("{tls:?} {:?}", tls.read().unwrap()).contains("tiger"));
    }
}
