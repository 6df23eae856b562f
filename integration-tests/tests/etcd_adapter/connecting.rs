//! Endpoints that fail, and what the errors say.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use registry_core::{ErrorKind, HandleOptions, Resolver};
use registry_etcd::{Options, Registry, Secret, connect};

use crate::bench::{Bench, Outcome, info, tests};

tests![
    a_dead_endpoint_is_unreachable_in_time,
    a_port_that_never_answers_is_reported_in_time,
    a_dead_endpoint_beside_a_live_one_costs_no_call,
    a_silent_endpoint_beside_a_live_one_is_left,
    a_password_for_an_etcd_without_users_is_misconfigured,
    tls_to_a_plaintext_port_is_misconfigured,
];

fn dead() -> String {
    // Bound and let go: nobody listens there.
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().to_string()
}

fn quick() -> HandleOptions {
    let mut options = HandleOptions::with_ttl(Duration::from_secs(2));
    options.operation_timeout = Duration::from_secs(3);
    options.attempt_timeout = Duration::from_secs(1);
    options
}

async fn a_dead_endpoint_is_unreachable_in_time(_: Bench) -> Outcome {
    let started = Instant::now();
    let error = connect(Options::new([dead()]).with_handle(quick())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.message().contains("refused"), "{error}");
    assert!(started.elapsed() < Duration::from_millis(3500));
    Ok(())
}

async fn a_port_that_never_answers_is_reported_in_time(_: Bench) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let started = Instant::now();
    let error = connect(Options::new([listener.local_addr()?.to_string()]).with_handle(quick())).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Unreachable), "{error}");
    assert!(started.elapsed() < Duration::from_millis(3500));
    Ok(())
}

async fn a_dead_endpoint_beside_a_live_one_costs_no_call(bench: Bench) -> Outcome {
    for endpoints in [[dead(), bench.url.clone()], [bench.url.clone(), dead()]] {
        let mut options = bench.options();
        options.endpoints = endpoints.to_vec();
        let handle = connect(options).await?;
        handle.register(&info(1)).await?;
        for _ in 0..50 {
            assert_eq!(handle.resolve(&"demo".try_into()?).await?.len(), 1);
        }
        handle.close().await?;
    }
    Ok(())
}

async fn a_silent_endpoint_beside_a_live_one_is_left(bench: Bench) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut options = bench.options().with_handle(quick());
    options.endpoints = vec![listener.local_addr()?.to_string(), bench.url.clone()];
    let handle = connect(options).await?;
    handle.register(&info(1)).await?;
    handle.close().await?;
    Ok(())
}

async fn a_password_for_an_etcd_without_users_is_misconfigured(bench: Bench) -> Outcome {
    let options = bench.options().with_user("root", registry_etcd::Material::Inline(Secret::new("tiger")));
    let error = connect(options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(!format!("{error} {error:?}").contains("tiger"));
    Ok(())
}

async fn tls_to_a_plaintext_port_is_misconfigured(bench: Bench) -> Outcome {
    let mut options = bench.options().with_tls(registry_etcd::Tls::new());
    options.endpoints = vec![bench.url.trim_start_matches("http://").to_owned()];
    let error = connect(options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    Ok(())
}
