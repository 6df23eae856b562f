//! The suite as a whole: choosing, running and reporting cases.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libtest_mimic::{Arguments, Completion, Conclusion, Failed, Trial};
use registry_core::store::Support;

use crate::case::{Case, Clock, Level};
use crate::cases;
use crate::harness::Harness;
use crate::hooks::Hook;
use crate::report::{Collector, REPORT_VARIABLE, Report};
use crate::runner::{Attempt, CaseResult, Verdict};
use crate::selection::Selection;
use crate::timing::Timing;
use crate::waits::Wait;

/// Runs the suite on an adapter as the main function of a test with `harness = false`, and ends the process.
///
/// Takes the arguments of `cargo test` (a part of a name, `--exact`, `--list`, `--test-threads`, …), `--clause R6,W2`, `--level core`, and `--waits`
/// for a line for each wait.
pub fn main(harness: impl Harness) -> ! {
    match run_with_arguments(harness, std::env::args()) {
        Ok(conclusion) => conclusion.exit(),
        Err(reason) => {
            // Nothing is left to do with a standard error that is closed.
            let _ = writeln!(std::io::stderr(), "the conformance suite cannot run: {reason}");
            std::process::exit(101)
        }
    }
}

fn run_with_arguments(harness: impl Harness, line: impl Iterator<Item = String>) -> Result<Conclusion, String> {
    let (selection, rest) = Selection::take_from(line)?;
    let mut arguments = Arguments::from_iter(rest);
    if !harness.virtual_time() {
        // On a real clock a case mostly waits: more of them than cores run beside each other.
        arguments.test_threads = arguments.test_threads.or(Some(CASES_AT_ONCE));
    }
    let mut suite = Suite::new(Arc::new(harness))?;
    suite.cases.retain(|case| selection.has(case));
    let conclusion = suite.run(&arguments)?;
    if !arguments.list {
        // A closed standard output is no reason not to test.
        let _ = write!(std::io::stdout(), "{}", suite.report().waits_as_text(selection.shows_waits()));
    }
    Ok(conclusion)
}

/// The environment variable that makes the random choices of a run again: the hexadecimal number that a failure shows.
pub const SEED_VARIABLE: &str = "REGISTRY_CONFORMANCE_SEED";

/// How many cases run at once on a real clock, unless `--test-threads` says otherwise.
const CASES_AT_ONCE: usize = 10;

/// Runs one case on an adapter. `None` when there is no case of that name.
///
/// # Errors
/// When the timing variable is malformed.
pub fn run_case(harness: Arc<dyn Harness>, name: &str) -> Result<Option<CaseResult>, String> {
    Ok(Suite::new(harness)?.run_case(name))
}

/// The suite on one adapter.
pub struct Suite {
    shared: Arc<Shared>,
    cases: Vec<Case>,
}

struct Shared {
    harness: Arc<dyn Harness>,
    timing: Timing,
    offered: Vec<Hook>,
    /// Tells this run's namespaces from those of every other.
    run: u64,
    /// What each case's random choices follow from, together with its name.
    seed: u64,
    runs: AtomicU64,
    collector: Collector,
    store: RwLock<()>,
}

impl Suite {
    /// All cases, with the timing of the environment.
    ///
    /// # Errors
    /// When the timing variable or that of the seed is malformed.
    pub fn new(harness: Arc<dyn Harness>) -> Result<Self, String> {
        let timing = Timing::from_environment(harness.smallest_ttl())?;
        let suite = Self::with(harness, timing, cases::all());
        match std::env::var(SEED_VARIABLE) {
            Err(_) => Ok(suite),
            Ok(text) => match u64::from_str_radix(text.trim(), 16) {
                Ok(seed) => Ok(suite.with_seed(seed)),
                Err(_) => Err(format!("{SEED_VARIABLE} is {text:?}: give the hexadecimal number that a failure shows")),
            },
        }
    }

