//! One client of a Consul agent: core's [`Store`] over the transport.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_core::store::{
    Capabilities, Found, Key, OpenRequest, Record, Renewal, Session, Store, StoreError, Support, View, to_go_json,
};
use registry_core::{Info, InvalidField, ServiceName};

use crate::config::Config;
use crate::definition::{self, Definition};
use crate::entries;
use crate::session::ConsulSession;
use crate::transport::Transport;
use crate::view::ConsulView;

/// Entries in one put, remove, inspect or renewal: each is a few requests of its own. Four batches at once are as many as there are connections for.
const MAX_BATCH: usize = 8;

/// Agents that were cut off from the servers and are back stand there as dead until gossip has told otherwise: 17 to 40 s in seven tries on 1.8, as members
/// compare what they know each 30 s.
const LEAST_GRACE: Duration = Duration::from_secs(60);

/// A client of one Consul agent: what [`Handle`](crate::Handle) drives.
///
/// Made by [`Options::client`](crate::Options::client) for wrappers and tests at the level of single operations; programs use
/// [`connect`](crate::connect). Nothing is sent before the first operation.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Arc<Transport>,
}

impl Client {
    pub(crate) fn new(config: Config) -> Self {
        Self { transport: Arc::new(Transport::new(config)) }
    }
}

#[async_trait]
impl Store for Client {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            atomic_withdrawal: Support::NotOffered(
                "an agent removes by id alone, so that the owner is read by a request before it",
            ),
            conditional_writes: Support::NotOffered(
                "an agent registers under an id whatever stands there, so that the owner is read by a request before it",
            ),
            write_fencing: Support::NotOffered("an agent carries out every registration that reaches it, however late"),
            linearizable_resolve: Support::NotOffered(
                "an agent answers before it has told the servers, which are what resolvers ask",
            ),
            unix_addresses: Support::NotOffered("a service has a host and a port; socket paths came with Consul 1.10"),
            renewal: Renewal::Entry,
            least_grace: LEAST_GRACE,
            end_withdraws: false,
            max_batch: MAX_BATCH,
            ..Capabilities::default()
        }
    }

    fn endpoints(&self) -> Vec<String> {
        vec![self.transport.config().host_and_port.clone()]
    }

    fn check_service(&self, service: &ServiceName) -> Result<(), InvalidField> {
        definition::check_service(service)
    }

    fn encode(&self, info: &Info) -> Result<Record, InvalidField> {
        let definition = Definition::new(info)?;
        // Strings, numbers and maps with string keys are JSON.
        let value = to_go_json(&definition).unwrap_or_default();
        Record::fitting(Key::new(definition.id), value, info)
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        Ok(Arc::new(ConsulSession::open(self.transport.clone(), request).await?))
    }

    async fn list(&self, service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        let listed = self.transport.list(service.as_str()).await?;
        Ok(listed.entries.iter().filter_map(|raw| entries::found(service, raw)).collect())
    }

    async fn view(&self, service: &ServiceName, _attempt: u32) -> Result<Box<dyn View>, StoreError> {
        Ok(Box::new(ConsulView::open(self.transport.clone(), service.clone()).await?))
    }
}

#[cfg(test)]
mod tests {
    use registry_core::MAX_ENTRY;
    use serde_json::{Value, json};

    use super::*;
    use crate::Options;

    fn client() -> Client {
        Options::default().client().unwrap()
    }

    #[test]
    fn a_record_is_the_definition_of_kitex() {
        let info = Info::builder("demo").address("10.0.0.5:8888").tag("idc", "hd1").build().unwrap();
        let record = client().encode(&info).unwrap();
        assert_eq!(record.key().as_str(), "demo:10.0.0.5:8888");
        let value: Value = serde_json::from_slice(record.value()).unwrap();
        assert_eq!((&value["ID"], &value["Tags"]), (&json!("demo:10.0.0.5:8888"), &json!(["idc:hd1"])));
    }

    #[test]
    fn the_endpoint_is_the_agent() {
        let endpoints = |address: &str| Options::new(address).client().unwrap().endpoints();
        assert_eq!(endpoints("https://consul-1/base"), ["consul-1:8501"]);
        assert_eq!(endpoints("[::1]"), ["[::1]:8500"]);
    }

    #[test]
    fn a_name_that_cannot_be_kept_apart_is_refused_for_reading_too() {
        for name in ["a:b", "%2e%2e"] {
            assert!(client().check_service(&name.try_into().unwrap()).is_err(), "{name}");
        }
    }

    #[test]
    fn an_entry_past_the_limit_is_refused_by_field_and_limit() {
        let info = Info::builder("demo").address("10.0.0.5:8888").tag("k", "x".repeat(MAX_ENTRY - 100)).build();
        let refused = info.map(|info| client().encode(&info));
        let field = match refused {
            Ok(Err(refused)) | Err(refused) => refused.field(),
            Ok(Ok(record)) => panic!("{} bytes were accepted", record.value().len()),
        };
        assert_eq!(field, "tags");
    }

    #[test]
    fn what_is_not_offered_says_why() {
        let capabilities = client().capabilities();
        let offered: Vec<&str> =
            capabilities.listed().iter().filter(|(_, support)| support.is_offered()).map(|(name, _)| *name).collect();
        assert_eq!(offered, ["gap-free takeover", "ending a watch at the store"]);
    }
}
