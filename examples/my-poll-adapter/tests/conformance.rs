//! The conformance suite on this adapter.

use std::path::PathBuf;
use std::time::Duration;

use registry_conformance::{ConnectRequest, Harness};
use registry_core::store::{Capabilities, Store as _};
use registry_core::{Error, ServiceRegistry};

struct SharedTable(PathBuf);

#[async_trait::async_trait]
impl Harness for SharedTable {
    fn adapter(&self) -> &str {
        "shared table"
    }
    fn capabilities(&self) -> Capabilities {
        my_poll_adapter::Client::new(&self.0).capabilities()
    }
    fn smallest_ttl(&self) -> Duration {
        Duration::from_secs(2)
    }
    async fn connect(&self, request: ConnectRequest) -> Result<Box<dyn ServiceRegistry>, Error> {
        Ok(Box::new(my_poll_adapter::connect(self.0.join(request.namespace), request.options).await?))
    }
    async fn finish(&self, namespace: &str) {
        // One of the two is there only for the cases on two namespaces, and the folder above goes with the last case.
        let _ = [namespace, &format!("{namespace}-b")].map(|name| std::fs::remove_dir_all(self.0.join(name)));
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn main() {
    registry_conformance::main(SharedTable(my_store::scratch("my-poll-adapter")))
}
