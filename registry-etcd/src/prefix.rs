//! The key prefix, and the keys below it.

use registry_core::{InvalidField, ServiceName};

/// Kitex's prefix (kitex-contrib/registry-etcd 8bbb757).
pub const DEFAULT_PREFIX: &str = "kitex/registry-etcd";

/// The longest prefix that is accepted, in bytes.
const MAX_PREFIX: usize = 512;

/// The first part of every key: not empty, path elements joined by `/`, none of them empty, `.` or `..`.
///
/// With that, no service name can reach into another prefix (clause X3), and `{prefix}//` belongs to no service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefix(String);

impl Prefix {
    pub(crate) fn new(text: &str) -> Result<Self, InvalidField> {
        let refuse = |offence: String| Err(InvalidField::new("prefix", offence));
        if text.len() > MAX_PREFIX {
            return Err(InvalidField::new("prefix", format!("has {} bytes", text.len()))
                .with_limit(format!("at most {MAX_PREFIX} bytes")));
        }
        if let Some(control) = text.chars().find(|c| c.is_control()) {
            return refuse(format!("contains the control character {control:?}"));
        }
        match text.split('/').find(|element| matches!(*element, "" | "." | "..")) {
            Some("") => refuse("is empty, or has an empty path element: leave slashes out at its start and end".into()),
            Some(element) => refuse(format!("has the path element `{element}`")),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// What the keys of a service begin with, the separator included.
    pub(crate) fn folder(&self, service: &ServiceName) -> String {
        format!("{}/{service}/", self.0)
    }

    /// Where sessions keep their fences: outside every service's folder, as no service name is empty.
    pub(crate) fn fence(&self, lease: i64) -> String {
        format!("{}//fence/{lease:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_no_leading_slash_and_one_separator() {
        let prefix = Prefix::new(DEFAULT_PREFIX).unwrap();
        assert_eq!(prefix.folder(&"demo".try_into().unwrap()), "kitex/registry-etcd/demo/");
        assert_eq!(prefix.fence(0x1a2b), "kitex/registry-etcd//fence/0000000000001a2b");
    }

    #[test]
    fn a_prefix_that_could_leave_its_place_is_refused_by_name() {
        let long = "x".repeat(MAX_PREFIX + 1);
        for text in ["", "/a", "a/", "a//b", "a/../b", ".", "a\nb", long.as_str()] {
            assert_eq!(Prefix::new(text).unwrap_err().field(), "prefix", "{text:?}");
        }
    }
}
