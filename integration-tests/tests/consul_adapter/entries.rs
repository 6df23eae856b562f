//! Writing, removing and inspecting entries.

use std::time::Duration;

use integration_tests::{eventually, standings};
use registry_core::store::{Guard, Removed, Standing, Store, WriteError};
use registry_core::{Info, ServiceName};
use serde_json::json;

use crate::bench::{Bench, Outcome, TTL, tests};

tests![
    an_entry_is_what_kitex_registers_and_passes_at_once,
    a_claim_replaces_whatever_stands,
    a_restore_yields_to_another_owner_and_to_go,
    a_restore_takes_what_another_owner_let_expire,
    entries_of_a_batch_are_independent,
    only_ours_are_removed,
    an_inspection_tells_whose_an_entry_is_and_whether_it_is_the_same,
    an_id_with_a_space_is_removed,
    a_critical_entry_heals_by_one_pass,
    an_entry_without_its_check_is_written_again,
    odd_names_are_kept_apart,
];

/// Within what time the agent has told its servers.
const SOON: Duration = Duration::from_secs(5);

async fn an_entry_is_what_kitex_registers_and_passes_at_once(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    let name = bench.service.as_str();
    let info = Info::builder(name).address("10.0.0.5:8888").tag("idc", "hd1").tag("group", "blue").build()?;
    owner.put_record(owner.client.encode(&info)?, Guard::Claim).await.unwrap();
    let id = format!("{name}:10.0.0.5:8888");
    let service = bench.door.service(&id).await;
    for (member, golden) in [
        ("ID", json!(id)),
        ("Service", json!(name)),
        ("Address", json!("10.0.0.5")),
        ("Port", json!(8888)),
        ("Tags", json!(["group:blue", "idc:hd1"])),
        ("Weights", json!({"Passing": 10, "Warning": 10})),
        ("Meta", json!({"owner": owner.token()})),
    ] {
        assert_eq!(service[member], golden, "{member}");
    }
    assert_eq!(bench.door.status(&id).await, "passing");
    eventually(SOON, "Go finds it", async || (bench.door.passing(name).await == [id.clone()]).then_some(())).await;
    Ok(())
}

async fn a_claim_replaces_whatever_stands(bench: Bench) -> Outcome {
    let (first, second) = (bench.owner().await, bench.owner().await);
    bench.door.register_as_go(bench.service.as_str(), "10.0.0.2", 8888, "127.0.0.1:1").await;
    assert!(first.put(1, Guard::Claim).await.is_ok());
    for number in [1, 2] {
        assert!(second.put(number, Guard::Claim).await.is_ok());
        assert_eq!(bench.door.owner(&bench.id(number)).await.as_deref(), Some(second.token()));
        assert_eq!(bench.door.status(&bench.id(number)).await, "passing");
    }
    Ok(())
}

async fn a_restore_yields_to_another_owner_and_to_go(bench: Bench) -> Outcome {
    let (first, second) = (bench.owner().await, bench.owner().await);
    bench.door.register_as_go(bench.service.as_str(), "10.0.0.2", 8888, "127.0.0.1:1").await;
    assert!(first.put(1, Guard::Claim).await.is_ok());
    for number in [1, 2] {
        assert!(matches!(second.put(number, Guard::AbsentOrOurs).await, Err(WriteError::Foreign)));
    }
    assert_eq!(bench.door.owner(&bench.id(1)).await.as_deref(), Some(first.token()));
    assert_eq!(bench.door.owner(&bench.id(2)).await, None);
    assert!(second.put(3, Guard::AbsentOrOurs).await.is_ok());
    Ok(())
}

async fn a_restore_takes_what_another_owner_let_expire(bench: Bench) -> Outcome {
    let (first, second) = (bench.owner().await, bench.owner().await);
    assert!(first.put(1, Guard::Claim).await.is_ok());
    assert_eq!(second.inspect(1).await, Standing::Foreign);
    let expired = async || (second.inspect(1).await == Standing::Unowned).then_some(());
    eventually(TTL * 2, "nobody keeps it alive any more", expired).await;
    assert!(second.put(1, Guard::AbsentOrOurs).await.is_ok());
    assert_eq!(bench.door.owner(&bench.id(1)).await.as_deref(), Some(second.token()));
    assert_eq!(bench.door.status(&bench.id(1)).await, "passing");
    Ok(())
}

async fn entries_of_a_batch_are_independent(bench: Bench) -> Outcome {
    let (first, second) = (bench.owner().await, bench.owner().await);
    assert!(first.put(2, Guard::Claim).await.is_ok());
    let put = |number| registry_core::store::Put { record: second.record(number), guard: Guard::AbsentOrOurs };
    let results = second.session.put(&[put(1), put(2), put(3)], &second.lineage).await;
    assert!(matches!(results[..], [Ok(()), Err(WriteError::Foreign), Ok(())]), "{results:?}");
    Ok(())
}

