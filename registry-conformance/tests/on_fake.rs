//! The suite through its front end, as an adapter's author runs it.

mod fake;

fn main() {
    registry_conformance::main(fake::Fake::default())
}
