//! How instances stand in ZooKeeper: Kitex's paths and bytes (kitex-contrib/registry-zookeeper bfdecef), with our additions.

use std::collections::BTreeMap;
use std::time::Duration;

use registry_core::store::{Found, Key, MAX_RECORD, Malformed, Record, from_unix_millis, to_go_json, unix_millis};
use registry_core::{Address, DEFAULT_WEIGHT, Info, Instance, InvalidField, ServiceName};
use serde::{Deserialize, Serialize};

use crate::config::is_forbidden;

/// The data of an instance's node. A record whose additions are all at their defaults is byte-identical to Go's.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Data {
    #[serde(default)]
    weight: i64,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    payload_codec: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_time: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warm_up: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    network: String,
}

/// The path of a service below the chroot.
pub(crate) fn folder(service: &ServiceName) -> String {
    format!("/{service}")
}

/// Refuses a service whose name no path can carry (clauses V1, X3).
pub(crate) fn check_service(service: &ServiceName, chroot: &str) -> Result<(), InvalidField> {
    let refuse = |offence: String| Err(InvalidField::new("service", offence));
    if let Some(character) = service.as_str().chars().find(|character| is_forbidden(*character)) {
        return refuse(format!("contains {character:?}, which ZooKeeper does not take in a path"));
    }
    if chroot.is_empty() && service.as_str() == "zookeeper" {
        return refuse("is `zookeeper`, where ZooKeeper keeps its own nodes: use a chroot, or another name".into());
    }
    Ok(())
}

/// The node of an instance.
pub(crate) fn record(info: &Info, chroot: &str) -> Result<Record, InvalidField> {
    check_service(info.service(), chroot)?;
    let address = info.address();
    if address.host().is_none() {
        return Err(InvalidField::new(
            "address",
            "is a unix socket: Kitex's readers fail on a node that is no `host:port`",
        ));
    }
    if let Some(character) = address.as_str().chars().find(|character| is_forbidden(*character)) {
        return Err(InvalidField::new(
            "address",
            format!("contains {character:?}, which ZooKeeper does not take in a path"),
        ));
    }
    let data = Data {
        weight: i64::from(info.weight()),
        tags: Some(info.tags().clone()).filter(|tags| !tags.is_empty()),
        payload_codec: info.payload_codec().to_owned(),
        start_time: info.start_time().map(unix_millis),
        warm_up: Some(info.warm_up().as_millis() as u64).filter(|warm_up| *warm_up > 0),
        network: Some(address.network()).filter(|network| *network != "tcp").unwrap_or_default().to_owned(),
    };
    let bytes = to_go_json(&data).expect("invariant: strings, numbers and a map with string keys are JSON");
    Record::fitting(Key::new(format!("{}/{address}", folder(info.service()))), bytes, info)
}

/// The entry that a node is: `child` below the service, and its data.
pub(crate) fn found(service: &ServiceName, child: &str, data: &[u8], modified: i64) -> Found {
    let key = key(service, child);
    match decode(service, child, data) {
        Ok(instance) => Found::new(key, instance, modified.unsigned_abs()),
        Err(why) => Found::malformed(key, why),
    }
}

pub(crate) fn key(service: &ServiceName, child: &str) -> Key {
    Key::new(format!("{}/{child}", folder(service)))
}

