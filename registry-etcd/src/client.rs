//! One client of etcd: core's [`Store`] over the transport.

use std::sync::Arc;

use async_trait::async_trait;
use registry_core::store::{
    Capabilities, Found, JsonRecord, Key, OpenRequest, Record, Session, Store, StoreError, View,
};
use registry_core::{Info, InvalidField, ServiceName};

use crate::config::Config;
use crate::entries;
use crate::prefix::Prefix;
use crate::session::{EtcdSession, MAX_BATCH};
use crate::transport::Transport;
use crate::view::EtcdView;

/// A client of one etcd cluster, in one prefix: what [`Handle`](crate::Handle) drives.
///
/// Made by [`Options::client`](crate::Options::client) for wrappers and tests at the level of single operations; programs use
/// [`connect`](crate::connect). Nothing is sent before the first operation.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Arc<Transport>,
    prefix: Prefix,
}

impl Client {
    pub(crate) fn new(config: Config, prefix: Prefix) -> Self {
        Self { transport: Arc::new(Transport::new(config)), prefix }
    }
}

#[async_trait]
impl Store for Client {
    fn capabilities(&self) -> Capabilities {
        Capabilities { max_batch: MAX_BATCH, ..Capabilities::default() }
    }

    fn endpoints(&self) -> Vec<String> {
        self.transport.endpoints()
    }

    fn encode(&self, info: &Info) -> Result<Record, InvalidField> {
        let key = format!("{}{}", self.prefix.folder(info.service()), info.address());
        Record::fitting(Key::new(key), JsonRecord::encode(info), info)
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn Session>, StoreError> {
        Ok(Arc::new(EtcdSession::open(self.transport.clone(), &self.prefix, request.ttl).await?))
    }

    async fn list(&self, service: &ServiceName) -> Result<Vec<Found>, StoreError> {
        let folder = self.prefix.folder(service);
        let listed = self.transport.list(&folder).await?;
        Ok(listed.entries.iter().filter_map(|stored| entries::found(service, &folder, stored)).collect())
    }

    async fn view(&self, service: &ServiceName, _attempt: u32) -> Result<Box<dyn View>, StoreError> {
        let folder = self.prefix.folder(service);
        Ok(Box::new(EtcdView::open(self.transport.clone(), service.clone(), folder).await?))
    }
}

#[cfg(test)]
mod tests {
    use registry_core::MAX_ENTRY;

    use super::*;
    use crate::Options;

    fn encoded(info: &Info) -> (String, String) {
        let record = Options::default().client().unwrap().encode(info).unwrap();
        (record.key().as_str().to_owned(), String::from_utf8(record.value().to_vec()).unwrap())
    }

    #[test]
    fn keys_and_values_are_byte_for_byte_those_of_kitex() {
        let info =
            Info::builder("demo").address("10.0.0.5:8888").tag("idc", "hd1").tag("group", "blue").build().unwrap();
        let (key, value) = encoded(&info);
        assert_eq!(key, "kitex/registry-etcd/demo/10.0.0.5:8888");
        let golden = r#"{"network":"tcp","address":"10.0.0.5:8888","weight":10,"tags":{"group":"blue","idc":"hd1"}}"#;
        assert_eq!(value, golden);
    }

    #[test]
    fn ipv6_is_written_with_brackets_in_key_and_value() {
        let (key, value) = encoded(&Info::builder("demo").address("[2001:db8::5]:8888").build().unwrap());
        assert_eq!(key, "kitex/registry-etcd/demo/[2001:db8::5]:8888");
        assert_eq!(value, r#"{"network":"tcp","address":"[2001:db8::5]:8888","weight":10,"tags":null}"#);
    }

    #[test]
    fn tags_are_escaped_as_go_does() {
        let (_, value) = encoded(&Info::builder("demo").address("10.0.0.5:8888").tag("k", "a<b&c").build().unwrap());
        let golden = r#"{"network":"tcp","address":"10.0.0.5:8888","weight":10,"tags":{"k":"a\u003cb\u0026c"}}"#;
        assert_eq!(value, golden);
    }

    #[test]
    fn an_entry_past_the_limit_is_refused_by_field_and_limit() {
        let info = Info::builder("demo").address("10.0.0.5:8888").tag("k", "x".repeat(MAX_ENTRY - 100)).build();
        let refused = info.map(|info| Options::default().client().unwrap().encode(&info));
        let field = match refused {
            Ok(Err(refused)) | Err(refused) => refused.field(),
            Ok(Ok(record)) => panic!("{} bytes were accepted", record.value().len()),
        };
        assert_eq!(field, "tags");
    }
}
