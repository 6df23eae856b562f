//! Registry URLs: what the general URL crates refuse is normal here, several hosts in one authority.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use registry_core::{Error, InvalidField, Secret};

use crate::options::OPTIONS;

/// The longest URL that is accepted, in bytes.
const MAX_URL: usize = 16 * 1024;
/// The longest scheme and host name that are accepted, in bytes.
const MAX_SCHEME: usize = 32;
const MAX_HOST: usize = 253;

/// A parsed registry URL: `scheme://user:password@host:port,host:port/path?key=value&key=value`.
///
/// User, password, path, keys and values are percent-decoded; `+` is a plus. An IPv6 host stands in brackets. Characters that would make
/// the URL ambiguous are refused instead of guessed at: `@`, `/`, `?` and `#` in a user or password are written `%40`, `%2F`, `%3F` and `%23`, and `@` is in a
/// path or key, too.
///
/// `Debug` and `Display` show neither the password nor the value of any key that is not known to be harmless (clause X2), and no error of
/// the parser repeats a piece of the URL that could be part of a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    user: Option<String>,
    password: Option<Secret>,
    hosts: Vec<Host>,
    path: String,
    query: Vec<(String, Secret)>,
}

/// One host of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    name: String,
    port: Option<u16>,
}

impl Host {
    /// The host name or IP address, IPv6 without brackets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, if one was given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]", self.name)?;
        } else {
            f.write_str(&self.name)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Url {
    /// Parses `text`. Whether scheme and keys are known is not looked at.
    ///
    /// # Errors
    /// `InvalidInput` on the part that is wrong: `scheme`, `user`, `password`, `host`, `path` or `query`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_URL {
            return Err(refused("url", format!("has {} bytes, and at most {MAX_URL} are accepted", text.len())));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(refused("scheme", "is missing: a registry URL begins with `scheme://`, as in `memory://demo`"));
        };
        let scheme = parse_scheme(scheme)?;
        if rest.contains('#') {
            return Err(refused("url", "contains `#`, which begins a fragment: in a value it is written `%23`"));
        }
        let (before_query, query) = match rest.split_once('?') {
            Some((before, query)) => (before, query),
            None => (rest, ""),
        };
        let (authority, path) = match before_query.find('/') {
            Some(slash) => before_query.split_at(slash),
            None => (before_query, ""),
        };
        let (user, password, hosts) = match authority.rsplit_once('@') {
            Some((user_info, hosts)) => {
                let (user, password) = parse_user_info(user_info)?;
                (Some(user), password, hosts)
            }
            None => (None, None, authority),
        };
        let (hosts, path, query) = (parse_hosts(hosts)?, parse_path(path)?, parse_query(query)?);
        Ok(Self { scheme, user, password, hosts, path, query })
    }

    /// The scheme in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The decoded user.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The decoded password.
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// The hosts, in their order. None for `scheme://`.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The decoded path with its leading slash, or nothing.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The decoded keys and values of the query, in their order. Any value may be a secret.
    pub fn query(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.query.iter().map(|(key, value)| (key.as_str(), value))
    }
}

