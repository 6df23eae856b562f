//! Service names.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::InvalidField;

/// The longest service name that is accepted, in bytes.
///
/// Chosen so that a name fits into one ZooKeeper path element and one etcd key with room for the address.
pub const MAX_SERVICE_NAME: usize = 255;

/// The name of a service: not empty, at most [`MAX_SERVICE_NAME`] bytes, no `/`, no control character, and neither
/// `.` nor `..` (clauses V1, X3). Compared byte by byte: `a` and `A` are two services (clause D4).
///
/// What only one store refuses on top of this, that store's adapter refuses with the same [`InvalidField`].
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName(Arc<str>);

impl ServiceName {
    /// Checks `name`.
    ///
    /// # Errors
    /// [`InvalidField`] on the field `service`.
    pub fn new(name: impl Into<Arc<str>>) -> Result<Self, InvalidField> {
        let name = name.into();
        let refuse = |offence: String| Err(InvalidField::new("service", offence));
        if name.is_empty() {
            return refuse("is empty".into());
        }
        if name.len() > MAX_SERVICE_NAME {
            return Err(InvalidField::new("service", format!("has {} bytes", name.len()))
                .with_limit(format!("at most {MAX_SERVICE_NAME} bytes")));
        }
        if name.contains('/') {
            return refuse("contains `/`, which separates services from addresses in the store".into());
        }
        if let Some(control) = name.chars().find(|c| c.is_control()) {
            return refuse(format!("contains the control character {control:?}"));
        }
        if &*name == "." || &*name == ".." {
            return refuse(format!("is `{name}`, which names a folder, not a service"));
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl FromStr for ServiceName {
    type Err = InvalidField;

    fn from_str(name: &str) -> Result<Self, InvalidField> {
        Self::new(name)
    }
}

impl TryFrom<&str> for ServiceName {
    type Error = InvalidField;

    fn try_from(name: &str) -> Result<Self, InvalidField> {
        Self::new(name)
    }
}

impl TryFrom<String> for ServiceName {
    type Error = InvalidField;

    fn try_from(name: String) -> Result<Self, InvalidField> {
        Self::new(name)
    }
}

impl TryFrom<&ServiceName> for ServiceName {
    type Error = InvalidField;

    fn try_from(name: &ServiceName) -> Result<Self, InvalidField> {
        Ok(name.clone())
    }
}

impl Borrow<str> for ServiceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ServiceName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_kitex_services_are_accepted() {
        for name in ["demo", "a.b.c", "a-b_c", "echo v2", "名前", "%2e%2e", "..."] {
            assert_eq!(ServiceName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn each_refusal_names_the_field() {
        let long = "x".repeat(MAX_SERVICE_NAME + 1);
        for name in ["", "a/b", "/", "a\0b", "a\nb", ".", "..", long.as_str()] {
            assert_eq!(ServiceName::new(name).unwrap_err().field(), "service", "{name:?}");
        }
    }
}
