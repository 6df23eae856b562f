//! What is registered at the agent: Kitex's service definition, and our additions in its `Meta`.

use std::collections::BTreeMap;

use registry_core::store::unix_millis;
use registry_core::{Info, InvalidField, ServiceName};
use serde::Serialize;

/// The largest weight that Consul takes (`structs.ValidateWeights`).
const MAX_WEIGHT: u32 = 65_535;

/// The longest value in a service's `Meta` (`structs.metaValueMaxLength`), in bytes.
const MAX_META: usize = 512;

/// The members of `Meta` that carry what Kitex's definition has no place for. Go's resolver does not look at them.
pub(crate) const PAYLOAD_CODEC: &str = "payload_codec";
pub(crate) const START_TIME: &str = "start_time";
pub(crate) const WARM_UP: &str = "warm_up";
pub(crate) const NETWORK: &str = "network";
/// The token of the handle that registered it, and what keeps it alive if that is not a TTL check.
pub(crate) const OWNER: &str = "owner";
pub(crate) const CHECK: &str = "check";

/// A service as Kitex registers it (kitex-contrib/registry-consul df982d9), but for owner and check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Definition {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) name: String,
    /// Sorted: an order that changes makes the agent write again, and wakes every watcher.
    pub(crate) tags: Vec<String>,
    pub(crate) port: u16,
    pub(crate) address: String,
    pub(crate) weights: Weights,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) meta: BTreeMap<String, String>,
}

/// The weight of a service while it passes, and while it warns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Weights {
    pub(crate) passing: u32,
    pub(crate) warning: u32,
}

impl Definition {
    /// The definition of `info`.
    ///
    /// # Errors
    /// The field that Consul cannot carry (V1, X3), and its limit.
    pub(crate) fn new(info: &Info) -> Result<Self, InvalidField> {
        check_service(info.service())?;
        let (Some(host), Some(port)) = (info.address().host(), info.address().port()) else {
            return Err(InvalidField::new("address", "is the path of a socket").with_limit("a host and a port"));
        };
        if info.weight() > MAX_WEIGHT {
            return Err(InvalidField::new("weight", format!("is {}", info.weight()))
                .with_limit(format!("1 to {MAX_WEIGHT} on Consul")));
        }
        Ok(Self {
            id: format!("{}:{host}:{port}", info.service()),
            name: info.service().to_string(),
            tags: tags(info)?,
            port,
            address: host.to_owned(),
            weights: Weights { passing: info.weight(), warning: info.weight() },
            meta: meta(info)?,
        })
    }
}

/// Refuses a service name that cannot be kept apart: the id joins name and address by `:`, and versions of Consul differ in how often they decode a `%`. And
/// one that Consul answers with "400 Bad Request" when it stands in a path: it takes only what Go prints (`unicode.IsPrint`).
pub(crate) fn check_service(service: &ServiceName) -> Result<(), InvalidField> {
    let refuse = |offence: String, limit: &'static str| Err(InvalidField::new("service", offence).with_limit(limit));
    for c in service.as_str().chars() {
        if matches!(c, ':' | '%') {
            return refuse(
                format!("contains `{c}`"),
                "no `:` and no `%` on Consul, whose ids join name and address by `:`",
            );
        }
        if !is_printable(c) {
            return refuse(format!("contains {c:?}"), "printable characters and the plain space on Consul");
        }
    }
    Ok(())
}

/// What Rust would show as it is, marks that combine with another character included.
fn is_printable(c: char) -> bool {
    let pair: String = ['a', c].iter().collect();
    matches!(c, '\'' | '"' | '\\') || pair.escape_debug().count() == 2
}

/// `key:value`, which Go's resolver splits at the first `:`.
fn tags(info: &Info) -> Result<Vec<String>, InvalidField> {
    let mut tags = Vec::with_capacity(info.tags().len());
    for (key, value) in info.tags() {
        if key.contains(':') {
            return Err(InvalidField::new("tags", format!("have a key with `:`, {key:.64?}"))
                .with_limit("no `:` in a key on Consul, where it separates key and value"));
        }
        tags.push(format!("{key}:{value}"));
    }
    tags.sort_unstable();
    Ok(tags)
}