impl FromStr for Url {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(user) = &self.user {
            f.write_str(&user.escape_debug().to_string())?;
        }
        if self.password.is_some() {
            f.write_str(":***")?;
        }
        if self.user.is_some() {
            f.write_str("@")?;
        }
        for (place, host) in self.hosts.iter().enumerate() {
            write!(f, "{}{host}", if place == 0 { "" } else { "," })?;
        }
        f.write_str(&self.path.escape_debug().to_string())?;
        for (place, (key, value)) in self.query.iter().enumerate() {
            let mark = if place == 0 { '?' } else { '&' };
            let value = if is_harmless(key) { value.expose().escape_debug().to_string() } else { "***".into() };
            write!(f, "{mark}{}={value}", key.escape_debug())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

/// Whether the value of this key is shown.
fn is_harmless(key: &str) -> bool {
    OPTIONS.iter().any(|option| option.key == key && !option.value.may_be_file())
}

/// The error for a part of a URL. `offence` must not repeat what could be part of a secret.
pub(crate) fn refused(part: &'static str, offence: impl Into<String>) -> Error {
    Error::from(InvalidField::new(part, offence)).in_operation("connect")
}

fn parse_scheme(scheme: &str) -> Result<String, Error> {
    let starts_well = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    if starts_well && scheme.len() <= MAX_SCHEME && scheme.bytes().all(valid) {
        Ok(scheme.to_ascii_lowercase())
    } else {
        Err(refused("scheme", "is no scheme: letters, digits, `+`, `-` and `.` before `://`"))
    }
}

fn parse_user_info(text: &str) -> Result<(String, Option<Secret>), Error> {
    if text.contains('@') {
        return Err(refused("password", "contains `@`: in a user or password it is written `%40`"));
    }
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(Secret::new(decode("password", password)?))),
        None => (text, None),
    };
    if user.is_empty() {
        return Err(refused("user", "is empty before the `@`"));
    }
    Ok((decode("user", user)?, password))
}

fn parse_hosts(text: &str) -> Result<Vec<Host>, Error> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').enumerate().map(|(place, host)| parse_host(place + 1, host)).collect()
}

/// Errors count the hosts instead of repeating them: after a slip in a password a piece of it is taken for a host.
fn parse_host(place: usize, text: &str) -> Result<Host, Error> {
    let refuse = |what: &str| {
        let hint = "in a user or password `@`, `/`, `?` and `#` are percent-encoded";
        refused("host", format!("number {place} {what} ({hint})"))
    };
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inner, after) = rest.split_once(']').ok_or_else(|| refuse("has `[` without `]`"))?;
        let address: Ipv6Addr = inner.parse().map_err(|_| refuse("has no IPv6 address in its brackets"))?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(port),
            None if after.is_empty() => None,
            None => return Err(refuse("goes on after `]` with something else than a port")),
        };
        (address.to_string(), port)
    } else {
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(refuse("has several `:`: an IPv6 address stands in brackets"));
            }
            Some((name, port)) => (name.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        }
    };
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    if name.is_empty() || name.len() > MAX_HOST || !name.bytes().all(valid) {
        return Err(refuse("is no host: 1 to 253 letters, digits, `.`, `-` and `_`"));
    }
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => match digits.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err(refuse("has no port from 1 to 65535 after its `:`")),
        },
        Some(_) => return Err(refuse("has no port from 1 to 65535 after its `:`")),
    };
    Ok(Host { name, port })
}

fn parse_path(text: &str) -> Result<String, Error> {
    unambiguous("path", text)?;
    let path = decode("path", text)?;
    match path.chars().find(|c| c.is_control()) {
        Some(_) => Err(refused("path", "contains a control character")),
        None => Ok(path),
    }
}

fn parse_query(text: &str) -> Result<Vec<(String, Secret)>, Error> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(refused("query", "has a key without `=` (an `&` in a value is written `%26`)"));
            };
            unambiguous("query", key)?;
            if is_harmless(key) {
                unambiguous("query", value)?;
            }
            Ok((decode("query", key)?, Secret::new(decode("query", value)?)))
        })
        .collect()
}

/// Refuses an `@` behind the hosts: what stands before it may be the rest of a password, which would be shown as a path or a key.
fn unambiguous(part: &'static str, text: &str) -> Result<(), Error> {
    if text.contains('@') {
        let meant =
            "contains `@`, which is written `%40` there; in a user or password, `/` is written `%2F` and `?` `%3F`";
        return Err(refused(part, meant));
    }
    Ok(())
}

/// Strict percent-decoding: a `%` without two hexadecimal digits, or bytes that are no UTF-8, are refused.
fn decode(part: &'static str, text: &str) -> Result<String, Error> {
    let complete = |after: &str| after.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(complete) {
        return Err(refused(part, "has a `%` without two hexadecimal digits: a plain `%` is written `%25`"));
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(refused(part, "is no UTF-8 after percent-decoding")),
    }
}
