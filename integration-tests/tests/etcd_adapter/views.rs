//! Watching a service.

use std::time::Duration;

use registry_core::ServiceName;
use registry_core::store::{Guard, Store, View, ViewChange};

use crate::bench::{Bench, Outcome, place, tests};

tests![
    the_first_change_is_the_full_list,
    changes_come_in_their_order,
    several_changes_of_one_transaction_are_all_told,
    a_probe_is_answered,
    changes_of_other_services_are_not_told,
    a_dropped_wait_loses_nothing,
];

async fn view_of(bench: &Bench) -> Box<dyn View> {
    let mut view = bench.client().view(&service(), 0).await.unwrap();
    assert!(matches!(view.next().await, Ok(ViewChange::Full(_))));
    view
}

fn service() -> ServiceName {
    ServiceName::new("demo").unwrap()
}

/// The next change that is more than a sign of life.
async fn next(view: &mut Box<dyn View>) -> String {
    loop {
        let change = tokio::time::timeout(Duration::from_secs(5), view.next()).await.unwrap().unwrap();
        match change {
            ViewChange::Upsert(found) => return format!("+{}", found.key),
            ViewChange::Remove(key) => return format!("-{key}"),
            ViewChange::Alive => {}
            other => return format!("{other:?}"),
        }
    }
}

async fn the_first_change_is_the_full_list(bench: Bench) -> Outcome {
    let owner = bench.owner().await;
    assert!(owner.put(1, Guard::Claim).await.is_ok());
    let mut view = bench.client().view(&service(), 0).await?;
    match view.next().await? {
        ViewChange::Full(found) => assert_eq!(found[0].key.as_str(), bench.key(&place(1))),
        other => panic!("{other:?}"),
    }
    Ok(())
}

async fn changes_come_in_their_order(bench: Bench) -> Outcome {
    let mut view = view_of(&bench).await;
    let owner = bench.owner().await;
    assert!(owner.put(1, Guard::Claim).await.is_ok());
    let _ = owner.session.remove(&[owner.record(1)], &owner.lineage).await;
    assert!(owner.put(2, Guard::Claim).await.is_ok());
    let told = [next(&mut view).await, next(&mut view).await, next(&mut view).await];
    let (one, two) = (bench.key(&place(1)), bench.key(&place(2)));
    assert_eq!(told, [format!("+{one}"), format!("-{one}"), format!("+{two}")]);
    Ok(())
}

async fn several_changes_of_one_transaction_are_all_told(bench: Bench) -> Outcome {
    let mut view = view_of(&bench).await;
    let owner = bench.owner().await;
    let entries: Vec<_> = (0..60).map(|number| (number, Guard::Claim)).collect();
    assert!(owner.put_all(&entries).await.iter().all(Result::is_ok));
    for _ in 0..60 {
        assert!(next(&mut view).await.starts_with('+'));
    }
    owner.session.end().await?;
    for _ in 0..60 {
        assert!(next(&mut view).await.starts_with('-'));
    }
    Ok(())
}

async fn a_probe_is_answered(bench: Bench) -> Outcome {
    let mut view = view_of(&bench).await;
    for _ in 0..3 {
        view.probe().await?;
        let answer = tokio::time::timeout(Duration::from_secs(1), view.next()).await?;
        assert!(matches!(answer, Ok(ViewChange::Alive)));
    }
    Ok(())
}

async fn changes_of_other_services_are_not_told(bench: Bench) -> Outcome {
    let mut view = view_of(&bench).await;
    for service in ["dem", "demo2", "Demo"] {
        bench.raw_put(&format!("{service}/10.0.0.1:80"), "x", 0).await;
    }
    bench.raw_put("demo/last", "x", 0).await;
    assert_eq!(next(&mut view).await, format!("+{}", bench.key("demo/last")));
    bench.raw_delete("demo/last").await;
    assert_eq!(next(&mut view).await, format!("-{}", bench.key("demo/last")));
    Ok(())
}

async fn a_dropped_wait_loses_nothing(bench: Bench) -> Outcome {
    let mut view = view_of(&bench).await;
    let owner = bench.owner().await;
    for number in 0..20 {
        let _ = tokio::time::timeout(Duration::from_millis(1), view.next()).await;
        assert!(owner.put(number, Guard::Claim).await.is_ok());
        assert_eq!(next(&mut view).await, format!("+{}", bench.key(&place(number))));
    }
    Ok(())
}
