//! What a connection is made from: checked options, and credentials read from their files.

use std::time::Duration;

use registry_core::{Address, InvalidField, Material};

use crate::engine::Failure;
use crate::options::Options;

/// ZooKeeper's client port.
const DEFAULT_PORT: u16 = 2181;

/// The checked part of [`Options`] that connections are made from.
#[derive(Debug)]
pub(crate) struct Config {
    /// `host:port`, at least one. Names, or IP addresses with IPv6 in brackets.
    pub(crate) hosts: Vec<String>,
    /// What every path begins with: empty, or `/path` without a slash at its end.
    pub(crate) chroot: String,
    /// The session timeout that is asked for.
    pub(crate) ttl: Duration,
    /// How long one server may take to answer when it is connected to.
    pub(crate) connect_timeout: Duration,
    credentials: Option<(String, Material)>,
}

impl Config {
    pub(crate) fn new(options: &Options) -> Result<Self, InvalidField> {
        let (hosts, chroot) = match options.hosts.find('/') {
            Some(at) => options.hosts.split_at(at),
            None => (&*options.hosts, ""),
        };
        let hosts = hosts.split(',').map(|text| host(text.trim())).collect::<Result<Vec<_>, _>>()?;
        // Of several servers two have their turn in one attempt; one that is alone has nearly all of it, so that it may be as slow here as later on.
        let share = if hosts.len() > 1 { 0.4 } else { 0.8 };
        Ok(Self {
            hosts,
            chroot: checked_chroot(chroot)?,
            ttl: options.handle.ttl,
            connect_timeout: options.handle.attempt_timeout.mul_f64(share).min(options.handle.ttl / 3),
            credentials: options.user.clone().zip(options.password.clone()),
        })
    }

    /// `user:password`, as it stands in options and files now. Files are small and local, so they are read in place.
    pub(crate) fn digest(&self) -> Result<Option<Vec<u8>>, Failure> {
        let Some((user, password)) = &self.credentials else { return Ok(None) };
        let password = password
            .read()
            .map_err(|error| Failure::Misconfigured(format!("the password cannot be read: {}", error.message())))?;
        Ok(Some(format!("{user}:{}", password.expose()).into_bytes()))
    }

    /// Whether the credentials could have changed since the last look.
    pub(crate) fn has_files(&self) -> bool {
        matches!(self.credentials, Some((_, Material::File(_))))
    }
}

fn host(text: &str) -> Result<String, InvalidField> {
    let refuse =
        |offence: String| InvalidField::new("hosts", offence).with_limit("`host`, `host:port` or `[ipv6]:port`");
    if text.is_empty() {
        return Err(refuse("are none, or one of them is empty".into()));
    }
    if text.contains('@') {
        return Err(refuse("contain `@`: user and password are options of their own".into()));
    }
    let bare_ipv6 = text.parse::<std::net::Ipv6Addr>().is_ok();
    let has_port = !bare_ipv6 && text.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let full = match (bare_ipv6, has_port) {
        (true, _) => format!("[{text}]:{DEFAULT_PORT}"),
        (false, true) => text.to_owned(),
        (false, false) => format!("{text}:{DEFAULT_PORT}"),
    };
    let address =
        Address::tcp(&full).map_err(|refused| refuse(format!("contain `{text}`, which {}", refused.offence())))?;
    Ok(address.as_str().to_owned())
}

fn checked_chroot(text: &str) -> Result<String, InvalidField> {
    let refuse = |offence: &str| Err(InvalidField::new("hosts", format!("have a path that {offence}")));
    let path = text.strip_suffix('/').unwrap_or(text);
    if path.len() > 512 {
        return refuse("is longer than 512 bytes");
    }
    if path.split('/').skip(1).any(|element| matches!(element, "" | "." | "..")) {
        return refuse("has an empty element, `.` or `..`");
    }
    if path.chars().any(is_forbidden) {
        return refuse("contains a character that ZooKeeper does not take");
    }
    Ok(path.to_owned())
}

/// Whether ZooKeeper refuses a path with this character (`PathUtils.validatePath` of 3.9; it works on UTF-16, where everything past `\u{ffff}` is made of
/// surrogates, which it refuses).
pub(crate) fn is_forbidden(character: char) -> bool {
    matches!(character, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config, InvalidField> {
        Config::new(&Options::new(text))
    }

    #[test]
    fn hosts_ports_and_chroot_are_told_apart() {
        let config = config("zk-1, zk-2:2182,[2001:db8::5]:2183,::1,10.0.0.5/a/b/").unwrap();
        assert_eq!(config.hosts, ["zk-1:2181", "zk-2:2182", "[2001:db8::5]:2183", "[::1]:2181", "10.0.0.5:2181"]);
        assert_eq!(config.chroot, "/a/b");
        assert_eq!(super::tests::config("zk-1/").unwrap().chroot, "");
    }

    #[test]
    fn what_is_no_connect_string_is_refused_by_name() {
        for text in ["", "a,,b", "a:0", "a:x", "u:p@a", "a/b//c", "a/../b", "a/b\u{7f}"] {
            assert_eq!(config(text).unwrap_err().field(), "hosts", "{text:?}");
        }
    }

    #[test]
    fn a_password_in_the_hosts_is_not_shown() {
        assert!(!config("user:tiger@host").unwrap_err().to_string().contains("tiger"));
    }
}
