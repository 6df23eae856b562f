//! What a view tells.

use std::time::Duration;

use integration_tests::{Acl, FaultProxy};
use registry_core::ErrorKind;
use registry_core::store::{Guard, Put, Record, Store, StoreError, View, ViewChange};

use crate::bench::{Bench, Outcome, Owner, record, tests};

tests![
    a_missing_service_is_empty_and_its_creation_is_told,
    a_change_of_data_is_told,
    a_removal_is_told,
    a_recreated_service_is_followed,
    a_probe_is_answered,
    a_probe_is_denied_when_reading_is,
    a_change_among_ten_thousand_reads_what_changed_alone,
];

const SOON: Duration = Duration::from_secs(3);

/// The next change that says something.
async fn next(view: &mut Box<dyn View>) -> ViewChange {
    loop {
        match tokio::time::timeout(SOON, view.next()).await.unwrap().unwrap() {
            ViewChange::Alive => {}
            change => return change,
        }
    }
}

async fn a_missing_service_is_empty_and_its_creation_is_told(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    let mut view = owner.client.view(&"demo".try_into()?, 0).await?;
    assert!(matches!(next(&mut view).await, ViewChange::Full(found) if found.is_empty()));
    let record = record(&owner.client, 1, 10);
    owner.put(&record, Guard::Claim).await.unwrap();
    assert!(matches!(next(&mut view).await, ViewChange::Upsert(found) if found.key == *record.key()));
    Ok(())
}

async fn a_change_of_data_is_told(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    owner.put(&record(&owner.client, 1, 10), Guard::Claim).await.unwrap();
    let mut view = owner.client.view(&"demo".try_into()?, 0).await?;
    assert!(matches!(next(&mut view).await, ViewChange::Full(found) if found.len() == 1));
    for weight in [20, 30] {
        owner.put(&record(&owner.client, 1, weight), Guard::Claim).await.unwrap();
        let ViewChange::Upsert(found) = next(&mut view).await else { return Err("no upsert".into()) };
        assert_eq!(found.instance.unwrap().weight(), weight);
    }
    Ok(())
}

async fn a_removal_is_told(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    let record = record(&owner.client, 1, 10);
    owner.put(&record, Guard::Claim).await.unwrap();
    let mut view = owner.client.view(&"demo".try_into()?, 0).await?;
    next(&mut view).await;
    owner.session.remove(std::slice::from_ref(&record), &owner.lineage).await.remove(0).unwrap();
    assert!(matches!(next(&mut view).await, ViewChange::Remove(key) if key == *record.key()));
    Ok(())
}

async fn a_recreated_service_is_followed(mut bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    let folder = format!("{}/demo", bench.chroot);
    bench.door.create_parents(&format!("{folder}/x")).await?;
    let mut view = owner.client.view(&"demo".try_into()?, 0).await?;
    next(&mut view).await;
    for _ in 0..3 {
        assert!(bench.door.delete(&folder).await?);
        bench.door.create(&folder, b"", Acl::OPEN).await?;
        bench.door.create(&format!("{folder}/10.0.0.5:1"), br#"{"Weight":1}"#, Acl::OPEN).await?;
        assert!(matches!(next(&mut view).await, ViewChange::Upsert(_)));
        bench.door.delete(&format!("{folder}/10.0.0.5:1")).await?;
        assert!(matches!(next(&mut view).await, ViewChange::Remove(_)));
    }
    Ok(())
}

async fn a_probe_is_answered(bench: Bench) -> Outcome {
    let client = bench.client();
    let mut view = client.view(&"demo".try_into()?, 0).await?;
    next(&mut view).await;
    view.probe().await?;
    assert!(matches!(tokio::time::timeout(SOON, view.next()).await??, ViewChange::Alive));
    Ok(())
}

async fn a_probe_is_denied_when_reading_is(mut bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    owner.put(&record(&owner.client, 1, 10), Guard::Claim).await.unwrap();
    let mut view = owner.client.view(&"demo".try_into()?, 0).await?;
    next(&mut view).await;
    bench.door.set_acl(&format!("{}/demo", bench.chroot), Acl::NOBODY).await?;
    assert_eq!(view.probe().await.unwrap_err().kind(), ErrorKind::Denied);
    Ok(())
}

/// The barrier, the list and the read that a change may cost, and what probes ask meanwhile.
const FEW: u64 = 10;

async fn a_change_among_ten_thousand_reads_what_changed_alone(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    fill(&owner, 10_000).await;
    let proxy = FaultProxy::start(bench.server).await?;
    let mut view = bench.options_at(proxy.address()).client()?.view(&"demo".try_into()?, 0).await?;
    let first = async {
        loop {
            match view.next().await? {
                // A part was read.
                ViewChange::Alive => {}
                first => return Ok::<_, StoreError>(first),
            }
        }
    };
    let first = tokio::time::timeout(Duration::from_secs(60), first).await??;
    assert!(matches!(first, ViewChange::Full(found) if found.len() == 10_000));
    let all = proxy.counts().messages;
    assert!(all > 10_000, "the proxy has counted {all} requests");
    let (changed, added) = (record(&owner.client, 5_000, 20), record(&owner.client, 10_001, 10));
    for record in [&changed, &added] {
        owner.put(record, Guard::Claim).await.unwrap();
        let ViewChange::Upsert(found) = next(&mut view).await else { return Err("no upsert".into()) };
        assert_eq!(found.key, *record.key());
    }
    owner.session.remove(std::slice::from_ref(&added), &owner.lineage).await.remove(0).unwrap();
    assert!(matches!(next(&mut view).await, ViewChange::Remove(key) if key == *added.key()));
    let asked = proxy.counts().messages - all;
    assert!(asked <= 3 * FEW, "{asked} requests for three changes");
    Ok(())
}

async fn fill(owner: &Owner, count: u16) {
    let records: Vec<Record> = (1..=count).map(|port| record(&owner.client, port, 10)).collect();
    for records in records.chunks(500) {
        let puts: Vec<Put> = records.iter().map(|record| Put { record: record.clone(), guard: Guard::Claim }).collect();
        for result in owner.session.put(&puts, &owner.lineage).await {
            result.unwrap();
        }
    }
}
