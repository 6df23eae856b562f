//! What a case says when it fails.

use std::fmt;

use registry_core::Error;

use crate::hooks::HookError;

/// Why a case did not pass. Cases return it instead of panicking, so that a broken promise is told from a broken test bench.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    broken: bool,
    text: String,
}

impl Failure {
    /// The adapter broke the promise that the case is about.
    pub fn broken(text: impl fmt::Display) -> Self {
        Self { broken: true, text: text.to_string() }
    }

    /// The case could not be carried out: a step that it takes for granted failed.
    pub fn bench(text: impl fmt::Display) -> Self {
        Self { broken: false, text: text.to_string() }
    }

    /// Whether the promise itself was seen broken.
    pub fn is_broken_promise(&self) -> bool {
        self.broken
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::bench(format!("a step that this case takes for granted failed: {error}"))
    }
}

impl From<HookError> for Failure {
    fn from(error: HookError) -> Self {
        Self::bench(format!("a hook of the harness failed: {error}"))
    }
}

/// Fails the case when a promise does not hold: `ensure!(condition, "expected …; seen …")`.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::Failure::broken(format!($($text)+)));
        }
    };
}

/// What was expected of a call whose success is itself the promise.
pub(crate) trait Promised<T> {
    /// Turns an error into a broken promise.
    fn promised(self, what: &str) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Promised<T> for Result<T, E> {
    fn promised(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::broken(format!("expected: {what}; seen: {error}")))
    }
}
