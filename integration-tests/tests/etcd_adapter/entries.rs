//! Writing, removing and inspecting entries.

use integration_tests::{FaultProxy, standings};
use registry_core::Info;
use registry_core::store::{Guard, Put, Removed, Standing, Store, WriteError};
use registry_etcd::Options;

use crate::bench::{Bench, Outcome, Owner, info, place, tests};

/// Entries in one batch: with the fence as many comparisons as etcd allows in a transaction (`--max-txn-ops`, 128).
const MAX_BATCH: u32 = 127;

tests![
    an_entry_is_what_kitex_writes_on_our_lease,
    a_claim_replaces_whatever_stands,
    a_restore_yields_to_another_owner_and_takes_the_unowned,
    entries_of_a_batch_are_independent,
    an_entry_of_an_earlier_session_is_ours,
    a_write_on_a_revoked_lease_is_session_lost_and_writes_nothing,
    only_ours_are_removed,
    an_inspection_tells_whose_an_entry_is_and_whether_it_is_the_same,
    a_batch_larger_than_a_request_is_split,
    what_nothing_stands_in_the_way_of_is_written_in_one_request,
    what_stands_in_the_way_of_some_holds_up_none,
    ten_thousand_entries_are_written_and_listed,
    a_broken_entry_hides_nothing,
    a_longer_prefix_is_another_namespace,
];

async fn an_entry_is_what_kitex_writes_on_our_lease(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    let info = Info::builder("demo").address("10.0.0.5:8888").tag("idc", "hd1").tag("k", "a<b&c").build()?;
    let put = Put { record: owner.client.encode(&info)?, guard: Guard::Claim };
    owner.session.put(&[put], &owner.lineage).await.remove(0).map_err(|error| format!("{error:?}"))?;
    let golden =
        r#"{"network":"tcp","address":"10.0.0.5:8888","weight":10,"tags":{"idc":"hd1","k":"a\u003cb\u0026c"}}"#;
    assert_eq!(bench.raw("demo/10.0.0.5:8888").await, Some((golden.to_owned(), owner.lease())));
    Ok(())
}

async fn a_claim_replaces_whatever_stands(bench: Bench) -> Outcome {
    let (first, second) = (bench.owner().await, bench.owner().await);
    bench.raw_put(&place(2), "x", 0).await;
    assert!(first.put(1, Guard::Claim).await.is_ok());
    for number in [1, 2] {
        assert!(second.put(number, Guard::Claim).await.is_ok());
        assert_eq!(bench.raw(&place(number)).await.unwrap().1, second.lease());
    }
    Ok(())
}

async fn a_restore_yields_to_another_owner_and_takes_the_unowned(bench: Bench) -> Outcome {
    let (first, second) = (bench.owner().await, bench.owner().await);
    bench.raw_put(&place(2), "x", 0).await;
    assert!(first.put(1, Guard::Claim).await.is_ok());
    assert!(matches!(second.put(1, Guard::AbsentOrOurs).await, Err(WriteError::Foreign)));
    assert_eq!(bench.raw(&place(1)).await.unwrap().1, first.lease());
    assert!(second.put(2, Guard::AbsentOrOurs).await.is_ok());
    assert!(second.put(3, Guard::AbsentOrOurs).await.is_ok());
    Ok(())
}

async fn entries_of_a_batch_are_independent(bench: Bench) -> Outcome {
    let (first, second) = (bench.owner().await, bench.owner().await);
    assert!(first.put(2, Guard::Claim).await.is_ok());
    let batch = [(1, Guard::AbsentOrOurs), (2, Guard::AbsentOrOurs), (3, Guard::Claim)];
    let results = second.put_all(&batch).await;
    assert!(matches!(results[..], [Ok(()), Err(WriteError::Foreign), Ok(())]), "{results:?}");
    assert_eq!(bench.raw(&place(3)).await.unwrap().1, second.lease());
    Ok(())
}

async fn an_entry_of_an_earlier_session_is_ours(bench: Bench) -> Outcome {
    let mut owner = bench.owner().await;
    let earlier = owner.session.clone();
    assert!(owner.put(1, Guard::Claim).await.is_ok() && owner.put(2, Guard::Claim).await.is_ok());
    owner.reopen().await;
    let standing = standings(&*owner.session, &[owner.record(1)], &owner.lineage).await;
    assert_eq!(standing, [Standing::Ours { current: false, same: true }]);
    assert!(owner.put(1, Guard::AbsentOrOurs).await.is_ok());
    assert_eq!(bench.raw(&place(1)).await.unwrap().1, owner.lease());
    let removed = owner.session.remove(&[owner.record(2)], &owner.lineage).await;
    assert!(matches!(removed[..], [Ok(Removed::Gone)]), "{removed:?}");
    drop(earlier);
    Ok(())
}

async fn a_write_on_a_revoked_lease_is_session_lost_and_writes_nothing(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    bench.revoke(&owner).await;
    let results = owner.put_all(&[(1, Guard::Claim), (2, Guard::AbsentOrOurs)]).await;
    assert!(results.iter().all(|result| matches!(result, Err(WriteError::SessionLost))), "{results:?}");
    assert_eq!(bench.count().await, 0);
    Ok(())
}

async fn only_ours_are_removed(bench: Bench) -> Outcome {
    let (owner, other) = (bench.owner().await, bench.owner().await);
    assert!(owner.put(1, Guard::Claim).await.is_ok() && other.put(2, Guard::Claim).await.is_ok());
    bench.raw_put(&place(3), "x", 0).await;
    let records: Vec<_> = (1..=4).map(|number| owner.record(number)).collect();
    let removed = owner.session.remove(&records, &owner.lineage).await;
    let expected = [Ok(Removed::Gone), Ok(Removed::Foreign), Ok(Removed::Foreign), Ok(Removed::NotThere)];
    assert_eq!(format!("{removed:?}"), format!("{:?}", expected.map(|one: Result<_, WriteError>| one)));
    assert_eq!(bench.count().await, 2);
    Ok(())
}

