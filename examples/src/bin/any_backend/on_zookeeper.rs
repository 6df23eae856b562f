//! The program on ZooKeeper.

use std::error::Error;

use registry_zookeeper::{Info, Options, Registry, Resolver, connect};

include!("program.rs");

pub(crate) async fn main(address: &str) -> Result<(), Box<dyn Error>> {
    serve_and_find(Options::new(address)).await
}
