//! One request: a typed one of consulrs, run on its pooled client, and nothing of consulrs or rustify but those in between.
//!
//! Their own executors escape paths twice (a service with a space in its id is then never deregistered, though the answer is 200), know no limits, and
//! log each failure three times.

use std::time::Duration;

use consulrs::client::ConsulClient;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Response, StatusCode};
use rustify::endpoint::Endpoint;

use super::error::Failure;
use crate::config::Credentials;

/// The largest answer that is read, in bytes, unpacked: 2,000 instances have 2.35 MB.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// What an answer that is an error is read of, in bytes.
const MAX_COMPLAINT: usize = 1024;

/// What stands in a path as it is; everything else is escaped, once.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// The header by which blocking queries go on.
const INDEX: &str = "x-consul-index";

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The index of what was read; `None` when there is none.
    pub(super) index: Option<u64>,
    pub(super) body: Vec<u8>,
}

/// What goes with a request besides what its type says.
#[derive(Debug, Default)]
pub(super) struct Extra<'a> {
    /// Parameters; those without a value are keys alone.
    pub(super) query: &'a [(&'a str, &'a str)],
    /// Statuses besides 2xx that are answers and no failures.
    pub(super) expected: &'a [u16],
}

/// Runs `endpoint` once, within `limit`.
pub(super) async fn send<E: Endpoint>(
    client: &ConsulClient,
    credentials: &Credentials,
    endpoint: &E,
    extra: &Extra<'_>,
    limit: Duration,
) -> Result<Answer, Failure> {
    let url = url(&client.http.base, &endpoint.path(), extra.query);
    let mut request = client.http.http.request(endpoint.method().into(), url).timeout(limit);
    if let Some(body) = endpoint.body().map_err(|error| Failure::of_request(&error))?.filter(|body| !body.is_empty()) {
        request = request.header(CONTENT_TYPE, "application/json").body(body);
    }
    if let Some(token) = &credentials.token {
        let mut token = HeaderValue::from_str(token.expose()).map_err(|_| Failure::of_token())?;
        token.set_sensitive(true);
        request = request.header("x-consul-token", token);
    }
    let response = request.send().await.map_err(Failure::of_http)?;
    let status = response.status();
    let is_answer = status.is_success() || extra.expected.contains(&status.as_u16());
    let index = response.headers().get(INDEX).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = read(response, is_answer).await?;
    if is_answer { Ok(Answer { status, index, body }) } else { Err(Failure::of_status(status, &body)) }
}

/// The URL of a request: each part of the path escaped once.
fn url(base: &str, path: &str, query: &[(&str, &str)]) -> String {
    let mut url = format!("{base}/v1");
    for part in path.split('/') {
        url.push('/');
        url.extend(utf8_percent_encode(part, SEGMENT));
    }
    let mut separator = '?';
    for (key, value) in query {
        url.push(separator);
        url.push_str(key);
        if !value.is_empty() {
            url.push('=');
            url.extend(utf8_percent_encode(value, SEGMENT));
        }
        separator = '&';
    }
    url
}

/// The body; only the beginning of one that is a complaint.
async fn read(mut response: Response, is_answer: bool) -> Result<Vec<u8>, Failure> {
    let most = if is_answer { MAX_ANSWER } else { MAX_COMPLAINT };
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Failure::of_http)? {
        let room = most - body.len();
        if chunk.len() > room {
            if is_answer {
                return Err(Failure::too_large(MAX_ANSWER));
            }
            body.extend_from_slice(&chunk[..room]);
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_path_is_escaped_once() {
        let url = url("http://h:1/base", "agent/service/deregister/my demo:2001:db8::5:80", &[]);
        assert_eq!(url, "http://h:1/base/v1/agent/service/deregister/my%20demo:2001:db8::5:80");
    }

    #[test]
    fn parameters_are_escaped_and_may_be_keys_alone() {
        let query = [("consistent", ""), ("filter", "Meta.owner == \"a&b\"")];
        assert_eq!(
            url("http://h:1", "a", &query),
            "http://h:1/v1/a?consistent&filter=Meta.owner%20%3D%3D%20%22a%26b%22"
        );
    }

    #[test]
    fn what_would_end_a_path_is_escaped() {
        for (name, escaped) in [("a?b#c", "a%3Fb%23c"), ("a\\b", "a%5Cb"), ("größe", "gr%C3%B6%C3%9Fe"), (";", "%3B")]
        {
            assert_eq!(
                url("http://h", &format!("health/service/{name}"), &[]),
                format!("http://h/v1/health/service/{escaped}")
            );
        }
    }
}
