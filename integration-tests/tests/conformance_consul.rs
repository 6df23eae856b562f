//! The conformance suite on real Consul servers, with every fault that they can have.

use integration_tests::environment::Backend;
use integration_tests::harness;
use integration_tests::harness::consul::ConsulHarness;

fn main() {
    harness::run(ConsulHarness::new(), Backend::Consul.availability());
}
