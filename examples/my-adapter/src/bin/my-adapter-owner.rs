//! `my-adapter-owner FOLDER TTL_MS SERVICE ADDRESS` registers one instance and keeps it registered until it is killed.

use std::time::Duration;

use registry_core::{HandleOptions, Info, Registry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or(format!("{what} is missing: FOLDER TTL_MS SERVICE ADDRESS"));
    let (folder, ttl) = (next("FOLDER")?, Duration::from_millis(next("TTL_MS")?.parse()?));
    let info = Info::builder(next("SERVICE")?.as_str()).address(next("ADDRESS")?.as_str()).build()?;
    let owner = my_adapter::connect(folder, HandleOptions::with_ttl(ttl)).await?;
    owner.register(&info).await?;
    std::future::pending::<()>().await;
    Ok(())
}
