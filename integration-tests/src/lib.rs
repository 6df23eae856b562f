//! The conformance suite run on every adapter, and what belongs to no single crate.
