#![doc = include_str!("../README.md")]

#[doc = include_str!("../docs/write-an-adapter.md")]
pub mod write_an_adapter {}

mod case;
mod cases;
mod clause;
mod context;
mod failure;
mod harness;
mod hooks;
mod log;
mod report;
mod runner;
mod selection;
mod suite;
mod timing;
mod waits;

pub use self::case::{Case, Clock, Level, Run};
pub use self::clause::Clause;
pub use self::context::{Context, Owner};
pub use self::failure::Failure;
pub use self::harness::{ConnectRequest, Credentials, HandleId, Harness};
pub use self::hooks::{Access, Hook, HookError, Hooks};
pub use self::report::{REPORT_VARIABLE, Report};
pub use self::runner::{CaseResult, Verdict};
pub use self::suite::{SEED_VARIABLE, Suite, main, run_case};
pub use self::timing::{TIMING_VARIABLE, Timing};
pub use self::waits::Wait;

/// Every case of the suite, in the order of the contract.
pub fn cases() -> Vec<Case> {
    cases::all()
}
