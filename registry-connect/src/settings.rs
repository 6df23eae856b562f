//! A URL's options, checked against a backend's keys.

use std::collections::BTreeMap;
use std::time::Duration;

use registry_core::{Error, HandleOptions, Material, Secret, Tls};

use crate::options::{OPTIONS, UrlOption, ValueKind, duration, flag};
use crate::suggest::suggest;
use crate::url::{Url, refused};

/// What a backend is opened with: the URL, and the values of the options that it has, parsed and checked.
#[derive(Clone, Debug)]
pub struct Settings {
    url: Url,
    values: Values,
}

type Values = BTreeMap<&'static str, Value>;

#[derive(Clone, Debug)]
enum Value {
    Duration(Duration),
    Flag(bool),
    Text(String),
    Material(Material),
}

impl Settings {
    /// Checks the keys and values of `url` against [`OPTIONS`] and the backend's `own` options. User and password of the authority count as
    /// the options `user` and `password`.
    ///
    /// # Errors
    /// `InvalidInput` on the key that is unknown, stands twice, or has a value of the wrong kind.
    pub fn new(url: Url, own: &[UrlOption]) -> Result<Self, Error> {
        let known: Vec<&UrlOption> =
            OPTIONS.iter().filter(|option| option.applies_to(url.scheme())).chain(own).collect();
        let mut values = Values::new();
        let authority = [("user", url.user()), ("password", url.password().map(Secret::expose))];
        for (key, value) in authority {
            let Some(value) = value else { continue };
            let Some(option) = known.iter().find(|option| option.key == key) else {
                return Err(refused(key, format!("is given, but `{}` has none: leave it out", url.scheme())));
            };
            add(&mut values, option, key, value)?;
        }
        let mut before: Option<&UrlOption> = None;
        for (key, value) in url.query() {
            let Some(option) = known.iter().find(|option| option.is_named(key)) else {
                return Err(unknown(&url, key, before, &known));
            };
            add(&mut values, option, key, value.expose())?;
            before = Some(option);
        }
        Ok(Self { url, values })
    }

    /// The URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The timings: `defaults`, with what the URL says instead.
    ///
    /// # Errors
    /// `InvalidInput` on the key whose value is out of range.
    pub fn handle_options(&self, defaults: HandleOptions) -> Result<HandleOptions, Error> {
        let mut options = defaults;
        let durations = [
            ("ttl", &mut options.ttl),
            ("operation_timeout", &mut options.operation_timeout),
            ("attempt_timeout", &mut options.attempt_timeout),
            ("backoff_cap", &mut options.backoff_cap),
            ("audit_interval", &mut options.audit_interval),
        ];
        for (key, field) in durations {
            *field = self.duration(key).unwrap_or(*field);
        }
        options.removal_grace = self.duration("removal_grace").or(options.removal_grace);
        options.lazy = self.flag("lazy").unwrap_or(options.lazy);
        options.validate().map_err(|invalid| Error::from(invalid).in_operation("connect"))?;
        Ok(options)
    }

    /// The TLS of the keys `ca`, `cert`, `key` and `server_name`; `None` for plaintext, which it is when there is none of them and `tls` does not ask
    /// for it. Whether they go together is the adapter's to check.
    ///
    /// # Errors
    /// `InvalidInput` on `tls` when it says no and another of these keys is there.
    pub fn tls(&self) -> Result<Option<Tls>, Error> {
        let mut tls = Tls::new();
        tls.ca = self.material("ca").cloned();
        tls.certificate = self.material("cert").cloned();
        tls.key = self.material("key").cloned();
        tls.server_name = self.text("server_name").map(str::to_owned);
        let configured = tls != Tls::new();
        match self.flag("tls") {
            Some(false) if configured => {
                Err(refused("tls", "is `false`, but there is a key that wants it: leave out one of them"))
            }
            said => Ok(said.unwrap_or(configured).then_some(tls)),
        }
    }

    /// The value of an option of kind [`ValueKind::Duration`], if the URL has it.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        match self.values.get(key)? {
            Value::Duration(duration) => Some(*duration),
            _ => None,
        }
    }

    /// The value of an option of kind [`ValueKind::Flag`], if the URL has it.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.values.get(key)? {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The value of an option of kind [`ValueKind::Text`], if the URL has it.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of an option of kind [`ValueKind::Secret`] or [`ValueKind::Pem`], if the URL has it or its file.
    pub fn material(&self, key: &str) -> Option<&Material> {
        match self.values.get(key)? {
            Value::Material(material) => Some(material),
            _ => None,
        }
    }
}

/// Checks one value and keeps it. `key` is the option's own, or the one of its file.
fn add(values: &mut Values, option: &UrlOption, key: &str, text: &str) -> Result<(), Error> {
    let wrong = |wanted: &str| Err(refused(option.key, format!("the value of `{}` is no {wanted}", option.key)));
    let value = match option.value {
        _ if text.is_empty() => return Err(refused(option.key, format!("`{}` has no value", option.key))),
        ValueKind::Duration => match duration(text) {
            Some(duration) => Value::Duration(duration),
            None => return wrong("duration: a whole number and a unit, as in `500ms`, `15s`, `2m` or `1h`"),
        },
        ValueKind::Flag => match flag(text) {
            Some(flag) => Value::Flag(flag),
            None => return wrong("flag: `true` or `false`"),
        },
        ValueKind::Text => Value::Text(text.to_owned()),
        ValueKind::Secret | ValueKind::Pem if option.is_file(key) => Value::Material(Material::File(text.into())),
        ValueKind::Secret | ValueKind::Pem => Value::Material(Material::Inline(Secret::new(text))),
    };
    match values.insert(option.key, value) {
        None => Ok(()),
        Some(_) => Err(refused(option.key, format!("`{}` is given twice: leave one out", option.key))),
    }
}

/// The error of an unknown key. A key behind a secret may be a piece of it, after an `&` that was not encoded: it is not repeated.
fn unknown(url: &Url, key: &str, before: Option<&UrlOption>, known: &[&UrlOption]) -> Error {
    let files = known.iter().filter(|option| option.value.may_be_file()).map(|option| format!("{}_file", option.key));
    let mut keys: Vec<String> = known.iter().map(|option| option.key.to_owned()).chain(files).collect();
    keys.sort_unstable();
    let listed = format!("`{}` has: {}", url.scheme(), keys.join(", "));
    let plain = key.len() <= 40 && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let offence = match before.filter(|option| option.value.may_be_file()) {
        Some(secret) => {
            format!("has an unknown key after `{}` (an `&` in a value is written `%26`); {listed}", secret.key)
        }
        None if !plain => format!("has an unknown key; {listed}"),
        None => match suggest(key, keys.iter().map(String::as_str)) {
            Some(meant) => format!("has the unknown key `{key}`: did you mean `{meant}`? {listed}"),
            None => format!("has the unknown key `{key}`; {listed}"),
        },
    };
    refused("query", offence)
}
