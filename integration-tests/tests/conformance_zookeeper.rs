//! The conformance suite on real ZooKeeper servers, with every fault.

use integration_tests::environment::Backend;
use integration_tests::harness;
use integration_tests::harness::zookeeper::ZooKeeperHarness;

fn main() {
    harness::run(ZooKeeperHarness::new(), Backend::Zookeeper.availability());
}
