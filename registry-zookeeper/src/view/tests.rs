use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::FutureExt as _;
use registry_core::ErrorKind;
use registry_core::store::{Found, Store};
use tokio::sync::mpsc::UnboundedSender;

use super::*;
use crate::engine::{Access, Connection, Engine, Event, Kind, Stat};
use crate::{Client, Options};

const RECORD: &[u8] = br#"{"Weight":7,"Tags":null}"#;

/// A server with one service of some instances, to look at.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    instances: usize,
    /// So many of them we may not read.
    denied: usize,
    /// The first instance that is read is taken over between the list and that read: it is gone when it is read, and back when its service is
    /// listed again, as the change of the list tells.
    taken_over: bool,
    /// How long the server takes to read an instance.
    takes: Duration,
    events: Option<UnboundedSender<Event>>,
}

#[async_trait]
impl Engine for Fake {
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
impl Connection for Fake {
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
        assert!(path.starts_with("/demo/10.0.0.5:"), "{path}");
        let mut state = self.0.lock().unwrap();
        std::thread::sleep(state.takes);
        if std::mem::take(&mut state.taken_over) {
            state.events.as_ref().unwrap().send(Event::Changed("/demo".into())).unwrap();
            return Err(Failure::NoNode);
        }
        let denied = (1..=state.denied).any(|port| path == format!("/demo/10.0.0.5:{port}"));
        if denied { Err(Failure::NoAuth) } else { Ok((RECORD.to_vec(), Stat::default())) }
    }

    async fn children(&self, _: &str, _: Watch) -> Result<Vec<String>, Failure> {
        Ok((1..=self.0.lock().unwrap().instances).map(|port| format!("10.0.0.5:{port}")).collect())
    }

    async fn close(&self) -> Result<(), Failure> {
        Ok(())
    }
}

async fn view(instances: usize, taken_over: bool) -> Box<dyn View> {
    view_of(&Fake(Arc::new(Mutex::new(State { instances, taken_over, ..State::default() })))).await
}

fn client(fake: &Fake) -> Client {
    let config = crate::config::Config::new(&Options::new("127.0.0.1:1")).unwrap();
    Client::on(Arc::new(fake.clone()), config)
}

async fn view_of(fake: &Fake) -> Box<dyn View> {
    client(fake).view(&"demo".try_into().unwrap(), 0).await.unwrap()
}

