//! The first part of every key.

use std::fmt;
use std::sync::Arc;

use registry_core::InvalidField;

/// The namespace when none is given.
pub(crate) const DEFAULT: &str = "registry";
const MAX: usize = 255;

/// Path elements joined by `/`, none of them empty, `.` or `..`: so that the place where a key's service begins and ends is certain, and two
/// namespaces share no service even when one is the beginning of the other (clauses D4, X3).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Namespace(Arc<str>);

impl Namespace {
    pub(crate) fn new(text: &str) -> Result<Self, InvalidField> {
        let refuse = |offence: String| Err(InvalidField::new("namespace", offence));
        if text.len() > MAX {
            return Err(InvalidField::new("namespace", format!("has {} bytes", text.len()))
                .with_limit(format!("at most {MAX} bytes")));
        }
        if let Some(control) = text.chars().find(|c| c.is_control()) {
            return refuse(format!("contains the control character {control:?}"));
        }
        if let Some(element) = text.split('/').find(|element| matches!(*element, "" | "." | "..")) {
            return refuse(format!("has the path element {element:?}: write it like `team/registry`"));
        }
        Ok(Self(text.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_elements_are_accepted() {
        for text in [DEFAULT, "a", "kitex/registry-etcd", "名前"] {
            assert_eq!(Namespace::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_could_reach_elsewhere_is_refused() {
        for text in ["", "/", "/a", "a/", "a//b", ".", "a/../b", "a\n", &"x".repeat(MAX + 1)] {
            assert_eq!(Namespace::new(text).unwrap_err().field(), "namespace", "{text:?}");
        }
    }
}
