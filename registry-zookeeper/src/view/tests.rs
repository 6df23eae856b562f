use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use registry_core::store::Store;
use tokio::sync::mpsc::UnboundedSender;

use super::*;
use crate::engine::{Access, Connection, Engine, Event, Kind, Stat};
use crate::{Client, Options};

/// The one instance of the one service.
const PATH: &str = "/demo/10.0.0.5:1";
const RECORD: &[u8] = br#"{"Weight":7,"Tags":null}"#;

/// A server on which a node is taken over between the first list and the read that it causes: it is listed, gone when it is read, and back when its
/// service is listed again, as the change of the list tells.
#[derive(Clone, Default)]
struct TakenOver(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    reads: usize,
    events: Option<UnboundedSender<Event>>,
}

#[async_trait]
impl Engine for TakenOver {
    async fn connect(
        &self,
        _: SocketAddr,
        _: Duration,
        events: UnboundedSender<Event>,
    ) -> Result<Arc<dyn Connection>, Failure> {
        self.0.lock().unwrap().events = Some(events);
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl Connection for TakenOver {
    async fn authenticate(&self, _: Vec<u8>) -> Result<(), Failure> {
        Ok(())
    }

    async fn create(&self, path: &str, _: &[u8], _: Kind, _: Access) -> Result<(String, Stat), Failure> {
        Ok((path.to_owned(), Stat::default()))
    }

    async fn delete(&self, _: &str, _: i32) -> Result<(), Failure> {
        Err(Failure::NoNode)
    }

    async fn set(&self, _: &str, _: &[u8], _: i32) -> Result<Stat, Failure> {
        Err(Failure::NoNode)
    }

    async fn exists(&self, _: &str, _: Watch) -> Result<Option<Stat>, Failure> {
        Ok(None)
    }

    async fn get(&self, path: &str, _: Watch) -> Result<(Vec<u8>, Stat), Failure> {
        assert_eq!(path, PATH);
        let mut state = self.0.lock().unwrap();
        state.reads += 1;
        if state.reads > 1 {
            return Ok((RECORD.to_vec(), Stat::default()));
        }
        state.events.as_ref().unwrap().send(Event::Changed("/demo".into())).unwrap();
        Err(Failure::NoNode)
    }

    async fn children(&self, _: &str, _: Watch) -> Result<Vec<String>, Failure> {
        Ok(vec!["10.0.0.5:1".into()])
    }

    async fn close(&self) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn an_instance_that_is_taken_over_while_the_first_list_is_read_is_told() {
    let config = crate::config::Config::new(&Options::new("127.0.0.1:1")).unwrap();
    let client = Client::on(Arc::new(TakenOver::default()), config);
    let mut view = client.view(&"demo".try_into().unwrap(), 0).await.unwrap();
    assert!(matches!(view.next().await.unwrap(), ViewChange::Full(found) if found.is_empty()));
    let told = tokio::time::timeout(Duration::from_secs(10), view.next()).await.unwrap().unwrap();
    assert!(matches!(told, ViewChange::Upsert(found) if found.instance.as_ref().unwrap().weight() == 7));
}