fn meta(info: &Info) -> Result<BTreeMap<String, String>, InvalidField> {
    let mut meta = BTreeMap::new();
    let codec = info.payload_codec();
    if codec.len() > MAX_META {
        return Err(InvalidField::new("payload_codec", format!("has {} bytes", codec.len()))
            .with_limit(format!("at most {MAX_META} bytes on Consul")));
    }
    if !codec.is_empty() {
        meta.insert(PAYLOAD_CODEC.to_owned(), codec.to_owned());
    }
    if let Some(start) = info.start_time() {
        meta.insert(START_TIME.to_owned(), unix_millis(start).to_string());
    }
    if !info.warm_up().is_zero() {
        meta.insert(WARM_UP.to_owned(), info.warm_up().as_millis().to_string());
    }
    if info.address().network() != "tcp" {
        meta.insert(NETWORK.to_owned(), info.address().network().to_owned());
    }
    Ok(meta)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use registry_core::{Address, InfoBuilder};
    use serde_json::{Value, json};

    use super::*;

    fn demo() -> InfoBuilder {
        Info::builder("demo").address("10.0.0.5:8888")
    }

    fn defined(builder: InfoBuilder) -> Value {
        serde_json::to_value(Definition::new(&builder.build().unwrap()).unwrap()).unwrap()
    }

    fn refused(builder: InfoBuilder) -> InvalidField {
        Definition::new(&builder.build().unwrap()).unwrap_err()
    }

    #[test]
    fn a_definition_is_that_of_kitex() {
        let golden = json!({
            "ID": "demo:10.0.0.5:8888", "Name": "demo", "Tags": ["group:blue", "idc:hd1"], "Port": 8888, "Address": "10.0.0.5",
            "Weights": {"Passing": 10, "Warning": 10},
        });
        assert_eq!(defined(demo().tag("idc", "hd1").tag("group", "blue")), golden);
    }

    #[test]
    fn what_kitex_has_no_place_for_stands_in_meta() {
        let start = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let full = demo().payload_codec("thrift").start_time(start).warm_up(Duration::from_secs(30));
        let meta = json!({"payload_codec": "thrift", "start_time": "1700000000123", "warm_up": "30000"});
        assert_eq!(defined(full)["Meta"], meta);
        let udp = demo().address(Address::new("udp", "10.0.0.5:8888").unwrap());
        assert_eq!(defined(udp)["Meta"], json!({"network": "udp"}));
    }

    #[test]
    fn ipv6_has_no_brackets_as_in_kitex() {
        let defined = defined(demo().address("[2001:db8::5]:8888"));
        assert_eq!(defined["ID"], json!("demo:2001:db8::5:8888"));
        assert_eq!(defined["Address"], json!("2001:db8::5"));
    }

    #[test]
    fn names_that_consul_takes_are_not_refused() {
        for name in ["a b", " a ", "名前", "Ünï", "a\u{300}", "a'\"\\*?#;~", "echo-v2.x_y"] {
            assert!(Definition::new(&demo().service(name).build().unwrap()).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_consul_cannot_carry_is_refused_by_field_and_limit() {
        let rows = [
            (demo().service("a:b"), "service"),
            (demo().service("a%2fb"), "service"),
            (demo().service("a\u{a0}"), "service"),
            (demo().service("a\u{2028}b"), "service"),
            (demo().service("a\u{200b}b"), "service"),
            (demo().address(Address::unix("/run/x.sock").unwrap()), "address"),
            (demo().weight(MAX_WEIGHT + 1), "weight"),
            (demo().tag("a:b", "c"), "tags"),
            (demo().payload_codec("x".repeat(MAX_META + 1)), "payload_codec"),
        ];
        for (builder, field) in rows {
            let refused = refused(builder);
            assert_eq!(refused.field(), field, "{refused}");
            assert!(refused.limit().is_some(), "{refused}");
        }
        assert!(Definition::new(&demo().weight(MAX_WEIGHT).build().unwrap()).is_ok());
    }
}
