//! The cases, by the letters of the contract.

mod discovery;
mod liveness;
mod look;
mod registration;
mod security;
mod validation;
mod watch;

use crate::case::Case;

/// Every case, in the order of the contract.
pub(crate) fn all() -> Vec<Case> {
    [registration::CASES, liveness::CASES, discovery::CASES, watch::CASES, validation::CASES, security::CASES].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use registry_core::store::Capabilities;

    use super::*;

    #[test]
    fn names_are_unique_and_begin_with_their_clause() {
        let mut names = BTreeSet::new();
        for case in all() {
            let clause = case.clauses()[0].0.to_lowercase();
            assert!(case.name().starts_with(&format!("{clause}_")), "{} is about {clause}", case.name());
            assert!(names.insert(case.name()), "two cases are called {}", case.name());
        }
    }

    #[test]
    fn every_clause_and_capability_that_a_case_names_exists() {
        let capabilities = Capabilities::default();
        let known: BTreeSet<&str> = capabilities.listed().iter().map(|(name, _)| *name).collect();
        for case in all() {
            assert!(case.clauses().iter().all(|clause| clause.text().is_some()), "{}", case.name());
            assert!(case.capabilities().iter().all(|name| known.contains(name)), "{}", case.name());
        }
    }
}
