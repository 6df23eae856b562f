//! The program on Consul.

use std::error::Error;

use registry_consul::{Info, Options, Registry, Resolver, connect};

include!("program.rs");

pub(crate) async fn main(address: &str) -> Result<(), Box<dyn Error>> {
    serve_and_find(Options::new(format!("http://{address}"))).await
}