    /// The same suite, whose random choices follow from `seed` instead of the time.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.seed = seed;
        }
        self
    }

    /// These cases, with this timing.
    pub fn with(harness: Arc<dyn Harness>, timing: Timing, cases: Vec<Case>) -> Self {
        let offered = harness.hooks("offered").map(|hooks| hooks.offered()).unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let run = u64::try_from(now).unwrap_or_default() ^ (u64::from(std::process::id()) << 44);
        let shared = Shared {
            harness,
            timing,
            offered,
            run,
            seed: run,
            runs: AtomicU64::new(0),
            collector: Collector::default(),
            store: RwLock::new(()),
        };
        Self { shared: Arc::new(shared), cases }
    }

    /// The cases, in the order of the contract.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// Runs one case. `None` when there is none of that name.
    pub fn run_case(&self, name: &str) -> Option<CaseResult> {
        let case = self.cases.iter().find(|case| case.name() == name)?;
        Some(self.shared.run(*case))
    }

    /// Runs the cases that the arguments choose, prints the results, and writes the report where [`REPORT_VARIABLE`] points.
    ///
    /// # Errors
    /// When the report cannot be written.
    pub fn run(&self, arguments: &Arguments) -> Result<Conclusion, String> {
        let trials: Vec<Trial> = self.cases.iter().map(|case| self.trial(*case)).collect();
        if !arguments.list {
            self.announce(arguments, &trials);
        }
        let conclusion = libtest_mimic::run(arguments, trials);
        match std::env::var_os(REPORT_VARIABLE).map(PathBuf::from) {
            Some(path) if !arguments.list => {
                let written = std::fs::write(&path, self.report().to_json() + "\n");
                written.map_err(|error| format!("{REPORT_VARIABLE}: {}: {error}", path.display()))?;
            }
            _ => {}
        }
        Ok(conclusion)
    }

    /// The report on what has run so far.
    pub fn report(&self) -> Report {
        let Shared { harness, timing, seed, offered, collector, .. } = &*self.shared;
        collector.report(&**harness, timing, *seed, offered)
    }

    /// The report that a run of all cases would make on a correct adapter, without running any: what applies, and why something does not.
    pub fn plan(&self) -> Report {
        let Shared { harness, timing, seed, offered, .. } = &*self.shared;
        let planned = Collector::default();
        for case in &self.cases {
            let verdict = self.shared.reason_not_to_run(case).map_or(Verdict::Passed, Verdict::NotApplicable);
            planned.add(case, &CaseResult { verdict, took: Duration::ZERO, waits: Vec::new() });
        }
        planned.report(&**harness, timing, *seed, offered)
    }

    /// How long these cases take when they run one after the other, in real time.
    pub fn expected_duration(&self, mut chosen: impl FnMut(&Case) -> bool) -> Duration {
        let shared = &self.shared;
        let real = |case: &&Case| case.clock() == Clock::Real || !shared.harness.virtual_time();
        let applies = |case: &&Case| shared.reason_not_to_run(case).is_none();
        let chosen = self.cases.iter().filter(|case| chosen(case));
        chosen.filter(real).filter(applies).map(|case| case.lasts(&shared.timing)).sum()
    }

    fn trial(&self, case: Case) -> Trial {
        let shared = self.shared.clone();
        let run = move || match shared.run(case).verdict {
            Verdict::Passed => Ok(Completion::Completed),
            // A new case is seen, and fails nobody's run.
            Verdict::Failed { text, .. } if case.level() == Level::Provisional => {
                Ok(Completion::ignored_with(format!("provisional, and failed:\n{text}")))
            }
            Verdict::Failed { text, .. } => Err(Failed::from(text)),
            Verdict::NotApplicable(reason) => Ok(Completion::ignored_with(reason)),
        };
        Trial::ignorable_test(case.name(), run).with_kind(case.level().as_str())
    }

    fn announce(&self, arguments: &Arguments, trials: &[Trial]) {
        let mut chosen = trials.iter().map(|trial| !arguments.is_filtered_out(trial));
        let total = self.expected_duration(|_| chosen.next().unwrap_or(false));
        let threads = arguments.test_threads.or_else(|| std::thread::available_parallelism().ok().map(Into::into));
        let threads = u32::try_from(threads.unwrap_or(1)).unwrap_or(u32::MAX).max(1);
        let Shared { harness, timing, .. } = &*self.shared;
        let (name, ttl, expected) = (harness.adapter(), timing.ttl(), (total / threads).as_secs());
        // A closed standard output is no reason not to test.
        let _ = writeln!(
            std::io::stdout(),
            "\n{name}: TTL {ttl:?}, expected duration about {expected} s on {threads} threads"
        );
    }
}

impl Shared {
    fn run(&self, case: Case) -> CaseResult {
        let began = Instant::now();
        let (verdict, waits) = match self.reason_not_to_run(&case) {
            Some(reason) => (Verdict::NotApplicable(reason), Vec::new()),
            None => self.attempt(case),
        };
        let result = CaseResult { verdict, took: began.elapsed(), waits };
        self.collector.add(&case, &result);
        result
    }

    fn attempt(&self, case: Case) -> (Verdict, Vec<Wait>) {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let attempt = Attempt {
            harness: self.harness.clone(),
            case,
            timing: self.timing.clone(),
            namespace: format!("c-{:x}-{run}", self.run),
            seed: self.seed,
        };
        if !self.harness.isolated_stores() && case.hooks().iter().any(|hook| hook.disturbs_the_store()) {
            let _alone = self.store.write().unwrap_or_else(PoisonError::into_inner);
            return attempt.run();
        }
        let _shared = self.store.read().unwrap_or_else(PoisonError::into_inner);
        attempt.run()
    }

    fn reason_not_to_run(&self, case: &Case) -> Option<String> {
        let capabilities = self.harness.capabilities();
        for (name, support) in capabilities.listed() {
            match support {
                Support::NotOffered(reason) if case.capabilities().contains(&name) => {
                    return Some(format!("{name} is not offered: {reason}"));
                }
                _ => {}
            }
        }
        let missing: Vec<String> =
            case.hooks().iter().filter(|hook| !self.offered.contains(hook)).map(ToString::to_string).collect();
        (!missing.is_empty()).then(|| format!("the harness offers no hook {}", missing.join(", ")))
    }
}

impl std::fmt::Debug for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suite").field("adapter", &self.shared.harness.adapter()).finish_non_exhaustive()
    }
}
