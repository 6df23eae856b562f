//! L: liveness.

use async_trait::async_trait;
use integration_tests::memory::MemoryHarness;
use registry_core::store::{Key, Record, Session, SessionError};

use crate::mutant::Mutant;
use crate::twist::{StoreTwist, TwistedStore};

pub(crate) const MUTANTS: &[Mutant] = &[Mutant::new(
    "renewals go for an empty id, so that nothing is kept alive",
    "Kitex Consul",
    "r3_a_second_registration_leaves_the_first_alone",
    || MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, RenewsNothing)),
)];

struct RenewsNothing;

#[async_trait]
impl StoreTwist for RenewsNothing {
    async fn renew(&self, _: &dyn Session, _: &[Record]) -> Result<Vec<Key>, SessionError> {
        Ok(Vec::new())
    }
}
