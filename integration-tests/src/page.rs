//! The page that shows what each adapter keeps of the contract: rendered from the suite's own reports, and compared with the code.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use registry_conformance::{Clause, Harness, Suite};
use serde_json::Value;

use crate::harness::consul::ConsulHarness;
use crate::harness::etcd::EtcdHarness;
use crate::harness::zookeeper::ZooKeeperHarness;
use crate::memory::MemoryHarness;

/// Each adapter's column: its heading, the name of its report, and its suite.
#[derive(Debug)]
pub struct Adapter {
    /// How readers know the store.
    pub title: &'static str,
    /// The report's file without its ending, which is also the end of the name of the test that writes it.
    pub name: &'static str,
    harness: fn() -> Arc<dyn Harness>,
}

/// The adapters of the page, in its order.
pub const ADAPTERS: [Adapter; 4] = [
    Adapter { title: "memory", name: "memory", harness: || Arc::new(MemoryHarness::new()) },
    Adapter { title: "etcd", name: "etcd", harness: || Arc::new(EtcdHarness::new()) },
    Adapter { title: "ZooKeeper", name: "zookeeper", harness: || Arc::new(ZooKeeperHarness::new()) },
    Adapter { title: "Consul", name: "consul", harness: || Arc::new(ConsulHarness::new()) },
];

/// Where the page and the reports are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace above this crate").join("docs")
}

/// The reports that the page is rendered from, in the order of [`ADAPTERS`].
///
/// # Errors
/// A report that is missing or is no JSON, by its path.
pub fn reports() -> Result<Vec<Value>, String> {
    let read = |adapter: &Adapter| {
        let path = folder().join("conformance").join(format!("{}.json", adapter.name));
        let shown = path.display();
        let text = fs::read_to_string(&path).map_err(|error| format!("{shown}: {error}"))?;
        serde_json::from_str(&text).map_err(|error| format!("{shown}: {error}"))
    };
    ADAPTERS.iter().map(read).collect()
}

/// What the code says today: what a report of each adapter must agree with. No server is needed.
///
/// # Errors
/// When the environment of the suite is malformed.
pub fn expected() -> Result<Vec<Value>, String> {
    let of = |adapter: &Adapter| {
        let suite = Suite::new((adapter.harness)())?;
        serde_json::from_str(&suite.plan().to_json()).map_err(|error| error.to_string())
    };
    ADAPTERS.iter().map(of).collect()
}

/// In what a report is stale against what the code says, a line each.
pub fn staleness(report: &Value, expected: &Value) -> Vec<String> {
    let mut stale = Vec::new();
    let (seen, wanted) = (cases(report), cases(expected));
    for (name, case) in &wanted {
        match seen.get(name) {
            None => stale.push(format!("the case {name} is new")),
            Some(old) => {
                let applied = |case: &Value| case["outcome"] != "not_applicable";
                let differs = |key: &str| old[key] != case[key];
                if differs("clauses") || differs("level") || applied(old) != applied(case) {
                    stale.push(format!(
                        "the case {name} has other clauses or another level, or applies where it did not"
                    ));
                } else if !applied(case) && differs("text") {
                    stale.push(format!("the case {name} does not apply for another reason: {}", case["text"]));
                }
            }
        }
    }
    stale.extend(seen.keys().filter(|name| !wanted.contains_key(*name)).map(|name| format!("the case {name} is gone")));
    for key in ["adapter", "suite", "not_offered", "missing_hooks"] {
        if report[key] != expected[key] {
            stale.push(format!("`{key}` was {}, and is {}", report[key], expected[key]));
        }
    }
    stale
}

/// Takes the cases of a later run of some of them into a report, and leaves out what is no case of the code any more.
#[must_use]
pub fn merged(mut report: Value, later: &Value, expected: &Value) -> Value {
    let mut all = cases(&report);
    all.extend(cases(later));
    let known = cases(expected);
    let kept: Vec<Value> = all.into_iter().filter(|(name, _)| known.contains_key(name)).map(|(_, case)| case).collect();
    for key in ["suite", "contract", "server", "at", "not_offered", "missing_hooks"] {
        report[key] = later[key].clone();
    }
    for key in ["not_offered", "missing_hooks"] {
        report[key] = expected[key].clone();
    }
    report["cases"] = kept.into();
    report["summary"] = summary(&report);
    report
}

