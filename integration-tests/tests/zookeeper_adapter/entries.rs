//! What is written, replaced, kept and removed.

use integration_tests::standings;
use registry_core::store::{Guard, Removed, Standing, Store, WriteError};

use crate::bench::{Bench, Outcome, record, tests};

tests![
    an_entry_is_an_ephemeral_node_of_the_session_with_the_bytes_of_kitex,
    an_entry_of_this_session_is_replaced_in_place,
    an_entry_of_an_earlier_session_is_taken_over,
    a_foreign_entry_is_claimed_and_never_restored_over,
    an_unowned_entry_is_replaced,
    a_removal_touches_no_foreign_entry,
    a_broken_entry_hides_nothing,
    an_entry_that_we_may_not_read_is_foreign_and_denied,
];

async fn an_entry_is_an_ephemeral_node_of_the_session_with_the_bytes_of_kitex(mut bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    let record = record(&owner.client, 1, 10);
    owner.put(&record, Guard::Claim).await.unwrap();
    let node = bench.node(&record).await.unwrap();
    assert_eq!(node.data, br#"{"Weight":10,"Tags":null}"#);
    assert_eq!(node.owner, Some(owner.session.id().0));
    let parents = bench.door.get(&format!("{}/demo", bench.chroot)).await?.unwrap();
    assert_eq!((parents.data, parents.owner), (Vec::new(), None));
    Ok(())
}

async fn an_entry_of_this_session_is_replaced_in_place(mut bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    owner.put(&record(&owner.client, 1, 10), Guard::Claim).await.unwrap();
    let heavier = record(&owner.client, 1, 20);
    let before = bench.node(&heavier).await.unwrap();
    for guard in [Guard::Claim, Guard::AbsentOrOurs] {
        owner.put(&heavier, guard).await.unwrap();
    }
    let after = bench.node(&heavier).await.unwrap();
    assert_eq!((after.created, after.data.as_slice()), (before.created, heavier.value()));
    Ok(())
}

async fn an_entry_of_an_earlier_session_is_taken_over(mut bench: Bench) -> Outcome {
    let mut owner = bench.owner().await;
    let record = record(&owner.client, 1, 10);
    owner.put(&record, Guard::Claim).await.unwrap();
    owner.reopen().await;
    let standing = standings(&*owner.session, std::slice::from_ref(&record), &owner.lineage).await;
    assert_eq!(standing, [Standing::Ours { current: false, same: true }]);
    owner.put(&record, Guard::AbsentOrOurs).await.unwrap();
    assert_eq!(bench.node(&record).await.unwrap().owner, Some(owner.session.id().0));
    Ok(())
}

async fn a_foreign_entry_is_claimed_and_never_restored_over(mut bench: Bench) -> Outcome {
    let (first, second) = (bench.owner().await, bench.owner().await);
    let record = record(&first.client, 1, 10);
    first.put(&record, Guard::Claim).await.unwrap();
    assert!(matches!(second.put(&record, Guard::AbsentOrOurs).await, Err(WriteError::Foreign)));
    second.put(&record, Guard::Claim).await.unwrap();
    assert_eq!(bench.node(&record).await.unwrap().owner, Some(second.session.id().0));
    assert!(matches!(first.put(&record, Guard::AbsentOrOurs).await, Err(WriteError::Foreign)));
    Ok(())
}

async fn an_unowned_entry_is_replaced(mut bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    let record = record(&owner.client, 1, 10);
    let path = bench.path(&record);
    bench.door.create_parents(&path).await?;
    bench.door.replace(&path, b"{}", integration_tests::Acl::OPEN).await?;
    let standing = standings(&*owner.session, std::slice::from_ref(&record), &owner.lineage).await;
    assert_eq!(standing, [Standing::Unowned]);
    owner.put(&record, Guard::AbsentOrOurs).await.unwrap();
    assert_eq!(bench.node(&record).await.unwrap().owner, Some(owner.session.id().0));
    Ok(())
}

async fn a_removal_touches_no_foreign_entry(mut bench: Bench) -> Outcome {
    let (first, second) = (bench.owner().await, bench.owner().await);
    let record = record(&first.client, 1, 10);
    let remove = async || first.session.remove(std::slice::from_ref(&record), &first.lineage).await.remove(0).unwrap();
    assert_eq!(remove().await, Removed::NotThere);
    first.put(&record, Guard::Claim).await.unwrap();
    assert_eq!(remove().await, Removed::Gone);
    second.put(&record, Guard::Claim).await.unwrap();
    assert_eq!(remove().await, Removed::Foreign);
    assert!(bench.node(&record).await.is_some());
    Ok(())
}

async fn a_broken_entry_hides_nothing(mut bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    owner.put(&record(&owner.client, 1, 10), Guard::Claim).await.unwrap();
    let folder = format!("{}/demo", bench.chroot);
    bench.door.create(&format!("{folder}/no-address"), b"{}", integration_tests::Acl::OPEN).await?;
    bench.door.create(&format!("{folder}/10.0.0.5:2"), b"\xff", integration_tests::Acl::OPEN).await?;
    bench.door.create(&format!("{folder}/10.0.0.5:3"), b"{}", integration_tests::Acl::NOBODY).await?;
    let found = owner.client.list(&"demo".try_into()?).await.unwrap();
    assert_eq!(found.len(), 4);
    assert_eq!(found.iter().filter(|found| found.instance.is_ok()).count(), 1);
    assert!(owner.client.list(&"other".try_into()?).await.unwrap().is_empty());
    Ok(())
}

async fn an_entry_that_we_may_not_read_is_foreign_and_denied(mut bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    let record = record(&owner.client, 1, 10);
    let path = bench.path(&record);
    bench.door.create_parents(&path).await?;
    bench.door.create(&path, b"{}", integration_tests::Acl::NOBODY).await?;
    let denied = owner.put(&record, Guard::Claim).await;
    let Err(WriteError::Failed { error, applied: registry_core::store::Applied::Never }) = denied else {
        return Err(format!("{denied:?}").into());
    };
    assert_eq!(error.kind(), registry_core::ErrorKind::Denied);
    let standing = standings(&*owner.session, std::slice::from_ref(&record), &owner.lineage).await;
    assert_eq!(standing, [Standing::Foreign]);
    Ok(())
}
