//! The program on etcd.

use std::error::Error;

use registry_etcd::{Info, Options, Registry, Resolver, connect};

include!("program.rs");

pub(crate) async fn main(endpoint: &str) -> Result<(), Box<dyn Error>> {
    serve_and_find(Options::new([endpoint])).await
}
