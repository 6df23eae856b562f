//! Renders `docs/conformance.md` from the suite's reports in `docs/conformance/`.
//!
//! `conformance-page` renders; `conformance-page merge STORE REPORT` first takes a run of some cases into the store's report.

use std::fs;
use std::io::Write as _;
use std::process::ExitCode;

use integration_tests::page::{self, ADAPTERS};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => rendered(),
        ["merge", store, report] => merged(store, report).and_then(|()| rendered()),
        _ => Err("usage: conformance-page [merge STORE REPORT]".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // Nothing is left to do with a standard error that is closed.
            let _ = writeln!(std::io::stderr(), "conformance-page: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn rendered() -> Result<(), String> {
    let page = page::render(&page::reports()?);
    fs::write(page::folder().join("conformance.md"), page).map_err(|error| error.to_string())
}

fn merged(store: &str, later: &str) -> Result<(), String> {
    let number = ADAPTERS.iter().position(|adapter| adapter.name == store);
    let number = number.ok_or_else(|| format!("{store} is none of the stores"))?;
    let later = fs::read_to_string(later).map_err(|error| format!("{later}: {error}"))?;
    let later = serde_json::from_str(&later).map_err(|error| error.to_string())?;
    let merged = page::merged(page::reports()?.swap_remove(number), &later, &page::expected()?[number]);
    let path = page::folder().join("conformance").join(format!("{store}.json"));
    fs::write(path, format!("{merged:#}\n")).map_err(|error| error.to_string())
}
