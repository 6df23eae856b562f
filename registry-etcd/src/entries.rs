//! From what stands in etcd to entries of a service.

use registry_core::ServiceName;
use registry_core::store::{Found, JsonRecord, Key, Malformed};

use crate::transport::Stored;

/// The entry, or `None` for a key that belongs to no entry of this folder: one of another prefix that begins with this folder.
pub(crate) fn found(service: &ServiceName, folder: &str, stored: &Stored) -> Option<Found> {
    let Ok(key) = std::str::from_utf8(&stored.key) else {
        let key = Key::new(String::from_utf8_lossy(&stored.key).into_owned());
        return Some(Found::malformed(key, Malformed("the key is no UTF-8".into())));
    };
    if !is_entry(key.strip_prefix(folder)?) {
        return None;
    }
    Some(match JsonRecord::decode(service, &stored.value) {
        Ok(instance) => Found::new(Key::new(key), instance, stored.revision.unsigned_abs()),
        Err(why) => Found::malformed(Key::new(key), why),
    })
}

/// The key of an entry that is gone, by the same rule.
pub(crate) fn gone(folder: &str, key: &[u8]) -> Option<Key> {
    let key = String::from_utf8_lossy(key);
    is_entry(key.strip_prefix(folder)?).then(|| Key::new(&*key))
}

/// Whether this is where an instance may stand: `host:port`, or the absolute path of a unix socket. With a separator elsewhere it lies in the namespace of
/// a longer prefix (clause D4).
fn is_entry(rest: &str) -> bool {
    rest.starts_with('/') || !rest.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(key: &[u8], value: &str) -> Stored {
        Stored { key: key.to_vec(), value: value.as_bytes().to_vec(), revision: 7, lease: 0 }
    }

    fn found_at(key: &[u8], value: &str) -> Option<Found> {
        found(&"demo".try_into().unwrap(), "kitex/registry-etcd/demo/", &stored(key, value))
    }

    #[test]
    fn an_entry_that_kitex_wrote_without_brackets_is_read() {
        let value = r#"{"network":"tcp","address":"2001:db8::5:8888","weight":10,"tags":null}"#;
        let found = found_at(b"kitex/registry-etcd/demo/2001:db8::5:8888", value).unwrap();
        assert_eq!(found.instance.unwrap().address().as_str(), "[2001:db8::5]:8888");
        assert_eq!(found.version, 7);
    }

    #[test]
    fn a_key_that_is_no_text_is_malformed() {
        assert!(found_at(b"kitex/registry-etcd/demo/\xff", "{}").is_none_or(|found| found.instance.is_err()));
    }

    #[test]
    fn entries_of_a_longer_prefix_are_not_ours() {
        let value = r#"{"network":"tcp","address":"10.0.0.5:8888","weight":10,"tags":null}"#;
        assert!(found_at(b"kitex/registry-etcd/demo/other/10.0.0.5:8888", value).is_none());
        assert!(gone("kitex/registry-etcd/demo/", b"kitex/registry-etcd/demo/other/10.0.0.5:8888").is_none());
    }

    #[test]
    fn a_socket_path_is_an_entry() {
        assert!(gone("p/demo/", b"p/demo//run/echo.sock").is_some());
    }
}
