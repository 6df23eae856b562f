use registry_core::ErrorKind;

use super::*;
use crate::fake::FakeAgent;
use crate::options::{Consistency, Options};
use registry_core::store::Store;

/// A list with an instance at this port.
fn list(port: u16) -> String {
    format!(
        r#"[{{"Node": {{"Node": "n"}}, "Service": {{"ID": "demo", "Service": "demo", "Address": "h", "Port": {port}}}, "Checks": []}}]"#
    )
}

async fn open(options: &Options) -> Result<Box<dyn View>, StoreError> {
    options.client().unwrap().view(&"demo".try_into().unwrap(), 0).await
}

/// What a view says next: the address of the one instance, `alive`, or the kind of the error.
async fn next(view: &mut Box<dyn View>) -> String {
    match view.next().await {
        Ok(ViewChange::Full(found)) => found[0].instance.as_ref().unwrap().address().to_string(),
        Ok(ViewChange::Alive) => "alive".into(),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// A view that has yielded its first list, at index 7.
async fn opened(agent: &FakeAgent) -> Box<dyn View> {
    agent.say(200, Some(7), &list(1));
    let mut view = open(&agent.options()).await.unwrap();
    assert_eq!(agent.last(), "GET /v1/health/service/demo?consistent");
    assert_eq!(next(&mut view).await, "h:1");
    view
}

#[tokio::test]
async fn it_waits_from_the_index_of_what_it_read() {
    let agent = FakeAgent::start().await;
    let mut view = opened(&agent).await;
    agent.say(200, Some(9), &list(2));
    assert_eq!(next(&mut view).await, "h:2");
    assert_eq!(agent.last(), "GET /v1/health/service/demo?consistent&index=7&wait=60000ms");
    agent.say(200, Some(12), &list(3));
    assert_eq!(next(&mut view).await, "h:3");
    assert!(agent.last().contains("index=9&"), "{}", agent.last());
}

#[tokio::test]
async fn an_index_that_stayed_is_a_sign_of_life() {
    let agent = FakeAgent::start().await;
    let mut view = opened(&agent).await;
    agent.say(200, Some(7), &list(1));
    assert_eq!(next(&mut view).await, "alive");
}

#[tokio::test]
async fn an_index_that_went_back_starts_again_from_0() {
    let agent = FakeAgent::start().await;
    let mut view = opened(&agent).await;
    agent.say(200, Some(5), &list(2));
    agent.say(200, Some(5), &list(3));
    assert_eq!([next(&mut view).await, next(&mut view).await], ["h:2", "h:3"]);
    assert!(agent.last().contains("index=0&"), "{}", agent.last());
}

#[tokio::test]
async fn any_error_ends_it_and_the_next_starts_from_the_beginning() {
    let agent = FakeAgent::start().await;
    let mut view = opened(&agent).await;
    // The index of an answer that is an error is worth nothing.
    agent.say(500, Some(99), "rpc error making call: No cluster leader");
    assert_eq!(next(&mut view).await, "Unreachable");
    drop(view);
    let mut view = opened(&agent).await;
    agent.say(200, Some(8), &list(2));
    assert_eq!(next(&mut view).await, "h:2");
    assert!(agent.last().contains("index=7&"), "{}", agent.last());
}

#[tokio::test]
async fn an_answer_without_an_index_is_an_error_and_no_reason_to_ask_at_full_speed() {
    for index in [None, Some(0)] {
        let agent = FakeAgent::start().await;
        agent.say(200, index, &list(1));
        let error = open(&agent.options()).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        assert!(error.message().contains("X-Consul-Index"), "{error}");
    }
}

#[tokio::test]
async fn a_dropped_wait_asks_once() {
    let agent = FakeAgent::start().await;
    let mut view = opened(&agent).await;
    for _ in 0..5 {
        assert!(tokio::time::timeout(Duration::from_millis(20), view.next()).await.is_err());
    }
    assert_eq!(agent.requests().len(), 2, "the list, and one query that waits");
}

#[tokio::test]
async fn views_of_one_client_share_a_sign_of_life() {
    let agent = FakeAgent::start().await;
    agent.say(200, Some(7), &list(1));
    agent.say(200, Some(7), &list(1));
    let client = agent.options().client().unwrap();
    let service = "demo".try_into().unwrap();
    let mut views = [client.view(&service, 0).await.unwrap(), client.view(&service, 0).await.unwrap()];
    agent.say(200, None, "\"127.0.0.1:8300\"");
    for view in &mut views {
        assert_eq!(next(view).await, "h:1");
        view.probe().await.unwrap();
        assert_eq!(next(view).await, "alive");
    }
    let leader = agent.requests().iter().filter(|request| request.line == "GET /v1/status/leader").count();
    assert_eq!(leader, 1);
}

#[tokio::test]
async fn servers_without_a_leader_are_no_sign_of_life_unless_stale_reads_will_do() {
    for (consistency, expected) in [(Consistency::Leader, Some(ErrorKind::Unreachable)), (Consistency::Stale, None)] {
        let agent = FakeAgent::start().await;
        agent.say(200, Some(7), &list(1));
        let mut view = open(&agent.options().with_consistency(consistency)).await.unwrap();
        agent.say(200, None, "\"\"");
        assert_eq!(view.probe().await.err().map(|error| error.kind()), expected);
    }
}
