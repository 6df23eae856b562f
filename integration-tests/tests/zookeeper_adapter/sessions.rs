//! How sessions are told, lost and ended.

use std::time::Duration;

use integration_tests::{Direction, Fault, FaultProxy, ZooKeeperDoor, eventually};
use registry_core::store::{Guard, SessionError, Signal, WriteError};
use registry_core::{Info, Registry};
use registry_zookeeper::connect;

use crate::bench::{Bench, Outcome, Owner, record, tests};

tests![
    a_session_that_the_server_expired_is_lost_at_once,
    a_deleted_entry_is_told,
    an_entry_deleted_by_an_operator_is_back_soon,
    an_end_is_confirmed_by_the_server,
    an_end_is_confirmed_when_its_bytes_are_late,
    a_dropped_owner_is_disconnected_at_once,
    a_silent_server_is_noticed_before_the_session_would_expire,
    the_granted_timeout_is_known,
];

const SOON: Duration = Duration::from_secs(3);

async fn a_session_that_the_server_expired_is_lost_at_once(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    assert!(ZooKeeperDoor::expire(bench.server, owner.session.id().0).await?);
    let signal = tokio::time::timeout(SOON, owner.session.signal()).await?;
    assert_eq!(signal, Signal::Lost);
    assert!(matches!(owner.session.renew(&[]).await, Err(SessionError::Lost)));
    let lost = owner.put(&record(&owner.client, 1, 10), Guard::Claim).await;
    assert!(matches!(lost, Err(WriteError::SessionLost)));
    Ok(())
}

async fn a_deleted_entry_is_told(mut bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    let record = record(&owner.client, 1, 10);
    owner.put(&record, Guard::Claim).await.unwrap();
    let path = bench.path(&record);
    bench.door.delete(&path).await?;
    let signal = tokio::time::timeout(SOON, owner.session.signal()).await?;
    assert_eq!(signal, Signal::Look(record.key().clone()));
    Ok(())
}

async fn an_entry_deleted_by_an_operator_is_back_soon(mut bench: Bench) -> Outcome {
    let registry = connect(bench.options()).await?;
    let info = Info::builder("demo").address("10.0.0.5:1").build()?;
    registry.register(&info).await?;
    let path = format!("{}/demo/10.0.0.5:1", bench.chroot);
    for _ in 0..2 {
        assert!(bench.door.delete(&path).await?);
        eventually(SOON, "the entry is back", async || bench.door.get(&path).await.unwrap()).await;
    }
    registry.close().await?;
    assert_eq!(bench.door.get(&path).await?, None);
    Ok(())
}

async fn an_end_is_confirmed_by_the_server(mut bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    let record = record(&owner.client, 1, 10);
    owner.put(&record, Guard::Claim).await.unwrap();
    owner.session.end().await?;
    assert_eq!(bench.node(&record).await, None);
    assert!(!ZooKeeperDoor::expire(bench.server, owner.session.id().0).await?);
    owner.session.end().await?;
    Ok(())
}

async fn an_end_is_confirmed_when_its_bytes_are_late(mut bench: Bench) -> Outcome {
    let proxy = FaultProxy::start(bench.server).await?;
    let owner = Owner::open(bench.options_at(proxy.address()).client()?).await;
    let record = record(&owner.client, 1, 10);
    owner.put(&record, Guard::Claim).await.unwrap();
    proxy.set(Fault::Latency(Duration::from_millis(300)));
    owner.session.end().await?;
    assert_eq!(bench.node(&record).await, None);
    Ok(())
}

async fn a_dropped_owner_is_disconnected_at_once(bench: Bench) -> Outcome {
    let proxy = FaultProxy::start(bench.server).await?;
    let owner = Owner::open(bench.options_at(proxy.address()).client()?).await;
    assert_eq!(proxy.counts().open, 1);
    drop(owner);
    eventually(SOON, "the socket is gone", async || (proxy.counts().open == 0).then_some(())).await;
    Ok(())
}

async fn a_silent_server_is_noticed_before_the_session_would_expire(bench: Bench) -> Outcome {
    let proxy = FaultProxy::start(bench.server).await?;
    let owner = Owner::open(bench.options_at(proxy.address()).client()?).await;
    proxy.set(Fault::Lose(Direction::Both));
    let asked = tokio::time::timeout(SOON, owner.session.renew(&[])).await?;
    assert!(matches!(asked, Err(SessionError::Lost)), "{asked:?}");
    assert_eq!(tokio::time::timeout(SOON, owner.session.signal()).await?, Signal::Lost);
    Ok(())
}

async fn the_granted_timeout_is_known(bench: Bench) -> Outcome {
    // Far more than the server grants (60 s).
    let owner = Owner::open(bench.options().with_ttl(Duration::from_secs(600)).client()?).await;
    assert_eq!(owner.session.ttl(), Some(Duration::from_secs(60)));
    Ok(())
}
