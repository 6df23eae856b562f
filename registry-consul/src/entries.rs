//! From what Consul's health endpoint answers to entries of a service.

use std::collections::BTreeMap;
use std::time::Duration;

use registry_core::store::{Found, Key, Malformed, from_unix_millis};
use registry_core::{Address, Instance, ServiceName};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::definition::{NETWORK, PAYLOAD_CODEC, START_TIME, WARM_UP};

/// One element of `/v1/health/service/{name}`. Members that are not needed are not read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: Node,
    service: Service,
    #[serde(default)]
    checks: Option<Vec<Check>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    #[serde(default)]
    node: String,
    #[serde(default)]
    address: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(default, rename = "ID")]
    id: String,
    #[serde(default)]
    service: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    port: i64,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    meta: Option<BTreeMap<String, String>>,
    #[serde(default)]
    weights: Option<Weights>,
    #[serde(default)]
    modify_index: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Weights {
    #[serde(default)]
    passing: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    #[serde(default)]
    status: String,
}

/// The entry, or `None` for one of another service: Consul finds names whatever their case (clause D4).
pub(crate) fn found(service: &ServiceName, raw: &RawValue) -> Option<Found> {
    let entry: Entry = match serde_json::from_str(raw.get()) {
        Ok(entry) => entry,
        Err(error) => {
            let why = format!("no entry: {:?} error at column {}", error.classify(), error.column());
            return Some(Found::malformed(Key::new("an entry without a readable id"), Malformed(why)));
        }
    };
    if entry.service.service != service.as_str() {
        return None;
    }
    let key = Key::new(format!("{}/{}", entry.node.node, entry.service.id));
    Some(match instance(service, &entry) {
        Ok(instance) => Found { healthy: is_healthy(&entry), ..Found::new(key, instance, entry.service.modify_index) },
        Err(why) => Found::malformed(key, why),
    })
}

/// Only what passes every check of its service and of its node: when an agent dies, its TTL checks stay as they were, and the node's own check tells.
fn is_healthy(entry: &Entry) -> bool {
    entry.checks.iter().flatten().all(|check| check.status == "passing")
}

fn instance(service: &ServiceName, entry: &Entry) -> Result<Instance, Malformed> {
    let stored = &entry.service;
    let meta = |name: &str| stored.meta.as_ref().and_then(|meta| meta.get(name)).map(String::as_str);
    // As Consul's documentation says: a service without an address is at its node's.
    let host = if stored.address.is_empty() { &entry.node.address } else { &stored.address };
    let port = u16::try_from(stored.port).map_err(|_| Malformed(format!("{} is no port", stored.port)))?;
    let text = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let network = meta(NETWORK).filter(|network| !network.is_empty()).unwrap_or("tcp");
    let address = Address::new(network, &text).map_err(|refused| Malformed(refused.to_string()))?;
    let number = |name| meta(name).and_then(|text| text.parse::<u64>().ok());
    Ok(Instance::new(service.clone(), address)
        .with_payload_codec(meta(PAYLOAD_CODEC).unwrap_or_default())
        .with_weight(stored.weights.as_ref().map_or(0, |weights| weights.passing))
        .with_start_time(number(START_TIME).and_then(from_unix_millis))
        .with_warm_up(Duration::from_millis(number(WARM_UP).unwrap_or_default()))
        .with_tags(tags(stored.tags.as_deref().unwrap_or_default())))
}

