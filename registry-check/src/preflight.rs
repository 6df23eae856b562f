//! One registration before the cases: what keeps all of them from working is told once, in one line.

use registry_connect::{Error, ErrorKind, Info, Registry as _, Resolver as _};
use registry_core::HandleOptions;
use registry_core::store::Capabilities;

use crate::deployment::Deployment;

/// Registers, finds and withdraws one instance.
///
/// # Errors
/// One line: what does not work, and what to do about it.
pub(crate) async fn look(deployment: &Deployment) -> Result<Capabilities, String> {
    let namespace = format!("preflight-{}", std::process::id());
    let handle = deployment
        .open(&namespace, &HandleOptions::with_ttl(deployment.ttl()))
        .await
        .map_err(|e| say("connect", &e))?;
    let info = Info::builder("preflight").address("10.1.0.0:8888").build().map_err(|e| e.to_string())?;
    handle.register(&info).await.map_err(|e| say("register", &e))?;
    let found = handle.resolve(info.service()).await.map_err(|e| say("resolve", &e))?;
    if found.instances().len() != 1 {
        let seen = found.instances().len();
        return Err(format!(
            "what was registered cannot be found: {seen} instances instead of one; may these credentials read?"
        ));
    }
    handle.deregister(&info).await.map_err(|e| say("deregister", &e))?;
    handle.close().await.map_err(|e| say("close", &e))?;
    Ok(handle.capabilities())
}

fn say(step: &str, error: &Error) -> String {
    let advice = match (error.kind(), step) {
        (ErrorKind::Denied, "connect") => "check user, password and token",
        (ErrorKind::Denied, _) => "the credentials lack a permission below the path of the URL",
        (ErrorKind::Unreachable | ErrorKind::TimedOut, _) => "is the server there, and does the network lead to it?",
        (ErrorKind::InvalidInput, _) => "mend the URL",
        _ => "this is neither permission nor network",
    };
    format!("cannot {step}: {error} ({advice})").replace('\n', " ")
}
