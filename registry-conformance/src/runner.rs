//! One case, on its own thread and runtime.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Once, mpsc};
use std::time::Duration;

use tokio::runtime::Builder;

use crate::case::{Case, Clock};
use crate::context::Context;
use crate::failure::Failure;
use crate::harness::Harness;
use crate::log::Told;
use crate::suite::SEED_VARIABLE;
use crate::timing::{TIMING_VARIABLE, Timing};
use crate::waits::Wait;

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The promise was kept.
    Passed,
    /// It was not, or could not be judged.
    Failed {
        /// Whether the case saw the promise broken; `false` when it panicked, hung, left tasks behind, or a step that it takes for granted failed.
        assertion: bool,
        /// What was expected and seen, when, and how to run the case alone.
        text: String,
    },
    /// The case does not apply, for this reason.
    NotApplicable(String),
}

/// A case that ran, and how long it took on the machine's clock.
#[derive(Clone, Debug)]
pub struct CaseResult {
    /// What became of it.
    pub verdict: Verdict,
    /// Real time.
    pub took: Duration,
    /// What each of its bounded waits used at worst, the worst first. Of a case that passed only.
    pub waits: Vec<Wait>,
}

/// One run of one case.
pub(crate) struct Attempt {
    pub(crate) harness: Arc<dyn Harness>,
    pub(crate) case: Case,
    pub(crate) timing: Timing,
    pub(crate) namespace: String,
    pub(crate) seed: u64,
}

/// How a case ended, before it is put into words.
enum End {
    Passed(Vec<Wait>),
    Failed { failure: Failure, timeline: String },
    Stopped { timeline: String },
    LeftTasks(usize),
}

/// What the thread of a case says.
enum Said {
    /// What the case needs is ready: its time begins.
    Ready,
    /// It is over.
    Over((Verdict, Vec<Wait>)),
}

/// How long a harness may take to make ready what a case needs.
const PREPARES: Duration = Duration::from_secs(180);
/// After a case every task of its runtime has ended within this time (R9).
const TASKS_END: Duration = Duration::from_secs(1);

impl Attempt {
    /// Runs the case on a thread of its own. A thread that never ends is left behind: nothing in Rust can stop it.
    pub(crate) fn run(self) -> (Verdict, Vec<Wait>) {
        let limit = self.real_limit();
        let told = Told::default();
        let explain = self.explainer(told.clone());
        let (says, heard) = mpsc::channel();
        let thread = std::thread::Builder::new().name(self.case.name().to_owned()).spawn(move || {
            // The receiver is gone when the case came too late.
            let _ = says.send(Said::Over(self.on_this_thread(&told, &says)));
        });
        if let Err(error) = thread {
            return (explain(false, &format!("no thread could be started: {error}"), ""), Vec::new());
        }
        let explain_late = |why: String| (explain(false, &why, ""), Vec::new());
        match heard.recv_timeout(PREPARES) {
            Ok(Said::Over(judged)) => return judged,
            Ok(Said::Ready) => {}
            Err(_) => return explain_late(format!("the harness does not make the case ready within {PREPARES:?}")),
        }
        match heard.recv_timeout(limit) {
            Ok(Said::Over(judged)) => judged,
            Ok(Said::Ready) | Err(_) => {
                explain_late(format!("the case hangs: it did not end within {limit:?} of real time"))
            }
        }
    }

    fn on_this_thread(&self, told: &Told, says: &mpsc::Sender<Said>) -> (Verdict, Vec<Wait>) {
        let mut waits = Vec::new();
        (self.judged(told, &mut waits, says), waits)
    }

