//! How many can share one store.

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use registry_core::store::{Store, ViewChange};
    use registry_core::{Info, ServiceName};
    use registry_memory::{MemoryStore, Options};

    #[tokio::test(start_paused = true)]
    async fn a_thousand_clients_follow_one_busy_service() {
        let store = MemoryStore::new();
        let service = ServiceName::new("demo").unwrap();
        let mut followers = Vec::new();
        for _ in 0..1_000 {
            let mut view = Options::new(store.clone()).client().unwrap().view(&service, 0).await.unwrap();
            assert!(matches!(view.next().await.unwrap(), ViewChange::Full(_)));
            followers.push(tokio::spawn(async move {
                let mut changes = 0;
                while changes < 1_000 {
                    changes += usize::from(matches!(view.next().await.unwrap(), ViewChange::Upsert(_)));
                }
            }));
        }
        let info = Info::builder("demo").address("h:1").build().unwrap();
        let record = Options::default().client().unwrap().encode(&info).unwrap();
        for _ in 0..1_000 {
            store.raw_put(record.key().as_str(), record.value());
        }
        for follower in followers {
            tokio::time::timeout(Duration::from_secs(1), follower).await.unwrap().unwrap();
        }
    }
}
