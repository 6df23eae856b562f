//! R: registration.

use async_trait::async_trait;
use integration_tests::memory::MemoryHarness;
use registry_core::{Error, Handle, Info, Registry as _};

use crate::mutant::Mutant;
use crate::twist::{Twist, Twisted};

pub(crate) const MUTANTS: &[Mutant] = &[Mutant::new(
    "register answers before anything was written",
    "adapters that register in the background",
    "r1_registered_is_seen_by_another_handle_at_once",
    || MemoryHarness::new().with_handle(|handle, _| Box::new(Twisted(AnswersEarly(handle)))),
)];

struct AnswersEarly(Handle);

#[async_trait]
impl Twist for AnswersEarly {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn register(&self, info: &Info) -> Result<(), Error> {
        let (handle, info) = (self.0.clone(), info.clone());
        tokio::spawn(async move { handle.register(&info).await });
        Ok(())
    }
}
