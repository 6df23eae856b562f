//! A service as its agent has it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::definition::{CHECK, Definition, OWNER};

/// What `/v1/agent/health/service/id/{id}` answers. Members that are not needed are not read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Standing {
    service: Service,
    #[serde(default)]
    checks: Option<Vec<Check>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(default)]
    service: String,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    meta: Option<BTreeMap<String, String>>,
    #[serde(default)]
    port: i64,
    #[serde(default)]
    address: String,
    #[serde(default)]
    weights: Weights,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Weights {
    #[serde(default)]
    passing: i64,
    #[serde(default)]
    warning: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    #[serde(default, rename = "CheckID")]
    check_id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    output: String,
}

impl Standing {
    /// The token of the handle that registered it. Go Kitex writes none.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.meta(OWNER)
    }

    /// What keeps it alive: for one of a handle of ours the word in its `Meta`, `None` for a TTL check.
    pub(crate) fn check_word(&self) -> Option<&str> {
        self.meta(CHECK)
    }

    /// Whether it says what `definition` says. Tags are a set, as Consul treats them.
    pub(crate) fn says(&self, definition: &Definition) -> bool {
        let service = &self.service;
        let mut tags: Vec<&str> = service.tags.iter().flatten().map(String::as_str).collect();
        tags.sort_unstable();
        let meta = service.meta.iter().flatten().filter(|(key, _)| !matches!(key.as_str(), OWNER | CHECK));
        let weights = (service.weights.passing, service.weights.warning);
        service.service == definition.name
            && service.address == definition.address
            && service.port == i64::from(definition.port)
            && weights == (i64::from(definition.weights.passing), i64::from(definition.weights.warning))
            && tags == definition.tags
            && meta.eq(&definition.meta)
    }

    /// The state of the check that belongs to its registration.
    pub(crate) fn check(&self, id: &str) -> CheckState {
        let ours = |check: &&Check| check.check_id.strip_prefix("service:") == Some(id);
        match self.checks.iter().flatten().find(ours) {
            None => CheckState::None,
            Some(check) if check.status == "passing" => CheckState::Passing,
            // What the agent itself notes when nobody reported for one TTL (`agent/checks/check.go`, `CheckTTL`).
            Some(check) if check.status == "critical" && check.output.starts_with("TTL expired") => CheckState::Expired,
            Some(_) => CheckState::Failing,
        }
    }

    fn meta(&self, name: &str) -> Option<&str> {
        self.service.meta.as_ref()?.get(name).map(String::as_str)
    }
}

/// What the check of a registration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckState {
    /// There is none.
    None,
    Passing,
    /// Nobody reported for one TTL: its owner is dead, frozen or cut off.
    Expired,
    /// It was never passed, or says that the server does not work.
    Failing,
}

#[cfg(test)]
mod tests {
    use registry_core::Info;
    use serde_json::{Value, json};

    use super::*;

    fn definition() -> Definition {
        let info = Info::builder("demo").address("10.0.0.5:80").tag("b", "2").tag("a", "1").payload_codec("thrift");
        Definition::new(&info.build().unwrap()).unwrap()
    }

    fn standing(change: impl FnOnce(&mut Value)) -> Standing {
        let mut value = json!({
            "AggregatedStatus": "passing",
            "Service": {
                "ID": "demo:10.0.0.5:80", "Service": "demo", "Tags": ["b:2", "a:1"], "Port": 80, "Address": "10.0.0.5",
                "Meta": {"owner": "abc", "payload_codec": "thrift"}, "Weights": {"Passing": 10, "Warning": 10},
            },
            "Checks": [{"CheckID": "service:demo:10.0.0.5:80", "Status": "passing", "Output": ""}],
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_says_the_same_is_told_by_every_field() {
        assert!(standing(|_| {}).says(&definition()));
        for (member, value) in [
            ("Service", json!("Demo")),
            ("Tags", json!(["a:1"])),
            ("Tags", json!(null)),
            ("Port", json!(81)),
            ("Address", json!("")),
            ("Meta", json!({"owner": "abc"})),
            ("Weights", json!({"Passing": 11, "Warning": 10})),
        ] {
            assert!(
                !standing(|stored| stored["Service"][member] = value.clone()).says(&definition()),
                "{member} {value}"
            );
        }
    }

    #[test]
    fn an_entry_without_meta_has_no_owner() {
        let go = standing(|stored| stored["Service"]["Meta"] = json!(null));
        assert_eq!((go.owner(), go.check_word()), (None, None));
        assert_eq!(standing(|_| {}).owner(), Some("abc"));
    }

    #[test]
    fn only_a_ttl_that_ran_out_is_expired() {
        let state = |status: &str, output: &str| {
            let check = json!([{"CheckID": "service:x", "Status": "critical"}, {"CheckID": "service:demo:10.0.0.5:80", "Status": status, "Output": output}]);
            standing(|stored| stored["Checks"] = check).check("demo:10.0.0.5:80")
        };
        assert_eq!(state("passing", ""), CheckState::Passing);
        assert_eq!(state("critical", "TTL expired"), CheckState::Expired);
        assert_eq!(state("critical", "TTL expired (last output before timeout follows): ok"), CheckState::Expired);
        assert_eq!(state("critical", ""), CheckState::Failing);
        assert_eq!(state("critical", "dial tcp 10.0.0.5:80: connection refused"), CheckState::Failing);
        assert_eq!(standing(|stored| stored["Checks"] = json!([])).check("demo:10.0.0.5:80"), CheckState::None);
    }
}
