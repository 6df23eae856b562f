//! The program on memory.

use std::error::Error;

use registry_memory::{Info, MemoryStore, Options, Registry, Resolver, connect};

include!("program.rs");

pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    serve_and_find(Options::new(MemoryStore::named("any-backend"))).await
}
