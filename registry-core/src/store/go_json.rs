//! JSON as Go's `encoding/json` writes it, and the record that Kitex's etcd registry keeps in it.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;

use super::{Malformed, from_unix_millis, unix_millis};
use crate::address::Address;
use crate::info::{DEFAULT_WEIGHT, Info, MAX_ENTRY};
use crate::instance::Instance;
use crate::name::ServiceName;

/// The largest value that is decoded, in bytes. A larger one is malformed: what stands in a store is hostile (clause V2).
pub const MAX_RECORD: usize = MAX_ENTRY;

/// Writes `value` as Go's `encoding/json` does: compact, and with `<`, `>`, `&`, U+2028 and U+2029 escaped (`encoding/json`, `HTMLEscape`).
///
/// Maps keep the order of their iterator: give a `BTreeMap`, as Go sorts keys.
///
/// # Errors
/// When `value` cannot be written as JSON (a map with keys that are no strings).
pub fn to_go_json(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::with_capacity(128);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, GoFormatter))?;
    Ok(bytes)
}

/// `serde_json`'s compact formatter with Go's additional escapes.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, special) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let special_char = special.chars().next().expect("invariant: find returned the place of a character");
            write!(writer, "\\u{:04x}", special_char as u32)?;
            rest = &special[special_char.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// The value that Kitex's etcd registry keeps under `{prefix}/{service}/{host}:{port}` (kitex-contrib/registry-etcd 8bbb757), with our additions.
///
/// A record whose additions are all at their defaults is byte-identical to Go's. Unknown members are ignored.
#[derive(Debug, Serialize, Deserialize)]
pub struct JsonRecord {
    #[serde(default)]
    network: String,
    address: String,
    #[serde(default)]
    weight: i64,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    payload_codec: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_time: Option<u64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    warm_up: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl JsonRecord {
    /// The bytes of `info`.
    pub fn encode(info: &Info) -> Vec<u8> {
        let record = Self {
            network: info.address().network().to_owned(),
            address: info.address().as_str().to_owned(),
            weight: i64::from(info.weight()),
            tags: Some(info.tags().clone()).filter(|tags| !tags.is_empty()),
            payload_codec: info.payload_codec().to_owned(),
            start_time: info.start_time().map(unix_millis),
            warm_up: info.warm_up().as_millis() as u64,
        };
        to_go_json(&record).expect("invariant: strings, numbers and a map with string keys are JSON")
    }

    /// The instance that `bytes` describe, with Kitex's reading rules: a missing network is `tcp`, a weight of 0 or less is the default, `null` tags are
    /// none, an IPv6 address may lack its brackets.
    ///
    /// # Errors
    /// [`Malformed`] for whatever else stands there. Never panics, and allocates no more than a small multiple of the input (clause V2).
    pub fn decode(service: &ServiceName, bytes: &[u8]) -> Result<Instance, Malformed> {
        if bytes.len() > MAX_RECORD {
            return Err(Malformed(format!("{} bytes, more than {MAX_RECORD}", bytes.len())));
        }
        let record: Self = serde_json::from_slice(bytes).map_err(|error| {
            Malformed(format!("no record: {:?} error at column {}", error.classify(), error.column()))
        })?;
        let network = if record.network.is_empty() { "tcp" } else { &record.network };
        let address = Address::new(network, &record.address).map_err(|refused| Malformed(refused.to_string()))?;
        let weight = if record.weight == 0 { i64::from(DEFAULT_WEIGHT) } else { record.weight };
        Ok(Instance::new(service.clone(), address)
            .with_payload_codec(record.payload_codec)
            .with_weight(weight)
            .with_start_time(record.start_time.and_then(from_unix_millis))
            .with_warm_up(Duration::from_millis(record.warm_up))
            .with_tags(record.tags.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn text(info: &Info) -> String {
        String::from_utf8(JsonRecord::encode(info)).unwrap()
    }

    fn demo() -> crate::info::InfoBuilder {
        Info::builder("demo").address("10.0.0.5:8888")
    }

    #[test]
    fn records_are_byte_for_byte_those_of_kitex() {
        let tagged = demo().tag("idc", "hd1").tag("group", "blue").build().unwrap();
        assert_eq!(
            text(&tagged),
            r#"{"network":"tcp","address":"10.0.0.5:8888","weight":10,"tags":{"group":"blue","idc":"hd1"}}"#
        );
        let plain = demo().build().unwrap();
        assert_eq!(text(&plain), r#"{"network":"tcp","address":"10.0.0.5:8888","weight":10,"tags":null}"#);
        let escaped = demo().tag("k", "a<b&c").build().unwrap();
        assert_eq!(
            text(&escaped),
            r#"{"network":"tcp","address":"10.0.0.5:8888","weight":10,"tags":{"k":"a\u003cb\u0026c"}}"#
        );
    }

    #[test]
    fn go_escapes_line_separators_and_control_characters() {
        let info = demo().tag("k", "\u{2028}>\u{2029}\u{1}\t\"é").build().unwrap();
        assert!(text(&info).contains(r#""k":"\u2028\u003e\u2029\u0001\t\"é""#), "{}", text(&info));
    }

    #[test]
    fn every_field_survives_the_round_trip() {
        let info = Info::builder("demo")
            .address(Address::unix("/run/demo.sock").unwrap())
            .weight(u32::MAX)
            .payload_codec("thrift")
            .start_time(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123))
            .warm_up(Duration::from_secs(30))
            .tags([("", "empty key"), ("k", ""), ("quote\"", "\u{0}<&>\u{2028}")])
            .build()
            .unwrap();
        let instance = JsonRecord::decode(info.service(), &JsonRecord::encode(&info)).unwrap();
        assert_eq!(instance, info);
    }

    #[test]
    fn what_go_writes_is_read_with_its_quirks() {
        let service = ServiceName::new("demo").unwrap();
        let read = |json: &str| JsonRecord::decode(&service, json.as_bytes()).unwrap();
        let quirky = read(r#"{"network":"tcp","address":"2001:db8::5:8888","weight":-3,"tags":null,"new":[1]}"#);
        assert_eq!((quirky.address().as_str(), quirky.weight()), ("[2001:db8::5]:8888", 10));
        assert_eq!(read(r#"{"address":"h:1"}"#).weight(), 10);
        assert_eq!(read(r#"{"address":"h:1","weight":99999999999}"#).weight(), u32::MAX);
    }

    #[test]
    fn what_is_no_record_is_malformed() {
        let service = ServiceName::new("demo").unwrap();
        let deep = "[".repeat(10_000);
        let long = format!(r#"{{"address":"h:1","x":"{}"}}"#, "x".repeat(MAX_RECORD));
        for bytes in ["", "null", "{}", "[]", "\u{0}", r#"{"address":"h"}"#, r#"{"address":"0.0.0.0:1"}"#, &deep, &long]
        {
            assert!(JsonRecord::decode(&service, bytes.as_bytes()).is_err(), "{bytes:.40}");
        }
    }
}
