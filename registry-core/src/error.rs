//! Errors, typed by what the caller can do about them (clause V3).

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// What the caller of a failed call can do about it (clause V3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input can never be accepted: mend it. [`Error::invalid_field`] names the field.
    InvalidInput,
    /// The store cannot be reached: try again later.
    Unreachable,
    /// No answer came in time: the outcome is unknown.
    TimedOut,
    /// The store refused the credentials, or they do not permit this.
    Denied,
    /// The configuration cannot work (TLS, certificates): permanent until it is mended.
    Misconfigured,
    /// This handle was closed, or the runtime that it ran on has ended.
    Closed,
    /// Anything else; the source tells.
    Other,
}

impl ErrorKind {
    /// The kind as one lower-case word, as used in log lines and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Denied => "denied",
            Self::Misconfigured => "misconfigured",
            Self::Closed => "closed",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidInput => "invalid input",
            Self::Unreachable => "store unreachable",
            Self::TimedOut => "no answer in time",
            Self::Denied => "denied by the store",
            Self::Misconfigured => "misconfigured",
            Self::Closed => "closed",
            Self::Other => "failed",
        })
    }
}

/// Whether a failed call may have changed the store (clause R4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing was changed, and nothing will be.
    NotApplied,
    /// The change may have happened or may happen yet. After a failed `register` the handle brings the
    /// store back to what it wanted before the call; after a failed `deregister` it completes the withdrawal.
    Unknown,
}

/// The error of every fallible call: kind, operation, subject and source.
///
/// `Display` is one line, lower case: what was tried, why it failed, and whether the outcome is known.
/// No secret appears in it (clause X2). Cheap to clone.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    outcome: Outcome,
    operation: &'static str,
    subject: Option<Arc<str>>,
    message: Arc<str>,
    invalid: Option<Arc<InvalidField>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` in `operation` (a verb: `register`, `resolve`, …), with nothing applied.
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            outcome: Outcome::NotApplied,
            operation,
            subject: None,
            message: message.into().into(),
            invalid: None,
            source: None,
        }
    }

    /// The error of a call on a closed handle.
    pub fn closed(operation: &'static str) -> Self {
        Self::new(ErrorKind::Closed, operation, "this handle was closed")
    }

    /// The same error, about `subject` (a service name, a key).
    #[must_use]
    pub fn about(mut self, subject: impl fmt::Display) -> Self {
        self.subject = Some(subject.to_string().into());
        self
    }

    /// The same error, with this outcome.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// The same error, caused by `source`.
    #[must_use]
    pub fn with_source(mut self, source: Arc<dyn StdError + Send + Sync>) -> Self {
        self.source = Some(source);
        self
    }

    /// The same error, in another operation.
    #[must_use]
    pub fn in_operation(mut self, operation: &'static str) -> Self {
        self.operation = operation;
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the store may have been changed all the same.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The operation that failed: `register`, `deregister`, `resolve`, `connect`, ….
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// What was said about the failure, without operation, subject and kind.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The field that was refused, when the kind is [`ErrorKind::InvalidInput`].
    pub fn invalid_field(&self) -> Option<&InvalidField> {
        self.invalid.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation)?;
        if let Some(subject) = &self.subject {
            write!(f, " {subject}")?;
        }
        write!(f, ": {}: {}", self.kind, self.message)?;
        if self.outcome == Outcome::Unknown && self.kind != ErrorKind::TimedOut {
            f.write_str(" (outcome unknown)")?;
        } else if self.outcome == Outcome::Unknown {
            f.write_str(", outcome unknown")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("outcome", &self.outcome)
            .field("operation", &self.operation)
            .field("subject", &self.subject)
            .field("message", &self.message)
            .field("invalid", &self.invalid)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

impl From<InvalidField> for Error {
    fn from(invalid: InvalidField) -> Self {
        let mut error = Self::new(ErrorKind::InvalidInput, "validate", invalid.to_string());
        error.invalid = Some(Arc::new(invalid));
        error
    }
}

/// A refused input: which field, what is wrong with it, and the limit if there is one (clause V1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    field: &'static str,
    offence: String,
    limit: Option<String>,
}

impl InvalidField {
    /// `field` is the name of the builder's setter (`service`, `address`, `weight`, `tags`, …) or of the option.
    pub fn new(field: &'static str, offence: impl Into<String>) -> Self {
        Self { field, offence: offence.into(), limit: None }
    }

    /// The same refusal, with the limit that was passed (`at most 255 bytes`).
    #[must_use]
    pub fn with_limit(mut self, limit: impl Into<String>) -> Self {
        self.limit = Some(limit.into());
        self
    }

    /// The field that was refused.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// What is wrong with it.
    pub fn offence(&self) -> &str {
        &self.offence
    }

    /// What would be accepted, where there is a limit.
    pub fn limit(&self) -> Option<&str> {
        self.limit.as_deref()
    }
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.offence)?;
        if let Some(limit) = &self.limit {
            write!(f, " ({limit})")?;
        }
        Ok(())
    }
}

impl StdError for InvalidField {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_line_that_says_what_why_and_whether_it_happened() {
        let error = Error::new(ErrorKind::TimedOut, "register", "no answer after 5s")
            .about("demo/10.0.0.5:8888")
            .with_outcome(Outcome::Unknown);
        assert_eq!(
            error.to_string(),
            "register demo/10.0.0.5:8888: no answer in time: no answer after 5s, outcome unknown"
        );
    }

    #[test]
    fn a_refusal_names_field_offence_and_limit() {
        let error = Error::from(InvalidField::new("weight", "is 0").with_limit("1 to 65535"));
        let field = error.invalid_field().unwrap();
        assert_eq!((field.field(), field.offence(), field.limit()), ("weight", "is 0", Some("1 to 65535")));
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().ends_with("weight: is 0 (1 to 65535)"));
    }
}
