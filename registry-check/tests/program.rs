//! The program as it is used.
#![allow(clippy::unwrap_used, reason = "an unwrap in a helper of tests fails the test")]

use std::process::{Command, Output};

fn check(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_registry-check")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_deployment_that_keeps_its_promises_is_a_table_and_exit_code_0() {
    let output = check(&["--ttl", "2", "--clause", "R2,D2", "memory://demo"]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}{}", text(&output.stderr));
    assert!(shown.lines().any(|line| line.starts_with("R2   kept")), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("D2   kept")), "{shown}");
    assert!(shown.contains(" passed, 0 failed, 0 not offered"), "{shown}");
}

#[test]
fn the_report_is_json_that_names_each_case() {
    let output = check(&["--json", "--ttl", "2", "--clause", "D1", "memory://demo"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["adapter"], "memory");
    assert_eq!(report["summary"]["core"]["failed"], 0);
    assert!(report["cases"].as_array().unwrap().iter().any(|case| case["outcome"] == "passed"), "{report}");
}

#[test]
fn what_cannot_be_judged_is_one_line_and_exit_code_2() {
    for (url, said) in [("memory://", "give it one"), ("mysql://h", "mysql"), ("--ttl", "wants a value")] {
        let output = check(&[url]);
        let shown = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{url}: {shown}");
        assert!(output.stdout.is_empty() && shown.lines().count() == 1 && shown.contains(said), "{url}: {shown}");
    }
}

#[test]
fn with_json_an_obstacle_is_json_and_the_same_line() {
    let output = check(&["--json", "mysql://h"]);
    assert_eq!(output.status.code(), Some(2));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["obstacle"]["step"], &report["obstacle"]["kind"]), (&"connect".into(), &"InvalidInput".into()));
    let said = report["obstacle"]["text"].as_str().unwrap().to_owned();
    assert_eq!(text(&output.stderr).trim_end(), format!("registry-check: {said}"));
}