async fn next(view: &mut Box<dyn View>) -> ViewChange {
    tokio::time::timeout(Duration::from_secs(10), view.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_instance_that_is_taken_over_while_the_first_list_is_read_is_told() {
    let mut view = view(1, true).await;
    assert!(matches!(next(&mut view).await, ViewChange::Full(found) if found.is_empty()));
    let told = next(&mut view).await;
    assert!(matches!(told, ViewChange::Upsert(found) if found.instance.as_ref().unwrap().weight() == 7));
}

#[tokio::test]
async fn a_long_list_is_read_in_parts_and_told_whole() {
    let mut view = view(2 * PART + 1, false).await;
    for _ in 0..2 {
        assert!(matches!(next(&mut view).await, ViewChange::Alive));
    }
    assert!(matches!(next(&mut view).await, ViewChange::Full(found) if found.len() == 2 * PART + 1));
}

#[tokio::test]
async fn a_part_that_nobody_waits_for_any_more_is_read_again() {
    let fake = Fake(Arc::new(Mutex::new(State { instances: PART, ..State::default() })));
    let mut view = view_of(&fake).await;
    let unanswered = fake.0.lock().unwrap();
    assert!(view.next().now_or_never().is_none(), "nothing is answered");
    drop(unanswered);
    assert!(matches!(next(&mut view).await, ViewChange::Full(found) if found.len() == PART));
}

#[tokio::test]
async fn a_burst_that_takes_longer_than_anybody_waits_is_taken_in_part_by_part() {
    let fake = Fake(Arc::new(Mutex::new(State { instances: 1, ..State::default() })));
    let mut view = view_of(&fake).await;
    assert!(matches!(next(&mut view).await, ViewChange::Full(found) if found.len() == 1));
    {
        let mut state = fake.0.lock().unwrap();
        (state.instances, state.takes) = (1 + 8 * BURST, Duration::from_millis(1));
        state.events.as_ref().unwrap().send(Event::Changed("/demo".into())).unwrap();
    }
    let (mut told, began) = (0, std::time::Instant::now());
    while told < 8 * BURST {
        // A part takes a little more than an eighth of a second, and all of them a little more than one.
        if let Ok(change) = tokio::time::timeout(Duration::from_millis(600), view.next()).await {
            told += usize::from(matches!(change.unwrap(), ViewChange::Upsert(_)));
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{told} of {} after {:?}", 8 * BURST, began.elapsed());
    }
}

#[tokio::test]
async fn one_instance_that_we_may_not_read_hides_no_other_and_none_that_we_may_is_denied() {
    for (instances, denied) in [(3, 0), (3, 2), (3, 3), (1, 1)] {
        let fake = Fake(Arc::new(Mutex::new(State { instances, denied, ..State::default() })));
        let listed = client(&fake).list(&"demo".try_into().unwrap()).await;
        let told = view_of(&fake).await.next().await;
        let readable = |found: &[Found]| found.iter().filter(|found| found.instance.is_ok()).count();
        if denied < instances {
            let Ok(ViewChange::Full(told)) = told else { panic!("{told:?}") };
            let listed = listed.unwrap();
            assert_eq!((listed.len(), readable(&listed)), (instances, instances - denied));
            assert_eq!((told.len(), readable(&told)), (instances, instances - denied));
        } else {
            assert_eq!(listed.unwrap_err().kind(), ErrorKind::Denied);
            assert_eq!(told.unwrap_err().kind(), ErrorKind::Denied);
        }
    }
}

#[tokio::test]
async fn when_the_last_instance_that_we_may_read_becomes_unreadable_the_view_is_denied() {
    let fake = Fake(Arc::new(Mutex::new(State { instances: 2, denied: 1, ..State::default() })));
    let mut view = view_of(&fake).await;
    assert!(matches!(next(&mut view).await, ViewChange::Full(found) if found.len() == 2));
    {
        let mut state = fake.0.lock().unwrap();
        state.denied = 2;
        state.events.as_ref().unwrap().send(Event::Changed("/demo/10.0.0.5:2".into())).unwrap();
    }
    let told = tokio::time::timeout(Duration::from_secs(10), view.next()).await.unwrap();
    assert_eq!(told.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn an_instance_that_we_may_not_read_is_read_again_when_the_list_changes() {
    let fake = Fake(Arc::new(Mutex::new(State { instances: 2, denied: 1, ..State::default() })));
    let mut view = view_of(&fake).await;
    assert!(matches!(next(&mut view).await, ViewChange::Full(found) if found.len() == 2));
    {
        // Deleted and created anew by somebody else, under the same name.
        let mut state = fake.0.lock().unwrap();
        state.denied = 0;
        state.events.as_ref().unwrap().send(Event::Changed("/demo".into())).unwrap();
    }
    assert!(matches!(next(&mut view).await, ViewChange::Upsert(found) if found.instance.is_ok()));
}

#[test]
fn children_that_change_again_and_again_hold_no_others_up() {
    let names = |from: usize| (from..from + BURST).map(|number| format!("{number:05}"));
    let mut due = Due { children: names(0).chain(names(BURST)).collect(), ..Due::default() };
    let first = due.part();
    assert!(first.iter().cloned().eq(names(0)));
    // All of them changed again while they were read.
    due.last = first.last().unwrap().clone();
    let second = due.part();
    assert!(second.iter().cloned().eq(names(BURST)));
    due.last = second.last().unwrap().clone();
    assert_eq!(due.part(), first);
}
