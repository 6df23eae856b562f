//! One registration before the cases: what keeps all of them from working is told once, in one line.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use registry_conformance::{ConnectRequest, Harness as _};
use registry_connect::{Error, ErrorKind, Info, Registry as _, Resolver as _};
use registry_core::HandleOptions;
use registry_core::store::Capabilities;

use crate::deployment::Deployment;

/// Why there is nothing to judge.
#[derive(Debug)]
pub(crate) struct Obstacle {
    /// What could not be done, in one word.
    pub(crate) step: &'static str,
    /// The kind of the error; none when there was no error, but nothing to be found either.
    pub(crate) kind: Option<ErrorKind>,
    text: String,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Registers, finds and withdraws one instance.
///
/// # Errors
/// One line: what does not work, and what to do about it.
pub(crate) async fn look(deployment: &Deployment) -> Result<Capabilities, Obstacle> {
    // In containers, process ids alone are the same again and again.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let namespace = format!("preflight-{}-{now:x}", std::process::id());
    let request = ConnectRequest::new(&namespace, HandleOptions::with_ttl(deployment.ttl()));
    let handle = deployment.open(&request).await.map_err(|e| say("connect", &e))?;
    let service = format!("{}preflight", deployment.name_prefix(&namespace));
    let info = Info::builder(service.as_str()).address("10.1.0.0:8888").build();
    let info = info.map_err(|invalid| say("register", &invalid.into()))?;
    handle.register(&info).await.map_err(|e| say("register", &e))?;
    let found = handle.resolve(info.service()).await.map_err(|e| say("resolve", &e))?;
    if found.instances().len() != 1 {
        let seen = found.instances().len();
        let text = format!(
            "what was registered cannot be found: {seen} instances instead of one; may these credentials read?"
        );
        return Err(Obstacle { step: "resolve", kind: None, text });
    }
    handle.deregister(&info).await.map_err(|e| say("deregister", &e))?;
    let capabilities = handle.inner.capabilities();
    handle.close().await.map_err(|e| say("close", &e))?;
    Ok(capabilities)
}

fn say(step: &'static str, error: &Error) -> Obstacle {
    let advice = match error.kind() {
        ErrorKind::Unreachable | ErrorKind::TimedOut => " (is the server there, and does the network lead to it?)",
        // The adapters say what to do about the others.
        _ => "",
    };
    let text = format!("cannot {step}: {error}{advice}").replace('\n', " ");
    Obstacle { step, kind: Some(error.kind()), text }
}
