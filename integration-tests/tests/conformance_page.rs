//! The page on conformance says what the code says.
#![allow(clippy::unwrap_used, reason = "an unwrap in a helper of tests fails the test")]

use std::fs;

use integration_tests::page::{self, ADAPTERS};
use serde_json::{Value, json};

#[test]
fn the_reports_have_the_cases_and_capabilities_of_the_code() {
    let (reports, expected) = (page::reports().unwrap(), page::expected().unwrap());
    for ((adapter, report), expected) in ADAPTERS.iter().zip(&reports).zip(&expected) {
        let stale = page::staleness(report, expected);
        assert!(stale.is_empty(), "docs/conformance/{}.json is stale (CONTRIBUTING.md): {stale:#?}", adapter.name);
    }
}

#[test]
fn the_page_is_what_the_reports_render_to() {
    let page = fs::read_to_string(page::folder().join("conformance.md")).unwrap();
    assert!(page == page::render(&page::reports().unwrap()), "docs/conformance.md is stale: run conformance-page");
}

#[test]
fn no_case_of_a_published_report_failed() {
    for (adapter, report) in ADAPTERS.iter().zip(page::reports().unwrap()) {
        let failed = |case: &&Value| case["outcome"] == "failed" && case["level"] != "provisional";
        let failed: Vec<&Value> = report["cases"].as_array().unwrap().iter().filter(failed).collect();
        assert!(failed.is_empty(), "{}: {failed:#?}", adapter.name);
    }
}

fn memory() -> Value {
    page::expected().unwrap().swap_remove(0)
}

#[test]
fn a_case_that_is_new_or_gone_or_different_is_stale() {
    let (expected, mut report) = (memory(), memory());
    assert_eq!(page::staleness(&report, &expected), [""; 0]);
    let cases = report["cases"].as_array_mut().unwrap();
    let new = cases.pop().unwrap();
    cases[0]["level"] = "provisional".into();
    cases[1]["outcome"] = "not_applicable".into();
    cases.push(json!({ "name": "old_case" }));
    let stale = page::staleness(&report, &expected);
    assert_eq!(stale.len(), 4, "{stale:#?}");
    assert!(stale.contains(&format!("the case {} is new", new["name"].as_str().unwrap())), "{stale:#?}");
    assert!(stale.contains(&"the case old_case is gone".to_owned()), "{stale:#?}");
}

#[test]
fn a_capability_or_a_hook_that_changed_is_stale() {
    let (expected, mut report) = (memory(), memory());
    report["not_offered"] = json!({ "unix addresses": "they are odd" });
    report["missing_hooks"] = json!({ "cut": [] });
    assert_eq!(page::staleness(&report, &expected).len(), 2);
}

#[test]
fn a_later_run_of_some_cases_is_taken_into_a_report() {
    let (expected, mut report, mut later) = (memory(), memory(), memory());
    let new = report["cases"].as_array_mut().unwrap().pop().unwrap();
    report["cases"].as_array_mut().unwrap().push(json!({ "name": "old_case" }));
    later["cases"] = json!([new]);
    let merged = page::merged(report, &later, &expected);
    assert_eq!(page::staleness(&merged, &expected), [""; 0]);
}
