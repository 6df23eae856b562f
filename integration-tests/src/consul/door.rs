//! The back door to a Consul agent: plain HTTP that shares nothing with the adapter.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bench::{self, BenchError};

/// How long one answer may take.
const ANSWERS: Duration = Duration::from_secs(10);
/// How long an answer may take that says whether the agent is healthy.
const HEALTH: Duration = Duration::from_secs(1);

/// A way to one agent, with a token or without.
#[derive(Clone, Debug)]
pub struct Door {
    address: SocketAddr,
    token: Option<String>,
}

/// What an agent answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body: JSON, or the text as a JSON string.
    pub body: Value,
}

impl Answer {
    /// The body of a success.
    ///
    /// # Errors
    /// The status and body of anything else.
    pub fn ok(self) -> Result<Value, BenchError> {
        match self.status {
            200..=299 => Ok(self.body),
            status => Err(BenchError::new(format!("Consul answers {status}: {}", self.body))),
        }
    }
}

impl Door {
    /// A way to the agent at this address.
    pub fn new(address: SocketAddr, token: Option<&str>) -> Self {
        Self { address, token: token.map(str::to_owned) }
    }

    /// Asks for something.
    ///
    /// # Errors
    /// When there is no answer within ten seconds.
    pub async fn get(&self, path: &str) -> Result<Answer, BenchError> {
        self.ask("GET", path, None, ANSWERS).await
    }

    /// Puts something, or does something.
    ///
    /// # Errors
    /// When there is no answer within ten seconds.
    pub async fn put(&self, path: &str, body: Option<&Value>) -> Result<Answer, BenchError> {
        self.ask("PUT", path, body, ANSWERS).await
    }

    /// The agent's own service of this id.
    ///
    /// # Errors
    /// When the agent does not tell.
    pub async fn service(&self, id: &str) -> Result<Option<Value>, BenchError> {
        let answer = self.get(&format!("/v1/agent/service/{}", escaped(id))).await?;
        if answer.status == 404 { Ok(None) } else { answer.ok().map(Some) }
    }

    /// All of the agent's own services by id.
    ///
    /// # Errors
    /// When the agent does not tell.
    pub async fn services(&self) -> Result<Vec<(String, Value)>, BenchError> {
        let services = self.get("/v1/agent/services").await?.ok()?;
        let services = services.as_object().cloned().unwrap_or_default();
        Ok(services.into_iter().collect())
    }

    /// Registers a service as `definition` says it, in the form of `/v1/agent/service/register`.
    ///
    /// # Errors
    /// When the agent refuses.
    pub async fn register(&self, definition: &Value) -> Result<(), BenchError> {
        self.put("/v1/agent/service/register", Some(definition)).await?.ok().map(drop)
    }

    /// Removes a service from the agent, and with it its checks.
    ///
    /// # Errors
    /// When the agent refuses.
    pub async fn deregister(&self, id: &str) -> Result<(), BenchError> {
        self.put(&format!("/v1/agent/service/deregister/{}", escaped(id)), None).await?.ok().map(drop)
    }

    /// Makes this policy say `rules`, whether or not there is one of this name.
    ///
    /// # Errors
    /// When Consul refuses.
    pub async fn set_policy(&self, name: &str, rules: &str) -> Result<(), BenchError> {
        let known = self.get("/v1/acl/policies").await?.ok()?;
        let known = known.as_array().and_then(|all| all.iter().find(|policy| policy["Name"] == name));
        let id = known.and_then(|policy| policy["ID"].as_str());
        let path = id.map_or("/v1/acl/policy".to_owned(), |id| format!("/v1/acl/policy/{id}"));
        let policy = json!({ "ID": id.unwrap_or_default(), "Name": name, "Rules": rules });
        self.put(&path, Some(&policy)).await?.ok().map(drop)
    }

    /// Makes this the token, and the name, of somebody who may do what the policy of the same name says. `uuid` is both the token's secret and its accessor's id.
    ///
    /// # Errors
    /// When Consul refuses.
    pub async fn add_token(&self, uuid: &str, policy: &str) -> Result<(), BenchError> {
        let token = json!({ "SecretID": uuid, "AccessorID": uuid, "Policies": [{ "Name": policy }] });
        self.put("/v1/acl/token", Some(&token)).await?.ok().map(drop)
    }

    /// Revokes a token: whoever shows it is refused everything.
    ///
    /// # Errors
    /// When Consul refuses.
    pub async fn revoke_token(&self, uuid: &str) -> Result<(), BenchError> {
        self.ask("DELETE", &format!("/v1/acl/token/{uuid}"), None, ANSWERS).await?.ok().map(drop)
    }

    /// Whether the agent has a leader, its tokens, and its own node in the catalogue, so that services can be registered and found.
    pub(super) async fn is_healthy(&self) -> bool {
        let asked = self.ask("GET", "/v1/health/node/consul", None, HEALTH).await;
        let passes =
            |body: Value| body.as_array().is_some_and(|checks| checks.iter().any(|check| check["Status"] == "passing"));
        asked.is_ok_and(|answer| answer.ok().is_ok_and(passes))
    }

    async fn ask(&self, method: &str, path: &str, body: Option<&Value>, limit: Duration) -> Result<Answer, BenchError> {
        let (address, failed) = (self.address, |why: String| BenchError::new(format!("{method} {path}: {why}")));
        let body = body.map(Value::to_string).unwrap_or_default();
        let token = self.token.as_ref().map(|token| format!("X-Consul-Token: {token}\r\n")).unwrap_or_default();
        // With HTTP/1.0 the answer ends where the connection does.
        let request = format!("{method} {path} HTTP/1.0\r\n{token}Content-Length: {}\r\n\r\n{body}", body.len());
        let exchange = async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.map(|_| answer)
        };
        let exchanged = bench::on_bench(async move { tokio::time::timeout(limit, exchange).await }).await;
        let answer = exchanged.map_err(|_| failed(format!("no answer within {limit:?}")))?;
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        let answer = String::from_utf8_lossy(&answer);
        let parsed = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
            let status = head.split(' ').nth(1)?.parse().ok()?;
            let body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
            Some(Answer { status, body })
        });
        parsed.ok_or_else(|| failed(format!("no HTTP: {answer}")))
    }
}

/// A path element, percent-encoded but for what every id of ours is made of.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~:-".contains(&byte);
    let escape = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(escape).collect()
}
