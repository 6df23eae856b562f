//! The conformance suite on real etcd servers, with every fault.

use integration_tests::environment::Backend;
use integration_tests::harness;
use integration_tests::harness::etcd::EtcdHarness;

fn main() {
    harness::run(EtcdHarness::new(), Backend::Etcd.availability());
}
