//! Leases: renewing, fencing, ending.

use registry_core::store::{Guard, SessionError, WriteError};

use crate::bench::{Bench, Outcome, TTL, place, tests};

tests![
    the_ttl_granted_is_reported,
    a_renewal_keeps_the_lease_and_a_revoked_one_is_lost,
    a_lease_revoked_before_the_first_renewal_is_lost,
    a_write_begun_before_a_fence_is_shut_out,
    a_fence_that_landed_late_costs_one_attempt,
    a_fence_is_outside_every_service,
    the_end_withdraws_everything_and_can_be_repeated,
    nothing_is_left_running_when_all_is_dropped,
];

async fn the_ttl_granted_is_reported(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    assert_eq!(owner.session.ttl(), Some(TTL));
    Ok(())
}

async fn a_renewal_keeps_the_lease_and_a_revoked_one_is_lost(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    for _ in 0..3 {
        assert!(owner.session.renew(&[]).await.is_ok());
    }
    bench.revoke(&owner).await;
    assert!(matches!(owner.session.renew(&[]).await, Err(SessionError::Lost)));
    Ok(())
}

async fn a_lease_revoked_before_the_first_renewal_is_lost(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    bench.revoke(&owner).await;
    assert!(matches!(owner.session.renew(&[]).await, Err(SessionError::Lost)));
    Ok(())
}

async fn a_write_begun_before_a_fence_is_shut_out(bench: Bench) -> Outcome {
    use etcd_client::{Compare, CompareOp, Txn, TxnOp};
    let owner = bench.owner().await;
    // What the adapter sends for a write that begins now, and which the network delivers later.
    let fence = bench.key(&format!("/fence/{:016x}", owner.lease()));
    let late = Txn::new().when([Compare::mod_revision(fence, CompareOp::Equal, 0)]).and_then([TxnOp::put(
        bench.key(&place(1)),
        "late",
        None,
    )]);
    owner.session.fence().await.map_err(|error| format!("{error:?}"))?;
    assert!(!bench.door.kv_client().txn(late).await?.succeeded());
    assert!(owner.put(1, Guard::Claim).await.is_ok());
    Ok(())
}

async fn a_fence_that_landed_late_costs_one_attempt(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    bench.raw_put(&format!("/fence/{:016x}", owner.lease()), "", owner.lease()).await;
    assert!(matches!(owner.put(1, Guard::Claim).await, Err(WriteError::Contended)));
    assert!(owner.put(1, Guard::Claim).await.is_ok());
    Ok(())
}

async fn a_fence_is_outside_every_service(bench: Bench) -> Outcome {
    use registry_core::store::Store as _;
    let owner = bench.owner().await;
    owner.session.fence().await.map_err(|error| format!("{error:?}"))?;
    assert_eq!(bench.count().await, 1);
    for service in ["fence", "demo"] {
        assert!(owner.client.list(&service.try_into()?).await?.is_empty());
    }
    bench.revoke(&owner).await;
    assert_eq!(bench.count().await, 0);
    Ok(())
}

async fn the_end_withdraws_everything_and_can_be_repeated(bench: Bench) -> Outcome {
    let (owner, other) = (bench.owner().await, bench.owner().await);
    assert!(owner.put(1, Guard::Claim).await.is_ok() && owner.put(2, Guard::Claim).await.is_ok());
    assert!(other.put(2, Guard::Claim).await.is_ok());
    owner.session.end().await?;
    assert_eq!((bench.count().await, bench.raw(&place(1)).await), (1, None));
    owner.session.end().await?;
    assert!(matches!(owner.put(1, Guard::Claim).await, Err(WriteError::SessionLost)));
    Ok(())
}

async fn nothing_is_left_running_when_all_is_dropped(bench: Bench) -> Outcome {
    use registry_core::store::Store as _;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let owner = bench.owner().await;
    assert!(owner.session.renew(&[]).await.is_ok());
    let mut view = owner.client.view(&"demo".try_into()?, 0).await?;
    view.next().await?;
    assert!(tasks() > before);
    drop((owner, view));
    crate::bench::eventually("no task is left", async || tasks() <= before).await;
    Ok(())
}
