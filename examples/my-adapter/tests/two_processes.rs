//! The folder between two processes.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use registry_core::{HandleOptions, Resolver, ServiceName, Watch};

const TTL: Duration = Duration::from_secs(2);

/// Follows the watch until it shows `count` instances; fails after `limit`.
async fn until(watch: &mut Watch, count: usize, limit: Duration) -> Duration {
    let began = Instant::now();
    while watch.latest().instances().len() != count || !watch.latest().is_known() {
        let left = limit.saturating_sub(began.elapsed());
        let change = tokio::time::timeout(left, watch.next()).await;
        assert!(change.is_ok_and(|change| change.is_some()), "no {count} instances within {limit:?}");
    }
    began.elapsed()
}

#[tokio::test]
async fn another_process_is_seen_while_it_lives_and_until_its_ttl_after_it_was_killed() {
    let folder = std::env::temp_dir().join(format!("my-adapter-two-{}", std::process::id()));
    let reader = my_adapter::connect(&folder, HandleOptions::with_ttl(TTL)).await.unwrap();
    let mut watch = reader.watch(&ServiceName::new("demo").unwrap()).unwrap();
    until(&mut watch, 0, Duration::from_secs(5)).await;

    let mut owner = Command::new(env!("CARGO_BIN_EXE_my-adapter-owner"));
    owner.arg(&folder).args([TTL.as_millis().to_string().as_str(), "demo", "10.0.0.5:8888"]).stdin(Stdio::null());
    let mut owner = owner.spawn().unwrap();
    until(&mut watch, 1, Duration::from_secs(10)).await;
    assert_eq!(watch.latest().instances()[0].address().as_str(), "10.0.0.5:8888");

    owner.kill().unwrap();
    owner.wait().unwrap();
    let gone = until(&mut watch, 0, TTL * 2 + Duration::from_secs(2)).await;
    assert!(gone >= TTL / 2, "a crash showed already after {gone:?}");
    drop(reader);
    std::fs::remove_dir_all(folder).unwrap();
}
