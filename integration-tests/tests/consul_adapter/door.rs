//! The back door: plain HTTP to the agent, around the adapter.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A way to the agent that shares nothing with the adapter.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    address: String,
}

impl Door {
    pub(crate) fn new(url: &str) -> Self {
        Self { address: url.trim_start_matches("http://").to_owned() }
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, None).await
    }

    pub(crate) async fn put(&self, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.ask("PUT", path, body).await
    }

    /// The agent's service of this id; `null` when there is none.
    pub(crate) async fn service(&self, id: &str) -> Value {
        let (status, service) = self.get(&format!("/v1/agent/service/{}", escaped(id))).await;
        if status == 404 { Value::Null } else { service }
    }

    /// The token in the `Meta` of a service; none when there is no service, or no token.
    pub(crate) async fn owner(&self, id: &str) -> Option<String> {
        Some(self.service(id).await["Meta"]["owner"].as_str()?.to_owned())
    }

    /// What the check of a service says.
    pub(crate) async fn status(&self, id: &str) -> String {
        let (_, checks) = self.get("/v1/agent/checks").await;
        checks[format!("service:{id}")]["Status"].as_str().unwrap_or("none").to_owned()
    }

    /// The ids of the instances that pass, as Go's resolver asks for them.
    pub(crate) async fn passing(&self, service: &str) -> Vec<String> {
        let (_, entries) = self.get(&format!("/v1/health/service/{}?passing=1&consistent", escaped(service))).await;
        let id = |entry: &Value| Some(entry["Service"]["ID"].as_str()?.to_owned());
        entries.as_array().map(|entries| entries.iter().filter_map(id).collect()).unwrap_or_default()
    }

    /// Registers as Go Kitex does: no `Meta`, and a check that the agent runs itself, of something that listens at `listening` or does not.
    pub(crate) async fn register_as_go(&self, service: &str, host: &str, port: u16, listening: &str) {
        let body = json!({
            "ID": format!("{service}:{host}:{port}"), "Name": service, "Address": host, "Port": port, "Tags": ["by:go"],
            "Weights": {"Passing": 10, "Warning": 10},
            "Check": {"TCP": listening, "Interval": "1s", "Timeout": "1s", "DeregisterCriticalServiceAfter": "1m"},
        });
        assert_eq!(self.put("/v1/agent/service/register", Some(&body)).await.0, 200);
    }

    /// As an operator does.
    pub(crate) async fn deregister(&self, id: &str) {
        assert_eq!(self.put(&format!("/v1/agent/service/deregister/{}", escaped(id)), None).await.0, 200);
    }

    pub(crate) async fn drop_check(&self, id: &str) {
        assert_eq!(self.put(&format!("/v1/agent/check/deregister/service:{}", escaped(id)), None).await.0, 200);
    }

    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let body = body.map(Value::to_string).unwrap_or_default();
        // With HTTP/1.0 the answer ends where the connection does.
        let request = format!("{method} {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let exchange = async {
            let mut stream = TcpStream::connect(&self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            String::from_utf8(answer).unwrap()
        };
        let answer = tokio::time::timeout(Duration::from_secs(30), exchange).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned())))
    }
}

fn escaped(text: &str) -> String {
    text.replace(' ', "%20")
}
