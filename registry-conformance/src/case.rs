//! Cases as data.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;

use crate::clause::Clause;
use crate::context::Context;
use crate::failure::Failure;
use crate::hooks::Hook;
use crate::timing::Timing;

/// What a case runs.
pub type Run = for<'a> fn(&'a Context) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;

/// One case of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    clauses: &'static [&'static str],
    hooks: &'static [Hook],
    capabilities: &'static [&'static str],
    clock: Clock,
    provisional: bool,
    lasts: fn(&Timing) -> Duration,
    run: Run,
}

/// How binding a case is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The contract marks the clause as Core, and the case needs no hook: every adapter runs and passes it.
    Core,
    /// Any other clause, or a case that needs a hook: passed where the harness can offer it.
    Extended,
    /// New: may still change, and does not count yet.
    Provisional,
}

/// Which clock a case needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Virtual time where the harness has it.
    Any,
    /// Real time always: it keeps tasks runnable, uses threads, or does real I/O.
    Real,
}

impl Case {
    /// A case of these clauses (the first one is what it is about), on any clock, without hooks.
    pub const fn new(name: &'static str, clauses: &'static [&'static str], run: Run) -> Self {
        let lasts: fn(&Timing) -> Duration = |_| Duration::from_millis(100);
        Self { name, clauses, hooks: &[], capabilities: &[], clock: Clock::Any, provisional: false, lasts, run }
    }

    /// The same case, which needs these hooks.
    #[must_use]
    pub const fn with_hooks(mut self, hooks: &'static [Hook]) -> Self {
        self.hooks = hooks;
        self
    }

    /// The same case, which applies only where these capabilities are offered (by their names in
    /// [`Capabilities::listed`](registry_core::store::Capabilities::listed)).
    #[must_use]
    pub const fn where_offered(mut self, capabilities: &'static [&'static str]) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// The same case, on the real clock only.
    #[must_use]
    pub const fn in_real_time(mut self) -> Self {
        self.clock = Clock::Real;
        self
    }

    /// The same case, which does not count yet.
    #[must_use]
    pub const fn provisional(mut self) -> Self {
        self.provisional = true;
        self
    }

    /// The same case, with how long it takes on a correct adapter. It is stopped after three times as long and a minute.
    #[must_use]
    pub const fn lasting(mut self, lasts: fn(&Timing) -> Duration) -> Self {
        self.lasts = lasts;
        self
    }

    /// The name, which says the fact that is checked.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The clauses, the one that the case is about first.
    pub fn clauses(&self) -> Vec<Clause> {
        self.clauses.iter().copied().map(Clause).collect()
    }

    /// The hooks that it needs.
    pub fn hooks(&self) -> &'static [Hook] {
        self.hooks
    }

    /// The capabilities that it is about, by name.
    pub fn capabilities(&self) -> &'static [&'static str] {
        self.capabilities
    }

    /// The clock that it needs.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// How binding it is.
    pub fn level(&self) -> Level {
        match self.clauses.first() {
            _ if self.provisional => Level::Provisional,
            Some(clause) if self.hooks.is_empty() && Clause(clause).is_core() => Level::Core,
            _ => Level::Extended,
        }
    }

    /// How long it takes on a correct adapter.
    pub fn lasts(&self, timing: &Timing) -> Duration {
        (self.lasts)(timing)
    }

    /// When it is stopped.
    pub fn limit(&self, timing: &Timing) -> Duration {
        self.lasts(timing) * 3 + timing.allow(Duration::from_secs(60))
    }

    pub(crate) fn run<'a>(&self, context: &'a Context) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>> {
        (self.run)(context)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).field("clauses", &self.clauses).finish_non_exhaustive()
    }
}

/// A [`Case`] from an `async fn(&Context) -> Result<(), Failure>`, named as the function: `case!(R1, R2: registered_is_seen)`.
#[macro_export]
macro_rules! case {
    ($($clause:ident),+ : $function:ident) => {
        $crate::Case::new(stringify!($function), &[$(stringify!($clause)),+], |context| {
            Box::pin($function(context))
        })
    };
}
