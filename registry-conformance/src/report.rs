//! The machine-readable result of a run.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use registry_core::store::{Capabilities, Support};
use serde::Serialize;

use crate::case::{Case, Clock, Level};
use crate::harness::Harness;
use crate::hooks::Hook;
use crate::runner::{CaseResult, Verdict};
use crate::timing::Timing;

/// The environment variable that says where the report is written, as JSON.
pub const REPORT_VARIABLE: &str = "REGISTRY_CONFORMANCE_REPORT";

/// The result of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    adapter: String,
    contract: String,
    suite: &'static str,
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
