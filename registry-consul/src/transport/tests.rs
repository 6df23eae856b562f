use std::fs;
use std::path::PathBuf;

use registry_core::store::Store;
use registry_core::{ErrorKind, Material, Secret};

use super::*;
use crate::Client;
use crate::fake::FakeAgent;
use crate::options::Options;

const LIST: &str = "[]";

async fn list(client: &Client) -> Result<usize, (ErrorKind, String)> {
    let listed = client.list(&"demo".try_into().unwrap()).await;
    listed.map(|found| found.len()).map_err(|error| (error.kind(), error.message().to_owned()))
}

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("registry-consul-{}-{name}", std::process::id()))
}

#[tokio::test]
async fn the_token_is_sent_trimmed_with_every_request() {
    let agent = FakeAgent::start().await;
    agent.say(200, Some(1), LIST);
    let token = Material::Inline(Secret::new("tiger\n"));
    list(&agent.options().with_token(token).client().unwrap()).await.unwrap();
    assert!(agent.requests()[0].headers.contains(&"x-consul-token: tiger".to_owned()));
}

#[tokio::test]
async fn base_path_datacenter_and_mode_are_in_the_request() {
    let agent = FakeAgent::start().await;
    agent.say(200, Some(1), LIST);
    let mut options = agent.options().with_datacenter("dc 2").with_consistency(Consistency::Stale);
    options.address += "/base";
    list(&options.client().unwrap()).await.unwrap();
    assert_eq!(agent.last(), "GET /base/v1/health/service/demo?stale&dc=dc%202");
}

#[tokio::test]
async fn a_token_that_was_rotated_is_read_once_more_when_consul_denies() {
    let (agent, path) = (FakeAgent::start().await, file("token"));
    fs::write(&path, "lion").unwrap();
    let client = agent.options().with_token(Material::File(path.clone())).client().unwrap();
    agent.say(200, Some(1), LIST);
    list(&client).await.unwrap();
    fs::write(&path, "wolf").unwrap();
    agent.say(403, None, "ACL not found");
    agent.say(200, Some(1), LIST);
    list(&client).await.unwrap();
    assert!(agent.requests()[2].headers.contains(&"x-consul-token: wolf".to_owned()));
    // What was denied is what the file says: asking again would be idle.
    agent.say(403, None, "ACL not found");
    assert_eq!(list(&client).await.unwrap_err().0, ErrorKind::Denied);
    assert_eq!(agent.requests().len(), 4);
    fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let agent = FakeAgent::start().await;
    agent.say_raw("HTTP/1.1 301 Moved\r\nLocation: /ui/\r\nContent-Length: 0\r\n\r\n");
    let (kind, message) = list(&agent.options().client().unwrap()).await.unwrap_err();
    assert_eq!(kind, ErrorKind::Misconfigured, "{message}");
    assert_eq!(agent.requests().len(), 1);
}

#[tokio::test]
async fn what_answers_but_is_no_consul_is_misconfigured() {
    let agent = FakeAgent::start().await;
    agent.say(200, Some(1), "<html>welcome</html>");
    let (kind, message) = list(&agent.options().client().unwrap()).await.unwrap_err();
    assert_eq!(kind, ErrorKind::Misconfigured, "{message}");
    assert!(message.contains("is this a Consul agent?") && !message.contains("welcome"), "{message}");
}

#[tokio::test]
async fn a_silent_agent_ends_in_time_and_the_next_request_has_a_new_connection() {
    let agent = FakeAgent::start().await;
    let mut options = agent.options();
    options.handle.operation_timeout = Duration::from_millis(200);
    options.handle.ttl = Duration::from_secs(1);
    let client = options.client().unwrap();
    agent.say(200, Some(1), LIST);
    list(&client).await.unwrap();
    let (kind, message) = list(&client).await.unwrap_err();
    assert_eq!(kind, ErrorKind::TimedOut, "{message}");
    agent.say(200, Some(1), LIST);
    list(&client).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_cut_off() {
    let agent = FakeAgent::start().await;
    agent.say(500, None, &"x".repeat(100_000));
    let (kind, message) = list(&agent.options().client().unwrap()).await.unwrap_err();
    assert_eq!(kind, ErrorKind::Unreachable);
    assert!(message.len() < 400, "{} bytes", message.len());
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (kind, message) = list(&Options::new(&address).client().unwrap()).await.unwrap_err();
    assert_eq!(kind, ErrorKind::Unreachable);
    assert!(message.contains("refused") && message.contains(&address), "{message}");
}

#[tokio::test]
async fn tls_to_a_plaintext_port_is_misconfigured_and_sends_nothing_in_plaintext() {
    let agent = FakeAgent::start().await;
    agent.say(400, None, "what is this?");
    let mut options = agent.options().with_token(Material::Inline(Secret::new("tiger")));
    options.address = format!("https://{}", options.address);
    let began = tokio::time::timeout(Duration::from_secs(3), list(&options.client().unwrap())).await;
    assert!(began.is_err() || began.unwrap().is_err());
    assert!(agent.requests().iter().all(|request| !request.headers.iter().any(|header| header.contains("tiger"))));
}

#[test]
fn no_secret_is_in_what_a_client_shows() {
    let client = Options::default().with_token(Material::Inline(Secret::new("tiger"))).client().unwrap();
    assert!(!format!("{client:?}").contains("tiger"));
}