/// As Go's resolver reads them: split at the first `:`; those without one are nobody's.
fn tags(tags: &[String]) -> BTreeMap<String, String> {
    tags.iter().filter_map(|tag| tag.split_once(':')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(value: &Value) -> Option<Found> {
        let raw = RawValue::from_string(value.to_string()).unwrap();
        found(&"demo".try_into().unwrap(), &raw)
    }

    /// What Go Kitex's registration looks like, changed.
    fn go(change: impl FnOnce(&mut Value)) -> Found {
        let mut entry = json!({
            "Node": {"Node": "n1", "Address": "10.9.9.9"},
            "Service": {
                "ID": "demo:10.0.0.5:8888", "Service": "demo", "Tags": ["group:blue", "idc:hd1"], "Meta": null, "Port": 8888,
                "Address": "10.0.0.5", "Weights": {"Passing": 7, "Warning": 7}, "ModifyIndex": 37,
            },
            "Checks": [{"CheckID": "serfHealth", "Status": "passing"}, {"CheckID": "service:demo:10.0.0.5:8888", "Status": "passing"}],
        });
        change(&mut entry);
        read(&entry).unwrap()
    }

    fn address(change: impl FnOnce(&mut Value)) -> String {
        go(change).instance.unwrap().address().to_string()
    }

    #[test]
    fn what_go_registers_is_read() {
        let found = go(|_| {});
        assert!(found.healthy && found.version == 37 && found.key.as_str() == "n1/demo:10.0.0.5:8888");
        let instance = found.instance.unwrap();
        assert_eq!((instance.address().as_str(), instance.weight()), ("10.0.0.5:8888", 7));
        assert_eq!((instance.tag("group"), instance.tag("idc")), (Some("blue"), Some("hd1")));
    }

    #[test]
    fn every_check_of_the_entry_is_judged() {
        for (check, status) in [(0, "critical"), (1, "critical"), (1, "warning"), (0, "maintenance")] {
            assert!(!go(|entry| entry["Checks"][check]["Status"] = json!(status)).healthy);
        }
        assert!(go(|entry| entry["Checks"] = json!(null)).healthy);
    }

    #[test]
    fn a_service_without_an_address_is_at_its_node() {
        assert_eq!(address(|entry| entry["Service"]["Address"] = json!("")), "10.9.9.9:8888");
    }

    #[test]
    fn ipv6_is_read_with_and_without_brackets() {
        for host in ["2001:db8::5", "[2001:db8::5]"] {
            assert_eq!(address(|entry| entry["Service"]["Address"] = json!(host)), "[2001:db8::5]:8888");
        }
    }

    #[test]
    fn tags_without_a_colon_hide_nothing() {
        let found = go(|entry| entry["Service"]["Tags"] = json!(["plain", "a:b:c", "", ":"]));
        let tags = found.instance.unwrap().tags().clone();
        assert_eq!(tags, [("a".to_owned(), "b:c".to_owned()), (String::new(), String::new())].into());
    }

    #[test]
    fn a_name_that_differs_in_case_is_another_service() {
        assert!(read(&json!({"Node": {}, "Service": {"Service": "Demo", "Port": 1, "Address": "h"}})).is_none());
    }

    #[test]
    fn an_entry_that_nobody_can_dial_is_malformed_and_named() {
        for (member, value) in
            [("Port", json!(0)), ("Port", json!(70_000)), ("Address", json!("0.0.0.0")), ("Address", json!("a b"))]
        {
            let found = go(|entry| entry["Service"][member] = value.clone());
            assert!(found.instance.is_err() && found.key.as_str() == "n1/demo:10.0.0.5:8888", "{member} {value}");
        }
        assert!(read(&json!({"Service": 1})).unwrap().instance.is_err());
    }

    proptest! {
        #[test]
        fn whatever_stands_there_is_read_or_malformed(text in ".*", port in any::<i64>(), weight in any::<i64>()) {
            let found = go(|entry| {
                entry["Service"]["Address"] = json!(text);
                entry["Service"]["Port"] = json!(port);
                entry["Service"]["Weights"]["Passing"] = json!(weight);
                entry["Service"]["Meta"] = json!({"start_time": text, "warm_up": weight.to_string(), "network": text});
                entry["Service"]["Tags"] = json!([text]);
            });
            prop_assert!(found.instance.is_err() || found.instance.is_ok_and(|instance| instance.weight() >= 1));
        }
    }
}
