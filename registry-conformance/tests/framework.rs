//! What the framework itself promises, on cases made for it and a registry made for it.

mod fake;

use std::sync::Arc;
use std::time::Duration;

use registry_conformance::{Case, Clock, Context, Failure, Hook, Suite, Timing, Verdict, case, ensure};
use registry_core::HandleState;

use self::fake::Fake;

const CASES: &[Case] = &[
    case!(R1: passes),
    case!(R6: breaks),
    case!(R1: waits_for_ever),
    case!(R1: panics),
    case!(R1: panics_in_the_background),
    case!(R1: leaves_a_task),
    case!(R1: cannot_begin),
    case!(R1: draws),
    case!(L4: needs_hooks).with_hooks(&[Hook::RawRemove, Hook::Expire]),
];

async fn passes(ctx: &Context) -> Result<(), Failure> {
    let owner = ctx.connect().await?;
    ensure!(owner.status().borrow().state == HandleState::Connected, "not connected");
    Ok(())
}

async fn breaks(ctx: &Context) -> Result<(), Failure> {
    let owner = ctx.connect().await?;
    ctx.register(&owner, &ctx.info(&ctx.service())).await?;
    tracing::info!(fuel = "coal", "the fire is lit");
    ctx.eventually(Duration::from_secs(3), "a miracle", async || Err::<(), _>("none".to_owned())).await
}

async fn waits_for_ever(_: &Context) -> Result<(), Failure> {
    std::future::pending().await
}

async fn panics(_: &Context) -> Result<(), Failure> {
    panic!("the roof is on fire")
}

async fn panics_in_the_background(_: &Context) -> Result<(), Failure> {
    let task = tokio::spawn(async { panic!("the cellar is on fire") });
    ensure!(task.await.is_err(), "the task did not panic");
    Ok(())
}

async fn leaves_a_task(_: &Context) -> Result<(), Failure> {
    tokio::spawn(std::future::pending::<()>());
    Ok(())
}

async fn cannot_begin(ctx: &Context) -> Result<(), Failure> {
    let owner = ctx.connect().await?;
    ctx.close(&owner).await?;
    ctx.register(&owner, &ctx.info(&ctx.service())).await?;
    Ok(())
}

async fn needs_hooks(ctx: &Context) -> Result<(), Failure> {
    ctx.hooks().map(|_| ())
}

/// What is drawn at random, as the text of a failure.
async fn draws(_: &Context) -> Result<(), Failure> {
    Err(Failure::broken(format!("drew {:x}", fastrand::u64(..))))
}

fn suite() -> Suite {
    Suite::with(Arc::new(Fake::default()), Timing::new(Duration::from_secs(2), 1.0), CASES.to_vec())
}

fn failure(name: &str) -> (bool, String) {
    match suite().run_case(name).expect("the case exists").verdict {
        Verdict::Failed { assertion, text } => (assertion, text),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn a_kept_promise_passes() {
    assert_eq!(suite().run_case("passes").unwrap().verdict, Verdict::Passed);
    assert!(suite().run_case("no_such_case").is_none());
}

#[test]
fn a_broken_promise_shows_clause_times_and_how_to_run_it_alone() {
    let (assertion, text) = failure("breaks");
    assert!(assertion, "{text}");
    for part in [
        "clause R6: **A successor is safe.**",
        "expected within 3s: a miracle; seen from 0.000 s to 3.000 s, at last: none",
        "handle 0: register service-0/10.1.0.0:8888 (weight 10): ok",
        "namespace c-",
        "virtual time",
        "what was logged:\n      0.",
        " s  INFO framework the fire is lit fuel=\"coal\"",
        "seed ",
        "alone: REGISTRY_CONFORMANCE_SEED=",
        "cargo test -p registry-conformance --test framework -- --exact breaks",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[test]
fn the_log_of_another_case_is_not_shown() {
    let (_, text) = failure("cannot_begin");
    assert!(!text.contains("the fire is lit"), "{text}");
}

#[test]
fn the_same_seed_draws_the_same_again() {
    let drawn = |seed| match suite().with_seed(seed).run_case("draws").expect("the case exists").verdict {
        Verdict::Failed { text, .. } => text.lines().find(|line| line.starts_with("drew ")).map(str::to_owned),
        other => panic!("{other:?}"),
    };
    assert!(drawn(7).is_some());
    assert_eq!(drawn(7), drawn(7));
    assert_ne!(drawn(7), drawn(8));
}

#[test]
fn a_provisional_case_that_fails_does_not_fail_the_run() {
    let run = |case: Case| {
        let suite = Suite::with(Arc::new(Fake::default()), Timing::new(Duration::from_secs(2), 1.0), vec![case]);
        let arguments = libtest_mimic::Arguments { quiet: true, ..Default::default() };
        suite.run(&arguments).expect("no report is written").num_failed
    };
    assert_eq!((run(case!(R1: draws)), run(case!(R1: draws).provisional())), (1, 0));
}

#[test]
fn a_case_that_hangs_fails_without_blaming_the_adapter() {
    let (assertion, text) = failure("waits_for_ever");
    assert!(!assertion && text.contains("the case hangs"), "{text}");
}

#[test]
fn a_panic_fails_the_case_also_in_a_background_task() {
    let (assertion, text) = failure("panics");
    assert!(!assertion && text.contains("the roof is on fire") && text.contains("framework.rs:"), "{text}");
    let (assertion, text) = failure("panics_in_the_background");
    assert!(!assertion && text.contains("the cellar is on fire"), "{text}");
}

#[test]
fn a_task_that_outlives_its_handle_fails_the_case() {
    let (assertion, text) = failure("leaves_a_task");
    assert!(!assertion && text.contains("1 tasks are still alive"), "{text}");
}

#[test]
fn a_step_taken_for_granted_that_fails_is_no_broken_promise() {
    let (assertion, text) = failure("cannot_begin");
    assert!(!assertion && text.contains("takes for granted failed: register: closed"), "{text}");
}

#[test]
fn a_missing_hook_is_a_reason_and_is_counted_in_the_report() {
    let suite = suite();
    let verdict = suite.run_case("needs_hooks").unwrap().verdict;
    assert_eq!(verdict, Verdict::NotApplicable("the harness offers no hook raw_remove, expire".to_owned()));
    suite.run_case("passes").unwrap();
    let report: serde_json::Value = serde_json::from_str(&suite.report().to_json()).unwrap();
    assert_eq!(report["missing_hooks"]["raw_remove"], serde_json::json!(["needs_hooks"]));
    assert_eq!(report["summary"]["core"]["passed"], 1);
    assert_eq!(report["summary"]["extended"]["not_applicable"], 1);
    assert_eq!(report["cases"][0]["outcome"], "not_applicable");
}

#[test]
fn every_case_in_virtual_time_passes_on_a_registry_made_for_it() {
    let suite = Suite::new(Arc::new(Fake::default())).unwrap();
    for name in suite.cases().iter().filter(|case| case.clock() == Clock::Any).map(Case::name) {
        if let Verdict::Failed { text, .. } = suite.run_case(name).unwrap().verdict {
            panic!("{name}:\n{text}");
        }
    }
}
