//! Random fault rounds on a real Consul: see [`integration_tests::rounds`].
//!
//! Consul knows no sessions of agents. What stands for one here is the owner's token in a service's `Meta`: it lives while one of its services passes. An
//! entry is a service that passes, as no resolver is shown another.
//!
//! Needs what `scripts/test-all.sh` brings up; otherwise it shows as ignored.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use integration_tests::environment::Backend;
use integration_tests::rounds::{self, Entry, Failure, Ground};
use integration_tests::{ConsulDoor, ConsulServer};
use registry_consul::{Material, Options, Secret};
use registry_core::store::{Record, Store};
use registry_core::{Handle, HandleOptions};
use serde_json::Value;

fn main() {
    // They take about a minute.
    rounds::main::<Consul>(7);
}

struct Consul {
    server: ConsulServer,
    door: ConsulDoor,
}

impl Consul {
    fn options(&self, address: SocketAddr, handle: HandleOptions) -> Options {
        // The one token that a wiped server knows at once.
        let token = Material::Inline(Secret::new(self.server.root_token()));
        Options::new(format!("http://{address}")).with_token(token).with_handle(handle)
    }

    /// The services that pass all their checks, by id.
    async fn passing(&self) -> Result<BTreeMap<String, Value>, Failure> {
        let checks = self.door.get("/v1/agent/checks").await?.ok()?;
        let checks: Vec<&Value> = checks.as_object().into_iter().flat_map(|checks| checks.values()).collect();
        let fails = |id: &str| checks.iter().any(|check| check["ServiceID"] == id && check["Status"] != "passing");
        let services = self.door.services().await?.into_iter();
        Ok(services.filter(|(id, _)| !fails(id)).collect())
    }
}

/// The owner's token, short enough for a session's id.
fn session(service: &Value) -> Option<u64> {
    let token = service["Meta"]["owner"].as_str()?;
    let mut hasher = DefaultHasher::new();
    token.hash(&mut hasher);
    Some(hasher.finish())
}

/// The definition that was registered, as the adapter writes it for an instance without codec, times and network.
fn definition(id: &str, service: &Value) -> Vec<u8> {
    let part = |name: &str| &service[name];
    let (passing, warning) = (&part("Weights")["Passing"], &part("Weights")["Warning"]);
    let (name, tags, port, address) = (part("Service"), part("Tags"), part("Port"), part("Address"));
    format!(
        r#"{{"ID":{},"Name":{name},"Tags":{tags},"Port":{port},"Address":{address},"Weights":{{"Passing":{passing},"Warning":{warning}}}}}"#,
        Value::from(id)
    )
    .into_bytes()
}

#[async_trait(?Send)]
impl Ground for Consul {
    const BACKEND: Backend = Backend::Consul;
    const SMALLEST_TTL: Duration = Duration::from_secs(3);
    const SESSIONS: usize = 1;
    // One that waits for changes; and as many as there are calls at once, which stay open for a while.
    const CONNECTIONS: u64 = 16;
    const POOLED: bool = true;

    async fn start() -> Result<Self, Failure> {
        let server = ConsulServer::start().await?;
        let door = server.door();
        Ok(Self { server, door })
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    async fn connect(&self, address: SocketAddr, handle: HandleOptions) -> Result<Handle, Failure> {
        Ok(registry_consul::connect(self.options(address, handle)).await?)
    }

    fn store(&self, handle: HandleOptions) -> Result<Box<dyn Store>, Failure> {
        Ok(Box::new(self.options(self.address(), handle).client()?))
    }

    async fn kill(&self) -> Result<(), Failure> {
        Ok(self.server.kill().await?)
    }

    async fn restart(&self) -> Result<(), Failure> {
        Ok(self.server.restart().await?)
    }

    async fn wipe(&self) -> Result<(), Failure> {
        Ok(self.server.wipe().await?)
    }

    async fn freeze(&self) -> Result<(), Failure> {
        Ok(self.server.freeze().await?)
    }

    async fn thaw(&self) -> Result<(), Failure> {
        Ok(self.server.thaw().await?)
    }

    /// The agent forgets all that this owner registered, as it does when it reaps it.
    async fn expire(&self, owner: u64) -> Result<(), Failure> {
        for (id, service) in self.door.services().await? {
            if session(&service) == Some(owner) {
                self.door.deregister(&id).await?;
            }
        }
        Ok(())
    }

    /// Without a token: to the owner of what stood there it is a successor's.
    async fn put(&self, record: &Record) -> Result<(), Failure> {
        // A check that is left from the earlier entry would make this one critical in a while.
        if self.door.service(record.key().as_str()).await?.is_some() {
            self.door.deregister(record.key().as_str()).await?;
        }
        Ok(self.door.register(&serde_json::from_slice(record.value())?).await?)
    }

    /// One that is gone already stays so.
    async fn delete(&self, key: &str) -> Result<(), Failure> {
        if self.door.service(key).await?.is_some() {
            self.door.deregister(key).await?;
        }
        Ok(())
    }

    async fn entries(&self, service: &str) -> Result<BTreeMap<String, Entry>, Failure> {
        let of_it = self.passing().await?.into_iter().filter(|(_, one)| one["Service"] == service);
        let entry = |(id, one): (String, Value)| {
            let entry = Entry { value: definition(&id, &one), session: session(&one) };
            (id, entry)
        };
        Ok(of_it.map(entry).collect())
    }

    async fn sessions(&self) -> Result<Vec<u64>, Failure> {
        let mut sessions: Vec<u64> = self.passing().await?.values().filter_map(session).collect();
        sessions.sort_unstable();
        sessions.dedup();
        Ok(sessions)
    }

    /// Those that pass: the agent reaps the others in its own time.
    async fn strays(&self, sessions: &[u64]) -> Result<Vec<String>, Failure> {
        let stray = |service: &Value| !session(service).is_some_and(|owner| sessions.contains(&owner));
        Ok(self.passing().await?.into_iter().filter(|(_, service)| stray(service)).map(|(id, _)| id).collect())
    }
}
