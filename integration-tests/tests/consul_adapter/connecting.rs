//! Agents that are not there, and what the errors say.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use registry_consul::{HandleOptions, Material, Options, Secret, connect};
use registry_core::{ErrorKind, Resolver};

use crate::bench::{Bench, Outcome, tests};

tests![
    a_dead_agent_is_unreachable_in_time,
    an_agent_that_never_answers_is_reported_in_time,
    a_token_for_a_consul_without_acls_does_no_harm,
    a_datacenter_that_is_not_there_is_said,
    a_base_path_that_is_wrong_is_said,
];

fn quick() -> HandleOptions {
    let mut options = HandleOptions::with_ttl(Duration::from_secs(3));
    options.operation_timeout = Duration::from_secs(3);
    options.attempt_timeout = Duration::from_secs(1);
    options
}

async fn a_dead_agent_is_unreachable_in_time(_: Bench) -> Outcome {
    // Bound and let go: nobody listens there.
    let dead = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr())?.to_string();
    let started = Instant::now();
    let error = connect(Options::new(dead).with_handle(quick())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.message().contains("refused"), "{error}");
    assert!(started.elapsed() < Duration::from_millis(3500));
    Ok(())
}

async fn an_agent_that_never_answers_is_reported_in_time(_: Bench) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let started = Instant::now();
    let error = connect(Options::new(listener.local_addr()?.to_string()).with_handle(quick())).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Unreachable), "{error}");
    assert!(started.elapsed() < Duration::from_millis(3500));
    Ok(())
}

async fn a_token_for_a_consul_without_acls_does_no_harm(bench: Bench) -> Outcome {
    let handle = connect(bench.options().with_token(Material::Inline(Secret::new("tiger")))).await?;
    assert!(handle.resolve(&bench.service).await?.is_empty());
    Ok(())
}

async fn a_datacenter_that_is_not_there_is_said(bench: Bench) -> Outcome {
    let error = connect(bench.options().with_datacenter("elsewhere")).await?.resolve(&bench.service).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.message().contains("datacenter"), "{error}");
    Ok(())
}

async fn a_base_path_that_is_wrong_is_said(bench: Bench) -> Outcome {
    let mut options = bench.options().with_handle(quick());
    options.address += "/base";
    let error = connect(options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.message().contains("base path"), "{error}");
    Ok(())
}
