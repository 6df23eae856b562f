//! What a program can hold of the project's habits.
#![allow(clippy::unwrap_used, reason = "an unwrap in a helper of tests fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use registry_conformance::{Case, Clause};
use registry_core::contract;
use registry_core::metrics::TABLE;
use serde_json::Value;

const LETTERS: &str = "RLDWVSX";
const MAX_LINES: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace above this crate")
}

/// All files of the project with this extension, as paths below the root.
fn files(extension: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root().to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !matches!(name, "target" | ".git" | ".cache") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 3, "the walk found {found:?}");
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The workspace's own packages, as `cargo metadata` tells of them.
fn packages() -> Vec<Value> {
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let metadata: Value = serde_json::from_slice(&cargo.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn folder(package: &Value) -> PathBuf {
    Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

/// The numbers of the contract's clauses, in its order.
fn clauses() -> Vec<String> {
    let heads = contract::TEXT.lines().filter_map(|line| line.strip_prefix("- ")?.split_whitespace().next());
    heads.filter(|word| is_clause(word)).map(str::to_owned).collect()
}

fn is_clause(word: &str) -> bool {
    let Some((letter, number)) = word.split_at_checked(1) else { return false };
    LETTERS.contains(letter) && (1..=2).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit())
}

#[test]
fn the_contract_numbers_its_clauses_without_gaps() {
    let clauses = clauses();
    for letter in LETTERS.chars() {
        let numbers = clauses.iter().filter_map(|clause| clause.strip_prefix(letter)?.parse::<usize>().ok());
        let numbers: Vec<_> = numbers.collect();
        assert!(!numbers.is_empty(), "no clause {letter}");
        assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "clauses {letter}");
    }
}

#[test]
fn every_clause_that_is_cited_stands_in_the_contract() {
    let known: BTreeSet<_> = clauses().into_iter().collect();
    let word = |c: char| !c.is_alphanumeric() && c != '_';
    for path in files("rs").into_iter().chain(files("md")) {
        // The variants of the standard library's addresses are no clauses.
        let text = fs::read_to_string(&path).unwrap().replace("Addr::V", "Addr::");
        // 99 is the number that no clause will ever have, for tests of those who look clauses up.
        for cited in text.split(word).filter(|word| is_clause(word) && !word.ends_with("99")) {
            assert!(known.contains(cited), "{} cites {cited}, which the contract does not have", shown(&path));
        }
    }
}

#[test]
fn every_clause_that_the_suite_is_about_has_a_case() {
    let cases = registry_conformance::cases();
    let cited: BTreeSet<_> = cases.iter().flat_map(Case::clauses).collect();
    let missing: Vec<_> = Clause::all().into_iter().filter(|clause| !cited.contains(clause)).collect();
    assert!(missing.is_empty(), "no case cites {missing:?}");
}

#[test]
fn no_source_file_is_too_long_to_read() {
    for path in files("rs") {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines, at most {MAX_LINES} are allowed", shown(&path));
    }
}

#[test]
fn nothing_is_left_undone_or_ignored() {
    // Put together here, so that this file does not find itself.
    let refused =
        [["FIX", "ME"], ["XX", "X"], ["#[ign", "ore"], ["#[should_", "panic"], ["to", "do!("]].map(|s| s.concat());
    for path in files("rs") {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let found = refused.iter().find(|word| line.contains(word.as_str()));
            assert_eq!(found, None, "{}:{}: {line}", shown(&path), number + 1);
        }
    }
}

#[test]
fn every_crate_says_what_it_is_and_may_be_used_for() {
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        for field in ["description", "license", "readme", "rust_version", "repository"] {
            assert!(package[field].as_str().is_some_and(|text| !text.is_empty()), "{name} has no {field}");
        }
        for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            let text = fs::read_to_string(folder(&package).join(file)).unwrap_or_default();
            assert!(text.len() > 100, "{name} has no {file}, or next to nothing in it");
        }
    }
}

#[test]
fn no_program_or_example_with_unit_tests_is_left_out() {
    let script = fs::read_to_string(root().join("scripts/tests.sh")).unwrap();
    let named: BTreeSet<&str> = script.split_whitespace().filter_map(|word| word.strip_prefix("--bin=")).collect();
    let named: BTreeSet<&str> = named.iter().map(|name| name.trim_end_matches(['"', ')'])).collect();
    let packages = packages();
    let targets = packages.iter().flat_map(|package| package["targets"].as_array().unwrap());
    let of_programs = targets.filter(|target| {
        target["kind"] == serde_json::json!(["bin"]) || target["kind"] == serde_json::json!(["example"])
    });
    let tested = of_programs.filter(|target| target["test"] == true).map(|target| target["name"].as_str().unwrap());
    assert_eq!(named, tested.collect(), "scripts/tests.sh names these programs, and these have `test = true`");
}

#[test]
fn every_path_dependency_has_a_version_to_publish_with() {
    for package in packages() {
        for dependency in package["dependencies"].as_array().unwrap() {
            // What tests alone need from this workspace is left out of what is published, when it has no version.
            let local = !dependency["path"].is_null() && dependency["kind"] != "dev";
            assert!(!local || dependency["req"] != "*", "{}: {} has no version", package["name"], dependency["name"]);
        }
    }
}

#[test]
fn every_backend_of_the_facade_has_its_row_in_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let packages = packages();
    let facade = packages.iter().find(|package| package["name"] == "registry-connect").unwrap();
    let backends =
        facade["dependencies"].as_array().unwrap().iter().filter(|dependency| dependency["optional"] == true);
    let backends: Vec<_> = backends.map(|backend| backend["name"].as_str().unwrap()).collect();
    assert!(!backends.is_empty());
    for backend in backends {
        let row = readme.lines().find(|line| line.starts_with('|') && line.contains(&format!("[`{backend}`]")));
        assert!(row.is_some_and(|row| !row.contains("planned")), "{backend} has no row in the README: {row:?}");
    }
}

#[test]
fn a_backend_is_called_planned_only_while_it_has_no_crate() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for row in readme.lines().filter(|line| line.starts_with('|') && line.contains("| planned |")) {
        let name = row.split('`').nth(1).expect("the crate's name");
        assert!(!root().join(name).exists(), "{name} exists, and the README calls it planned");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for path in files("md") {
        let text = fs::read_to_string(&path).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            // Not a file: a place in the same document, a web address, an item of the documentation.
            if file.is_empty() || target.contains("::") || target.contains("://") {
                continue;
            }
            assert!(path.parent().unwrap().join(file).exists(), "{} links to {target}", shown(&path));
        }
    }
}

#[test]
fn the_documented_metrics_are_the_ones_in_the_code() {
    let text = fs::read_to_string(root().join("registry-core/docs/metrics.md")).unwrap();
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let expected = TABLE.iter().map(|metric| {
        let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let labels = if labels.is_empty() { "–".to_owned() } else { labels };
        format!("| `{}` | {} | {} | {labels} |", metric.name, metric.kind, metric.what)
    });
    assert_eq!(rows, expected.collect::<Vec<_>>());
}
