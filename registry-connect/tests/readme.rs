//! The README's tables say what the code says.

use registry_connect::{Connector, OPTIONS, UrlOption};

const README: &str = include_str!("../README.md");

fn row(option: &UrlOption) -> String {
    let schemes = if option.schemes.is_empty() { "every".to_owned() } else { option.schemes.join(", ") };
    format!("| `{}` | {} | {} | {} | {schemes} |", option.key, option.value.as_str(), option.default, option.meaning)
}

#[test]
fn the_table_of_options_is_the_one_in_the_code() {
    let (_, rest) = README.split_once("| key | value |").expect("the table's head");
    let rows: Vec<_> = rest.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows, OPTIONS.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn every_scheme_that_is_compiled_in_has_its_row() {
    for scheme in Connector::new().schemes() {
        assert!(README.contains(&format!("| `{scheme}://")), "{scheme} is missing in the README");
    }
}