    fn judged(&self, told: &Told, waits: &mut Vec<Wait>, says: &mpsc::Sender<Said>) -> Verdict {
        let explain = self.explainer(told.clone());
        // Jitter and tokens are drawn from this thread's generator.
        fastrand::seed(seed_of(self.seed, self.case.name()));
        let _listening = told.listen();
        let runtime = Builder::new_current_thread().enable_all().start_paused(self.is_virtual()).build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return explain(false, &format!("no runtime could be built: {error}"), ""),
        };
        record_panics();
        let end = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(self.carry_out(says))));
        let shut_down = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.shutdown_timeout(TASKS_END)));
        let panics = recorded_panics();
        match end {
            // A broken promise tells more than a panic that went before or came after it.
            Ok(End::Failed { failure, timeline }) if failure.is_broken_promise() => {
                explain(true, &failure.to_string(), &timeline)
            }
            _ if !panics.is_empty() || shut_down.is_err() => explain(false, &panics.join("\n"), ""),
            Err(_) => explain(false, "the case panicked", ""),
            Ok(End::Passed(used)) => {
                *waits = used;
                Verdict::Passed
            }
            Ok(End::Failed { failure, timeline }) => explain(false, &failure.to_string(), &timeline),
            Ok(End::Stopped { timeline }) => {
                let limit = self.case.limit(&self.timing);
                explain(false, &format!("the case hangs: it did not end within {limit:?} of its own clock"), &timeline)
            }
            Ok(End::LeftTasks(count)) => explain(
                false,
                &format!("{count} tasks are still alive {TASKS_END:?} after the last handle was dropped (R9)"),
                "",
            ),
        }
    }

    async fn carry_out(&self, says: &mpsc::Sender<Said>) -> End {
        let ready = self.harness.prepare(&self.namespace).await;
        // The receiver is gone when this came too late.
        let _ = says.send(Said::Ready);
        if let Err(error) = ready {
            self.harness.finish(&self.namespace).await;
            return End::Failed { failure: error.into(), timeline: String::new() };
        }
        let context = Context::new(self.harness.clone(), &self.namespace, self.timing.clone());
        let end = match tokio::time::timeout(self.case.limit(&self.timing), self.case.run(&context)).await {
            Ok(Ok(())) => End::Passed(context.waits()),
            Ok(Err(failure)) => End::Failed { failure, timeline: context.timeline() },
            Err(_) => End::Stopped { timeline: context.timeline() },
        };
        drop(context);
        self.harness.finish(&self.namespace).await;
        match (end, tasks_left().await) {
            (End::Passed(_), left) if left > 0 => End::LeftTasks(left),
            (end, _) => end,
        }
    }

    fn is_virtual(&self) -> bool {
        self.harness.virtual_time() && self.case.clock() == Clock::Any
    }

    fn real_limit(&self) -> Duration {
        let margin = self.timing.allow(Duration::from_secs(20));
        if self.is_virtual() { margin } else { self.case.limit(&self.timing) + margin }
    }

    /// Puts a failure into words: clause, what was expected and seen, the timeline, what was logged, and how to run the case alone.
    fn explainer(&self, told: Told) -> impl Fn(bool, &str, &str) -> Verdict + 'static {
        let mut head = String::new();
        for clause in self.case.clauses() {
            let text = clause.text().unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = writeln!(head, "clause {clause}: {text}");
        }
        let clock = if self.is_virtual() { "virtual" } else { "real" };
        let (namespace, ttl, seed) = (&self.namespace, self.timing.ttl(), self.seed);
        let scale = self.timing.scale();
        let scale = if scale > 1.0 { format!("{TIMING_VARIABLE}={scale} ") } else { String::new() };
        let alone = format!("{SEED_VARIABLE}={seed:x} {scale}{}", alone(self.case.name()));
        let foot = format!("namespace {namespace}, seed {seed:x}, TTL {ttl:?}, {clock} time\nalone: {alone}");
        let secrets = self.harness.secrets();
        move |assertion, text, timeline| {
            let events = if timeline.is_empty() { String::new() } else { format!("what happened:\n{timeline}") };
            let text = format!("{head}{text}\n{events}{}{foot}", told.text());
            let hide = |text: String, secret: &String| text.replace(secret.as_str(), "<the secret>");
            Verdict::Failed { assertion, text: secrets.iter().filter(|secret| !secret.is_empty()).fold(text, hide) }
        }
    }
}

/// What the choices of a case follow from: those of two cases differ, tokens of owners included, so that cases on one store are strangers to each other.
/// Those of one case repeat with the seed; its namespace does not.
fn seed_of(seed: u64, case: &str) -> u64 {
    case.bytes().fold(seed, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(17))
}

/// How many tasks of this runtime do not end in time.
async fn tasks_left() -> usize {
    let metrics = tokio::runtime::Handle::current().metrics();
    let deadline = tokio::time::Instant::now() + TASKS_END;
    loop {
        let left = metrics.num_alive_tasks();
        if left == 0 || tokio::time::Instant::now() >= deadline {
            return left;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The command that runs one case alone.
fn alone(name: &str) -> String {
    let program = std::env::args().next().unwrap_or_default();
    let stem = std::path::Path::new(&program).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    match (std::env::var("CARGO_PKG_NAME"), stem.rsplit_once('-')) {
        (Ok(package), Some((test, _hash))) => format!("cargo test -p {package} --test {test} -- --exact {name}"),
        _ => format!("{program} --exact {name}"),
    }
}

thread_local! {
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// From now on panics on this thread are kept instead of printed: those of background tasks, too, which tokio would swallow.
fn record_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let kept = PANICS.with_borrow_mut(|panics| panics.as_mut().map(|list| list.push(info.to_string())));
            if kept.is_none() {
                before(info);
            }
        }));
    });
    PANICS.set(Some(Vec::new()));
}

fn recorded_panics() -> Vec<String> {
    PANICS.take().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_cases_draw_the_same_tokens() {
        let cases = crate::cases::all();
        let draw = |seed, case: &Case| fastrand::Rng::with_seed(seed_of(seed, case.name())).u64(..);
        for seed in [0, 7, u64::MAX] {
            let drawn: BTreeSet<u64> = cases.iter().map(|case| draw(seed, case)).collect();
            assert_eq!(drawn.len(), cases.len(), "seed {seed}");
        }
    }
}
