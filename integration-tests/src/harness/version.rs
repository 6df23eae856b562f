//! What the servers are, as they say themselves: for the suite's report.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::environment::Backend;

/// How long an answer may take.
const ANSWERS: Duration = Duration::from_secs(5);

/// The version of the shared server, which is of the same image as those that the cases have to themselves. `None` when it does not tell.
pub(super) fn of(backend: Backend) -> Option<String> {
    let (request, before, after) = match backend {
        Backend::Etcd => ("GET /version HTTP/1.0\r\n\r\n", "\"etcdserver\":\"", '"'),
        Backend::Zookeeper => ("srvr", "Zookeeper version: ", '-'),
        Backend::Consul => ("GET /v1/agent/self HTTP/1.0\r\n\r\n", "\"Version\": \"", '"'),
    };
    let answer = ask(&backend.url().ok()?, request)?;
    let name = match backend {
        Backend::Etcd => "etcd",
        Backend::Zookeeper => "ZooKeeper",
        Backend::Consul => "Consul",
    };
    // Both forms of JSON, with a space after the colon and without.
    let (_, rest) = answer.split_once(before).or_else(|| answer.split_once(&before.replace(": ", ":")))?;
    Some(format!("{name} {}", rest.split(after).next()?.trim()))
}

fn ask(url: &str, request: &str) -> Option<String> {
    let address = url.split_once("://").map_or(url, |(_, rest)| rest);
    let address: SocketAddr = address.parse().ok()?;
    let mut stream = TcpStream::connect_timeout(&address, ANSWERS).ok()?;
    stream.set_read_timeout(Some(ANSWERS)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}