fn decode(service: &ServiceName, child: &str, data: &[u8]) -> Result<Instance, Malformed> {
    if data.len() > MAX_RECORD {
        return Err(Malformed(format!("{} bytes, more than {MAX_RECORD}", data.len())));
    }
    // An array would do as well, as serde sees it.
    if data.trim_ascii_start().first() != Some(&b'{') {
        return Err(Malformed("no record: no JSON object".into()));
    }
    let data: Data = serde_json::from_slice(data)
        .map_err(|error| Malformed(format!("no record: {:?} error at column {}", error.classify(), error.column())))?;
    let network = match &*data.network {
        "" => "tcp",
        // Its path cannot be the name of a node.
        "unix" => return Err(Malformed("a unix socket, which no node can name".into())),
        network => network,
    };
    let address = Address::new(network, child).map_err(|refused| Malformed(refused.to_string()))?;
    let weight = if data.weight == 0 { i64::from(DEFAULT_WEIGHT) } else { data.weight };
    Ok(Instance::new(service.clone(), address)
        .with_payload_codec(data.payload_codec)
        .with_weight(weight)
        .with_start_time(data.start_time.and_then(from_unix_millis))
        .with_warm_up(Duration::from_millis(data.warm_up.unwrap_or(0)))
        .with_tags(data.tags.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn encoded(info: &Info) -> (String, String) {
        let record = record(info, "").unwrap();
        (record.key().as_str().to_owned(), String::from_utf8(record.value().to_vec()).unwrap())
    }

    fn demo() -> registry_core::InfoBuilder {
        Info::builder("demo").address("10.0.0.5:8888")
    }

    #[test]
    fn paths_and_bytes_are_those_of_kitex() {
        let (path, data) = encoded(&demo().tag("idc", "hd1").tag("group", "blue").build().unwrap());
        assert_eq!(path, "/demo/10.0.0.5:8888");
        assert_eq!(data, r#"{"Weight":10,"Tags":{"group":"blue","idc":"hd1"}}"#);
        assert_eq!(encoded(&demo().build().unwrap()).1, r#"{"Weight":10,"Tags":null}"#);
        let escaped = demo().tag("k", "a<b&c").build().unwrap();
        assert_eq!(encoded(&escaped).1, r#"{"Weight":10,"Tags":{"k":"a\u003cb\u0026c"}}"#);
    }

    #[test]
    fn ipv6_is_written_with_brackets_and_read_without_as_well() {
        let info = Info::builder("demo").address("[2001:db8::5]:8888").build().unwrap();
        assert_eq!(encoded(&info).0, "/demo/[2001:db8::5]:8888");
        let found = found(info.service(), "2001:db8::5:8888", br#"{"Weight":-1}"#, 7);
        let instance = found.instance.unwrap();
        assert_eq!((instance.address().as_str(), instance.weight()), ("[2001:db8::5]:8888", 10));
    }

    #[test]
    fn every_field_survives_the_round_trip() {
        let info = Info::builder("demo")
            .address(Address::new("udp", "h.example:1").unwrap())
            .weight(u32::MAX)
            .payload_codec("thrift")
            .start_time(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123))
            .warm_up(Duration::from_secs(30))
            .tags([("", "empty key"), ("k", ""), ("quote\"", "\u{0}<&>\u{2028}")])
            .build()
            .unwrap();
        let record = record(&info, "").unwrap();
        assert_eq!(decode(info.service(), "h.example:1", record.value()).unwrap(), info);
    }

    #[test]
    fn what_is_no_instance_is_malformed() {
        let service = ServiceName::new("demo").unwrap();
        for (child, data) in [
            ("10.0.0.5:8888", ""),
            ("10.0.0.5:8888", "[]"),
            ("no-port", r#"{"Weight":1}"#),
            ("10.0.0.5:8888", r#"{"Weight":1,"Network":"unix"}"#),
            ("10.0.0.5:8888", "\u{feff}"),
        ] {
            assert!(decode(&service, child, data.as_bytes()).is_err(), "{child} {data}");
        }
        assert!(decode(&service, "h:1", &vec![b' '; MAX_RECORD + 1]).is_err());
    }

    #[test]
    fn what_no_path_can_carry_is_refused() {
        let refused = |info: &Info| record(info, "").unwrap_err().field();
        assert_eq!(refused(&Info::builder("zookeeper").address("h:1").build().unwrap()), "service");
        assert_eq!(refused(&Info::builder("a\u{e000}").address("h:1").build().unwrap()), "service");
        assert_eq!(refused(&Info::builder("a").address(Address::unix("/run/x").unwrap()).build().unwrap()), "address");
        assert!(record(&Info::builder("zookeeper").address("h:1").build().unwrap(), "/chroot").is_ok());
    }
}
