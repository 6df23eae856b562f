//! The table of all URL options.

use std::time::Duration;

/// What the value of an option is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueKind {
    /// A whole number and a unit: `500ms`, `15s`, `2m` or `1h`.
    Duration,
    /// `true` or `false`.
    Flag,
    /// Any text.
    Text,
    /// A secret. The same key with `_file` at its end names a file that has it.
    Secret,
    /// A certificate or a key in PEM form. The same key with `_file` at its end names a file that has it.
    Pem,
}

impl ValueKind {
    /// How the documentation calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Duration => "duration",
            Self::Flag => "`true` or `false`",
            Self::Text => "text",
            Self::Secret => "secret, also as `…_file`",
            Self::Pem => "PEM, also as `…_file`",
        }
    }

    /// Whether the value may stand in a file, named by the key with `_file` at its end.
    pub fn may_be_file(self) -> bool {
        matches!(self, Self::Secret | Self::Pem)
    }
}

/// One option of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlOption {
    /// The key in the query.
    pub key: &'static str,
    /// What its value is.
    pub value: ValueKind,
    /// What holds without it.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// The schemes that have it; none for every scheme.
    pub schemes: &'static [&'static str],
}

impl UrlOption {
    /// Whether URLs of `scheme` have this option.
    pub fn applies_to(&self, scheme: &str) -> bool {
        self.schemes.is_empty() || self.schemes.contains(&scheme)
    }

    /// Whether `key` is this option's key, or names its file.
    pub(crate) fn is_named(&self, key: &str) -> bool {
        key == self.key || self.is_file(key)
    }

    /// Whether `key` names this option's file.
    pub(crate) fn is_file(&self, key: &str) -> bool {
        self.value.may_be_file() && key.strip_suffix("_file") == Some(self.key)
    }
}

const fn every(key: &'static str, value: ValueKind, default: &'static str, meaning: &'static str) -> UrlOption {
    UrlOption { key, value, default, meaning, schemes: &[] }
}

const WITH_USERS: &[&str] = &["etcd", "zookeeper"];
const CONSUL: &[&str] = &["consul"];
const TLS: &[&str] = &["etcd", "consul"];

const fn only(
    schemes: &'static [&'static str],
    key: &'static str,
    value: ValueKind,
    default: &'static str,
    meaning: &'static str,
) -> UrlOption {
    UrlOption { key, value, default, meaning, schemes }
}

/// All options of the backends of this workspace. The table in the crate's documentation is compared with it by a test.
pub const OPTIONS: &[UrlOption] = &[
    every(
        "ttl",
        ValueKind::Duration,
        "15s",
        "how long an entry outlives an owner that died; 10s on ZooKeeper, 30s on Consul",
    ),
    every("operation_timeout", ValueKind::Duration, "5s", "within what time every call ends"),
    every("attempt_timeout", ValueKind::Duration, "2s", "within what time one attempt of the background work ends"),
    every("backoff_cap", ValueKind::Duration, "2s", "the longest pause between two attempts"),
    every("audit_interval", ValueKind::Duration, "30s", "how often all entries are compared with what is wanted"),
    every(
        "removal_grace",
        ValueKind::Duration,
        "the TTL",
        "how long removals are held back after an outage; on Consul 60s at least",
    ),
    every("lazy", ValueKind::Flag, "false", "whether the handle opens while the store is away"),
    only(WITH_USERS, "user", ValueKind::Text, "none", "who we are; also as `user@` before the hosts"),
    only(
        WITH_USERS,
        "password",
        ValueKind::Secret,
        "none",
        "the user's password; also as `user:password@` before the hosts",
    ),
    only(CONSUL, "token", ValueKind::Secret, "none", "the ACL token"),
    only(
        TLS,
        "tls",
        ValueKind::Flag,
        "whether a key below is given",
        "whether the connection is TLS; `false` with one of these keys is refused",
    ),
    only(TLS, "ca", ValueKind::Pem, "the system's", "the authorities that may sign the server's certificate"),
    only(TLS, "cert", ValueKind::Pem, "none", "our certificate, for mutual TLS; goes with `key`"),
    only(TLS, "key", ValueKind::Pem, "none", "the private key of our certificate"),
    only(TLS, "server_name", ValueKind::Text, "the host", "the name that the server's certificate must bear"),
    only(CONSUL, "dc", ValueKind::Text, "the agent's", "the datacenter in which services are looked for"),
    only(
        CONSUL,
        "consistency",
        ValueKind::Text,
        "consistent",
        "what a read may miss: `consistent`, `leader` (Consul's mode `default`) or `stale`",
    ),
    only(CONSUL, "wait", ValueKind::Duration, "60s", "how long a query waits for a change: 1 s to 60 s"),
    only(
        CONSUL,
        "check",
        ValueKind::Text,
        "ttl",
        "what keeps a registration alive: `ttl`, `tcp`, `http:/path`, `grpc`, `grpc:service` or `none`",
    ),
    only(CONSUL, "check_interval", ValueKind::Duration, "5s", "how often the agent checks, where it does so itself"),
    only(CONSUL, "check_timeout", ValueKind::Duration, "5s", "within what time such a check must be answered"),
    only(
        CONSUL,
        "deregister_after",
        ValueKind::Duration,
        "60s",
        "after how long an entry that is critical all the time is removed; a minute at least",
    ),
];

/// Reads `500ms`, `15s`, `2m` or `1h`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

/// Reads `true` or `false`.
pub(crate) fn flag(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn durations_are_a_whole_number_and_a_unit() {
        let seconds = |text| duration(text).map(|d| d.as_secs_f64());
        assert_eq!(
            ["500ms", "15s", "2m", "1h", "0s"].map(seconds),
            [Some(0.5), Some(15.0), Some(120.0), Some(3600.0), Some(0.0)]
        );
        for text in ["", "15", "s", "1.5s", "-1s", "+1s", " 1s", "1 s", "1d", "1S", "١s", "99999999999999999999s"] {
            assert_eq!(duration(text), None, "{text:?}");
        }
        assert_eq!(duration(&format!("{}h", u64::MAX)), None);
    }

    #[test]
    fn no_key_stands_twice() {
        let keys: BTreeSet<_> = OPTIONS.iter().map(|option| option.key).collect();
        assert_eq!(keys.len(), OPTIONS.len());
    }
}
