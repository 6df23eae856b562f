//! Where and how a connection comes to stand.

use std::time::{Duration, Instant};

use integration_tests::{Acl, Direction, Fault, FaultProxy, ZooKeeperDoor};
use registry_core::{ErrorKind, Info, Material, Registry, Resolver, Secret};
use registry_zookeeper::{Options, connect};

use crate::bench::{Bench, Outcome, tests};

tests![
    a_dead_port_fails_in_time,
    a_server_that_accepts_and_closes_is_not_hammered,
    the_next_server_is_used_when_one_is_dead,
    nodes_of_a_user_are_his_alone_and_shared_parents_are_open,
    another_password_is_denied,
    a_slow_link_is_connected_over_and_closed_over,
];

async fn a_dead_port_fails_in_time(bench: Bench) -> Outcome {
    let options = Options::new(format!("127.0.0.1:1{}", bench.chroot));
    let begun = Instant::now();
    let error = connect(options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(6));
    Ok(())
}

async fn a_server_that_accepts_and_closes_is_not_hammered(bench: Bench) -> Outcome {
    let proxy = FaultProxy::start(bench.server).await?;
    proxy.set(Fault::AcceptAndClose);
    let error = connect(bench.options_at(proxy.address())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    // Without our hand on it the client makes thousands a second.
    assert!(proxy.counts().accepted < 60, "{:?}", proxy.counts());
    Ok(())
}

async fn the_next_server_is_used_when_one_is_dead(bench: Bench) -> Outcome {
    for _ in 0..4 {
        let options = Options::new(format!("127.0.0.1:1,{}{}", bench.server, bench.chroot));
        let registry = connect(options).await?;
        registry.register(&Info::builder("demo").address("10.0.0.5:1").build()?).await?;
        registry.close().await?;
    }
    Ok(())
}

async fn nodes_of_a_user_are_his_alone_and_shared_parents_are_open(bench: Bench) -> Outcome {
    let mine = connect(bench.options().with_user("me", secret("tiger"))).await?;
    mine.register(&Info::builder("demo").address("10.0.0.5:1").build()?).await?;
    let other = connect(bench.options().with_user("you", secret("lion"))).await?;
    other.register(&Info::builder("demo").address("10.0.0.5:2").build()?).await?;
    assert_eq!(mine.resolve(&"demo".try_into()?).await?.instances().len(), 1);
    let denied = other.register(&Info::builder("demo").address("10.0.0.5:1").build()?).await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied, "{denied}");
    Ok(())
}

async fn another_password_is_denied(mut bench: Bench) -> Outcome {
    // digest of `me:tiger`, as `DigestAuthenticationProvider.generateDigest` makes it, is what a handle of that user writes itself.
    let mine = connect(bench.options().with_user("me", secret("tiger"))).await?;
    mine.register(&Info::builder("demo").address("10.0.0.5:1").build()?).await?;
    bench.door.set_acl(&bench.chroot, integration_tests::Acl::NOBODY).await?;
    let denied = mine.resolve(&"unknown".try_into()?).await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied, "{denied}");
    Ok(())
}

fn secret(text: &str) -> Material {
    Material::Inline(Secret::new(text))
}

async fn a_slow_link_is_connected_over_and_closed_over(mut bench: Bench) -> Outcome {
    let proxy = FaultProxy::start(bench.server).await?;
    bench.door.create(&bench.chroot, b"", Acl::OPEN).await?;
    bench.door.create(&format!("{}/demo", bench.chroot), b"", Acl::OPEN).await?;
    // To open a session takes three answers, as does its end: 1.3 s of the 2 s of an attempt.
    proxy.set(Fault::Latency(Direction::Both, Duration::from_millis(220)));
    let mine = connect(bench.options_at(proxy.address()).with_user("me", secret("tiger"))).await?;
    mine.register(&Info::builder("demo").address("10.0.0.5:1").build()?).await?;
    mine.close().await?;
    // The first one's session may have ended over it.
    let mut door = ZooKeeperDoor::open(bench.server).await?;
    assert_eq!(door.get(&format!("{}/demo/10.0.0.5:1", bench.chroot)).await?, None);
    Ok(())
}