async fn an_inspection_tells_whose_an_entry_is_and_whether_it_is_the_same(bench: Bench) -> Outcome {
    let (owner, other) = (bench.owner().await, bench.owner().await);
    assert!(owner.put(1, Guard::Claim).await.is_ok() && other.put(3, Guard::Claim).await.is_ok());
    bench.raw_put(&place(2), "changed", owner.lease()).await;
    bench.raw_put(&place(4), "unowned", 0).await;
    let records: Vec<_> = (1..=5).map(|number| owner.record(number)).collect();
    let standing = standings(&*owner.session, &records, &owner.lineage).await;
    let ours = |same| Standing::Ours { current: true, same };
    assert_eq!(standing, [ours(true), ours(false), Standing::Foreign, Standing::Unowned, Standing::Absent]);
    Ok(())
}

async fn a_batch_larger_than_a_request_is_split(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    let large = |number| info(number).to_builder().tag("k", "x".repeat(60_000)).build().unwrap();
    let put = |number| Put { record: owner.client.encode(&large(number)).unwrap(), guard: Guard::Claim };
    let puts: Vec<_> = (0..60).map(put).collect();
    assert!(owner.session.put(&puts, &owner.lineage).await.iter().all(Result::is_ok));
    assert_eq!(bench.count().await, 60);
    Ok(())
}

async fn what_nothing_stands_in_the_way_of_is_written_in_one_request(bench: Bench) -> Outcome {
    let address = bench.url.trim_start_matches("http://").parse()?;
    let proxy = FaultProxy::start(address).await?;
    let options = Options::new([proxy.address().to_string()]).with_prefix(&bench.prefix);
    let owner = Owner::open(options.client()?).await;
    // Few enough for one frame a request, which is what the proxy counts.
    let batch: Vec<_> = (0..30).map(|number| (number, Guard::Claim)).collect();
    let requests = async || {
        let before = proxy.counts().messages;
        assert!(owner.put_all(&batch).await.iter().all(Result::is_ok));
        proxy.counts().messages - before
    };
    assert_eq!(requests().await, 1);
    // What stands is found out, and then replaced.
    assert_eq!(requests().await, 2);
    assert_eq!(bench.count().await, 30);
    Ok(())
}

async fn what_stands_in_the_way_of_some_holds_up_none(bench: Bench) -> Outcome {
    let (first, second) = (bench.owner().await, bench.owner().await);
    let standing = [0, 64, MAX_BATCH - 1];
    for number in standing {
        assert!(first.put(number, Guard::Claim).await.is_ok());
    }
    assert_eq!(MAX_BATCH as usize, second.client.capabilities().max_batch);
    let batch = |guard| (0..MAX_BATCH).map(|number| (number, guard)).collect::<Vec<_>>();
    let restored = second.put_all(&batch(Guard::AbsentOrOurs)).await;
    for (number, result) in (0..).zip(&restored) {
        let yields = standing.contains(&number);
        assert_eq!(matches!(result, Err(WriteError::Foreign)), yields, "{number}: {result:?}");
        assert!(yields || result.is_ok(), "{number}: {result:?}");
    }
    assert!(second.put_all(&batch(Guard::Claim)).await.iter().all(Result::is_ok));
    for number in 0..MAX_BATCH {
        assert_eq!(bench.raw(&place(number)).await.unwrap().1, second.lease());
    }
    Ok(())
}

async fn ten_thousand_entries_are_written_and_listed(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    let most = owner.client.capabilities().max_batch;
    for batch in (0..10_000).map(|number| (number, Guard::AbsentOrOurs)).collect::<Vec<_>>().chunks(most) {
        assert!(owner.put_all(batch).await.iter().all(Result::is_ok));
    }
    let found = owner.client.list(&"demo".try_into()?).await?;
    assert_eq!(found.iter().filter(|found| found.instance.is_ok()).count(), 10_000);
    Ok(())
}

async fn a_broken_entry_hides_nothing(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    assert!(owner.put(1, Guard::Claim).await.is_ok());
    bench.raw_put("demo/broken", b"\xff{".as_slice(), 0).await;
    let unbracketed = r#"{"network":"tcp","address":"2001:db8::5:8888","weight":0,"tags":null}"#;
    bench.raw_put("demo/2001:db8::5:8888", unbracketed, 0).await;
    let found = owner.client.list(&"demo".try_into()?).await?;
    let mut addresses: Vec<_> =
        found.iter().filter_map(|found| Some(found.instance.as_ref().ok()?.address().to_string())).collect();
    addresses.sort();
    assert_eq!(addresses, ["10.0.0.1:8888", "[2001:db8::5]:8888"]);
    assert_eq!(found.len(), 3);
    Ok(())
}

async fn a_longer_prefix_is_another_namespace(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    assert!(owner.put(1, Guard::Claim).await.is_ok());
    let inner = bench.options().with_prefix(bench.key("demo")).client()?;
    let inner = crate::bench::Owner::open(inner).await;
    assert!(inner.put(2, Guard::Claim).await.is_ok());
    assert_eq!(owner.client.list(&"demo".try_into()?).await?.len(), 1);
    assert_eq!(inner.client.list(&"demo".try_into()?).await?.len(), 1);
    Ok(())
}
