//! The conformance suite for service registry adapters: every clause of the contract as a named case that anyone runs against an adapter of their own.