async fn only_ours_are_removed(bench: Bench) -> Outcome {
    let (owner, other) = (bench.owner().await, bench.owner().await);
    bench.door.register_as_go(bench.service.as_str(), "10.0.0.3", 8888, "127.0.0.1:1").await;
    assert!(owner.put(1, Guard::Claim).await.is_ok() && other.put(2, Guard::Claim).await.is_ok());
    assert_eq!(owner.remove(1).await, Removed::Gone);
    assert_eq!(owner.remove(2).await, Removed::Foreign);
    assert_eq!(owner.remove(3).await, Removed::Foreign);
    assert_eq!(owner.remove(4).await, Removed::NotThere);
    assert!(bench.door.service(&bench.id(1)).await.is_null());
    for number in [2, 3] {
        assert!(bench.door.service(&bench.id(number)).await.is_object());
    }
    Ok(())
}

async fn an_inspection_tells_whose_an_entry_is_and_whether_it_is_the_same(bench: Bench) -> Outcome {
    let (owner, other) = (bench.owner().await, bench.owner().await);
    bench.door.register_as_go(bench.service.as_str(), "10.0.0.4", 8888, "127.0.0.1:1").await;
    let heavier = owner.client.encode(&bench.info(2).to_builder().weight(99).build()?)?;
    assert!(owner.put(1, Guard::Claim).await.is_ok() && other.put(3, Guard::Claim).await.is_ok());
    assert!(owner.put_record(heavier, Guard::Claim).await.is_ok());
    let records: Vec<_> = (1..=5).map(|number| owner.record(number)).collect();
    let standing = standings(&*owner.session, &records, &owner.lineage).await;
    let ours = |same| Standing::Ours { current: true, same };
    assert_eq!(standing, [ours(true), ours(false), Standing::Foreign, Standing::Foreign, Standing::Absent]);
    Ok(())
}

async fn an_id_with_a_space_is_removed(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    let info = Info::builder(format!("{} v2", bench.service)).address("10.0.0.5:8888").build()?;
    let record = owner.client.encode(&info)?;
    assert!(owner.put_record(record.clone(), Guard::Claim).await.is_ok());
    assert_eq!(bench.door.status(record.key().as_str()).await, "passing");
    let removed = owner.session.remove(std::slice::from_ref(&record), &owner.lineage).await;
    assert!(matches!(removed[..], [Ok(Removed::Gone)]), "{removed:?}");
    assert!(bench.door.service(record.key().as_str()).await.is_null());
    Ok(())
}

async fn a_critical_entry_heals_by_one_pass(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    assert!(owner.put(1, Guard::Claim).await.is_ok());
    let id = bench.id(1);
    eventually(TTL * 2, "it is critical", async || (bench.door.status(&id).await == "critical").then_some(())).await;
    assert_eq!(owner.inspect(1).await, Standing::Ours { current: true, same: false });
    assert!(!owner.beat(1).await);
    assert_eq!(bench.door.status(&id).await, "passing");
    assert_eq!(owner.inspect(1).await, Standing::Ours { current: true, same: true });
    Ok(())
}

async fn an_entry_without_its_check_is_written_again(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    assert!(owner.put(1, Guard::Claim).await.is_ok());
    bench.door.drop_check(&bench.id(1)).await;
    assert!(owner.beat(1).await, "core is told to look at it");
    assert_eq!(owner.inspect(1).await, Standing::Ours { current: true, same: false });
    assert!(owner.put(1, Guard::AbsentOrOurs).await.is_ok());
    assert_eq!(bench.door.status(&bench.id(1)).await, "passing");
    Ok(())
}

async fn odd_names_are_kept_apart(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    let base = bench.service.as_str();
    let names = ["", "B", "b", " b", "?b", "#b", "\\b", ";b", "名前", "*"].map(|odd| format!("{base}{odd}"));
    for (name, port) in names.iter().zip(1u16..) {
        let info = Info::builder(name.as_str()).address(format!("10.0.0.5:{port}").as_str()).build()?;
        owner.put_record(owner.client.encode(&info)?, Guard::Claim).await.map_err(|error| format!("{error:?}"))?;
    }
    for (name, port) in names.iter().zip(1u16..) {
        let (service, address) = (ServiceName::new(name.as_str())?, format!("10.0.0.5:{port}"));
        let alone = async || {
            let found = owner.client.list(&service).await.unwrap();
            let addresses: Vec<_> =
                found.iter().map(|found| found.instance.clone().unwrap().address().to_string()).collect();
            (addresses == [address.clone()]).then_some(())
        };
        eventually(SOON, name, alone).await;
    }
    Ok(())
}
