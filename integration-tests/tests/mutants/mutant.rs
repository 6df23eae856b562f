//! What a mutant is.

use integration_tests::memory::MemoryHarness;

/// A broken adapter, and the case that catches it.
#[derive(Clone, Copy)]
pub(crate) struct Mutant {
    /// What it does wrong.
    pub(crate) bug: &'static str,
    /// Whose mistake that was, or why it is likely.
    pub(crate) seen_in: &'static str,
    /// The case that fails on it, by its own assertion.
    pub(crate) case: &'static str,
    /// What has to come together for the mistake to show; none when a plain call shows it.
    pub(crate) under: Option<&'static str>,
    /// How often that case has to pass on the correct adapter.
    pub(crate) correct_runs: usize,
    /// The broken adapter.
    pub(crate) harness: fn() -> MemoryHarness,
}

impl Mutant {
    pub(crate) const fn new(
        bug: &'static str,
        seen_in: &'static str,
        case: &'static str,
        harness: fn() -> MemoryHarness,
    ) -> Self {
        Self { bug, seen_in, case, under: None, correct_runs: 50, harness }
    }

    /// The same mutant of a case in real time, which the correct adapter passes fewer times so that the run stays short.
    #[must_use]
    pub(crate) const fn in_real_time(mut self) -> Self {
        self.correct_runs = 2;
        self
    }

    /// The same mutant, which shows only when this comes together.
    #[must_use]
    pub(crate) const fn under(mut self, combination: &'static str) -> Self {
        self.under = Some(combination);
        self
    }

    pub(crate) fn is_called(&self, filter: &str) -> bool {
        self.bug.contains(filter) || self.case.contains(filter)
    }
}
