//! The cases, by the letters of the contract.

mod credentials;
mod discovery;
mod discovery_apart;
mod liveness;
mod liveness_recovery;
mod liveness_status;
mod look;
mod registration;
mod registration_failure;
mod registration_handle;
mod registration_takeover;
mod registration_withdrawal;
mod security;
mod server;
mod steps;
mod validation;
mod validation_errors;
mod views;
mod watch;
mod watch_last;
mod watch_sharing;
mod watch_stale;

use crate::case::Case;

/// Every case, in the order of the contract.
pub(crate) fn all() -> Vec<Case> {
    [
        registration::CASES,
        registration_failure::CASES,
        registration_takeover::CASES,
        registration_withdrawal::CASES,
        registration_handle::CASES,
        liveness::CASES,
        liveness_recovery::CASES,
        liveness_status::CASES,
        discovery::CASES,
        discovery_apart::CASES,
        watch::CASES,
        watch_last::CASES,
        watch_sharing::CASES,
        watch_stale::CASES,
        validation::CASES,
        validation_errors::CASES,
        server::CASES,
        credentials::CASES,
        security::CASES,
    ]
    .concat()
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
