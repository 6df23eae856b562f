//! The machine-readable result of a run.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use registry_core::store::{Capabilities, Support};
use serde::Serialize;

use crate::case::{Case, Clock, Level};
use crate::harness::Harness;
use crate::hooks::Hook;
use crate::runner::{CaseResult, Verdict};
use crate::timing::Timing;
use crate::waits::Wait;

/// The environment variable that says where the report is written, as JSON.
pub const REPORT_VARIABLE: &str = "REGISTRY_CONFORMANCE_REPORT";

/// The result of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    adapter: String,
    contract: String,
    suite: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    at: String,
    ttl_ms: u128,
    scale: f64,
    run: String,
    summary: BTreeMap<&'static str, Counts>,
    not_offered: BTreeMap<&'static str, &'static str>,
    missing_hooks: BTreeMap<Hook, Vec<&'static str>>,
    cases: Vec<Line>,
}

#[derive(Debug, Default, Serialize)]
struct Counts {
    passed: usize,
    failed: usize,
    not_applicable: usize,
}

#[derive(Clone, Debug, Serialize)]
struct Line {
    name: &'static str,
    clauses: Vec<&'static str>,
    level: Level,
    clock: Clock,
    hooks: Vec<Hook>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    took_ms: u128,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waits: Vec<Wait>,
}

/// Collects results while cases run on several threads.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    lines: Mutex<Vec<Line>>,
}

impl Collector {
    pub(crate) fn add(&self, case: &Case, result: &CaseResult) {
        let (outcome, text) = match &result.verdict {
            Verdict::Passed => ("passed", None),
            Verdict::Failed { text, .. } => ("failed", Some(text.clone())),
            Verdict::NotApplicable(reason) => ("not_applicable", Some(reason.clone())),
        };
        let line = Line {
            name: case.name(),
            clauses: case.clauses().iter().map(|clause| clause.0).collect(),
            level: case.level(),
            clock: case.clock(),
            hooks: case.hooks().to_vec(),
            outcome,
            text,
            took_ms: result.took.as_millis(),
            waits: result.waits.clone(),
        };
        self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(line);
    }

    pub(crate) fn report(&self, harness: &dyn Harness, timing: &Timing, seed: u64, offered: &[Hook]) -> Report {
        let mut cases = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        cases.sort_by_key(|line| line.name);
        let mut summary: BTreeMap<&'static str, Counts> = BTreeMap::new();
        let mut missing_hooks: BTreeMap<Hook, Vec<&'static str>> = BTreeMap::new();
        for line in &cases {
            let counts = summary.entry(line.level.as_str()).or_default();
            match line.outcome {
                "passed" => counts.passed += 1,
                "failed" => counts.failed += 1,
                _ => counts.not_applicable += 1,
            }
            for hook in line.hooks.iter().filter(|hook| !offered.contains(hook)) {
                missing_hooks.entry(*hook).or_default().push(line.name);
            }
        }
        Report {
            adapter: harness.adapter().to_owned(),
            contract: format!("{:016x}", fingerprint(registry_core::contract::TEXT)),
            suite: env!("CARGO_PKG_VERSION"),
            server: harness.server_version(),
            at: date(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()),
            ttl_ms: timing.ttl().as_millis(),
            scale: timing.scale(),
            run: format!("{seed:x}"),
            summary,
            not_offered: not_offered(&harness.capabilities()),
            missing_hooks,
            cases,
        }
    }
}

impl Report {
    /// The report as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("invariant: the report has string keys only")
    }

    /// The use of the bounded waits as a share of their limits, the worst first: a line for each wait, or for the worst one alone.
    pub fn waits_as_text(&self, all: bool) -> String {
        let mut waits: Vec<(&Wait, &str)> =
            self.cases.iter().flat_map(|line| line.waits.iter().map(|wait| (wait, line.name))).collect();
        waits.sort_by_key(|(wait, _)| std::cmp::Reverse(wait.percent));
        let shown = if all { waits.len() } else { 1 };
        let line = |(wait, case): &(&Wait, &str)| {
            let Wait { what, limit_ms, used_ms, percent } = wait;
            format!("{percent:>3} % of {limit_ms} ms ({used_ms} ms): {what}, in {case}\n")
        };
        let lines: String = waits.iter().take(shown).map(line).collect();
        match waits.len() {
            0 => String::new(),
            count if all => format!("the use of {count} waits, the worst first:\n{lines}"),
            count => format!("the worst use of {count} waits (--waits shows all): {lines}"),
        }
    }

    /// How long all cases took together.
    pub fn took(&self) -> Duration {
        let total: u128 = self.cases.iter().map(|line| line.took_ms).sum();
        Duration::from_millis(u64::try_from(total).unwrap_or(u64::MAX))
    }
}

impl Level {
    /// The level in one word, as in the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Extended => "extended",
            Self::Provisional => "provisional",
        }
    }
}

fn not_offered(capabilities: &Capabilities) -> BTreeMap<&'static str, &'static str> {
    let reason = |(name, support): (&'static str, &Support)| match support {
        Support::Offered => None,
        Support::NotOffered(reason) => Some((name, *reason)),
    };
    capabilities.listed().into_iter().filter_map(reason).collect()
}

/// Tells two versions of the contract's text apart (FNV-1a).
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The day of a Unix time, as `2025-01-31` (Gregorian, UTC).
fn date(seconds: u64) -> String {
    // Days since 0000-03-01, in eras of 400 years of 146,097 days; a year that begins in March has its odd day at its end.
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + u64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn a_unix_time_has_its_day() {
        let days = [0, 951_782_400, 951_868_800, 1_735_689_599, 1_735_689_600, 4_102_444_800].map(date);
        assert_eq!(days, ["1970-01-01", "2000-02-29", "2000-03-01", "2024-12-31", "2025-01-01", "2100-01-01"]);
    }
}