/// The page.
pub fn render(reports: &[Value]) -> String {
    let mut page = String::from(HEAD);
    let row = |page: &mut String, head: &str, cell: &dyn Fn(&Value) -> String| {
        let cells: Vec<String> = reports.iter().map(cell).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| {head} | {} |", cells.join(" | "));
    };
    let titles: Vec<&str> = ADAPTERS.iter().map(|adapter| adapter.title).collect();
    let _ = writeln!(page, "| | {} |\n|---|{}", titles.join(" | "), "---|".repeat(titles.len()));
    row(&mut page, "Server", &|report| text(&report["server"]));
    row(&mut page, "Suite", &|report| text(&report["suite"]));
    row(&mut page, "Contract", &|report| format!("`{}`", text(&report["contract"])));
    row(&mut page, "Run on", &|report| text(&report["at"]));
    row(&mut page, "TTL", &|report| format!("{} s", report["ttl_ms"].as_u64().unwrap_or_default() as f64 / 1000.0));
    row(&mut page, "All cases one after the other", &|report| format!("{} s", took(report) / 1000));
    for (level, title) in [("core", "Core"), ("extended", "Extended"), ("provisional", "Provisional")] {
        let counts = summary_of(reports, level);
        if counts.iter().any(|counts| counts.iter().sum::<usize>() > 0) {
            row(&mut page, &format!("{title} cases: passed, failed, not applicable"), &|report| {
                let [passed, failed, not] = count(report, |case| case["level"] == level);
                format!("{passed}, {failed}, {not}")
            });
        }
    }
    let _ = writeln!(page, "\n## Clauses\n\nThe cases that are about each clause.\n");
    let _ = writeln!(page, "| | | {} |\n|---|---|{}", titles.join(" | "), "---|".repeat(titles.len()));
    for clause in Clause::all() {
        let core = if clause.is_core() { " **C**" } else { "" };
        row(&mut page, &format!("{clause}{core} | {}", beginning(clause)), &|report| kept(report, clause));
    }
    for (adapter, report) in ADAPTERS.iter().zip(reports) {
        not_offered(&mut page, adapter, report);
    }
    page
}

const HEAD: &str = "# What each adapter keeps of the contract\n\n\
Rendered from the reports in [conformance/](conformance/), which the [conformance suite](../registry-conformance/README.md) wrote; a test compares \
them with the code's cases and capabilities. [CONTRIBUTING.md](../CONTRIBUTING.md#the-conformance-page) says how to renew it. Of \
each clause: how many of the cases about it were passed. *Not offered* is what the store or its client cannot do: the \
reasons stand below. Cases that failed while others kept the machine busy, or that are newer than the run, were run again alone and merged.\n\n";

/// The cases of a report by name.
fn cases(report: &Value) -> BTreeMap<String, Value> {
    let cases = report["cases"].as_array().map(Vec::as_slice).unwrap_or_default();
    cases.iter().map(|case| (text(&case["name"]), case.clone())).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("unknown").to_owned()
}

fn took(report: &Value) -> u64 {
    cases(report).values().filter_map(|case| case["took_ms"].as_u64()).sum()
}

/// Passed, failed, not applicable.
fn count(report: &Value, chosen: impl Fn(&Value) -> bool) -> [usize; 3] {
    let cases = cases(report);
    let chosen: Vec<&Value> = cases.values().filter(|case| chosen(case)).collect();
    ["passed", "failed", "not_applicable"]
        .map(|outcome| chosen.iter().filter(|case| case["outcome"] == outcome).count())
}

fn summary_of(reports: &[Value], level: &str) -> Vec<[usize; 3]> {
    reports.iter().map(|report| count(report, |case| case["level"] == level)).collect()
}

fn summary(report: &Value) -> Value {
    let mut summary = serde_json::Map::new();
    for level in ["core", "extended", "provisional"] {
        let [passed, failed, not_applicable] = count(report, |case| case["level"] == level);
        if passed + failed + not_applicable > 0 {
            let counts = serde_json::json!({ "passed": passed, "failed": failed, "not_applicable": not_applicable });
            summary.insert(level.to_owned(), counts);
        }
    }
    summary.into()
}

fn kept(report: &Value, clause: Clause) -> String {
    match count(report, |case| case["clauses"][0] == clause.0) {
        [0, 0, 0] => "".to_owned(),
        [0, 0, _] => "not offered".to_owned(),
        [passed, 0, 0] => format!("kept, {passed}"),
        [passed, 0, not] => format!("kept, {passed}; {not} not offered"),
        [passed, failed, _] => format!("**broken**, {failed} of {}", passed + failed),
    }
}

fn not_offered(page: &mut String, adapter: &Adapter, report: &Value) {
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let reasons = report["not_offered"].as_object().into_iter().flatten();
    for (capability, reason) in reasons {
        lines.entry(format!("{capability}: {}", text(reason))).or_default();
    }
    for (name, case) in cases(report).iter().filter(|(_, case)| case["outcome"] == "not_applicable") {
        let reason = text(&case["text"]).replacen(" is not offered: ", ": ", 1);
        lines.entry(reason).or_default().push(format!("`{name}`"));
    }
    let _ = writeln!(page, "\n## Not offered: {}\n", adapter.title);
    if lines.is_empty() {
        let _ = writeln!(page, "Everything is offered.");
    }
    for (reason, cases) in lines {
        let cases = if cases.is_empty() { String::new() } else { format!(" ({})", cases.join(", ")) };
        let _ = writeln!(page, "- {reason}{cases}");
    }
}

/// The beginning of a clause, as much as fits in a table.
fn beginning(clause: Clause) -> String {
    let text = clause.text().unwrap_or_default().replace("**", "").replace('|', "\\|");
    let mut short: String = text.chars().take(70).collect();
    if short.len() < text.len() {
        short.truncate(short.rfind(' ').unwrap_or(short.len()));
        short.push('…');
    }
    // A code span that was cut is none.
    if short.matches('`').count() % 2 == 1 { short.replace('`', "") } else { short }
}
