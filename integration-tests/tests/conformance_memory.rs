//! The conformance suite, faults included, on the memory adapter: in virtual time.

use integration_tests::memory::MemoryHarness;

fn main() {
    registry_conformance::main(MemoryHarness::new())
}
