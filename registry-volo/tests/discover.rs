//! Volo's view of a registry in this process.

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use async_broadcast::Receiver;
    use faststr::FastStr;
    use registry_memory::{Handle, Info, Link, MemoryStore, Options, Registry, connect};
    use registry_volo::{FIRST_ANSWER, RegistryDiscover};
    use tokio::time::timeout;
    use volo::context::Endpoint;
    use volo::discovery::{Change, Discover, Instance};
    use volo::loadbalance::LoadBalance;
    use volo::loadbalance::error::LoadBalanceError;
    use volo::loadbalance::random::WeightedRandomBalance;

    const LIMIT: Duration = Duration::from_secs(60);

    async fn handle(store: &MemoryStore) -> Handle {
        connect(Options::new(store.clone())).await.unwrap()
    }

    fn info(port: u16, weight: u32) -> Info {
        let address = format!("10.0.0.5:{port}");
        Info::builder("demo").address(address.as_str()).weight(weight).tag("idc", "hd1").build().unwrap()
    }

    fn demo() -> Endpoint {
        Endpoint::new("demo".into())
    }

    fn weights<'a>(instances: impl IntoIterator<Item = &'a Arc<Instance>>) -> BTreeMap<String, u32> {
        instances.into_iter().map(|instance| (instance.address.to_string(), instance.weight)).collect()
    }

    fn pairs(expected: &[(&str, u32)]) -> BTreeMap<String, u32> {
        expected.iter().map(|(address, weight)| ((*address).to_owned(), *weight)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn weights_and_tags_are_carried() {
        let store = MemoryStore::new();
        let server = handle(&store).await;
        server.register(&info(1, 7)).await.unwrap();
        let discover = RegistryDiscover::new(handle(&store).await);
        let found = discover.discover(&demo()).await.unwrap();
        assert_eq!(weights(&found), pairs(&[("10.0.0.5:1", 7)]));
        assert_eq!(found[0].tags.get("idc").map(|value| &**value), Some("hd1"));
        assert_eq!(discover.key(&demo()), "demo");
    }

    #[tokio::test(start_paused = true)]
    async fn added_updated_and_removed_are_filled() {
        let store = MemoryStore::new();
        let server = handle(&store).await;
        let discover = RegistryDiscover::new(handle(&store).await);
        let mut changes = discover.watch(None).unwrap();
        server.register(&info(1, 7)).await.unwrap();
        discover.discover(&demo()).await.unwrap();
        let mut next = async || timeout(LIMIT, changes.recv()).await.unwrap().unwrap();
        assert_eq!(weights(&next().await.added), pairs(&[("10.0.0.5:1", 7)]));
        server.register(&info(1, 9)).await.unwrap();
        let change = next().await;
        assert_eq!((weights(&change.updated), change.added.len()), (pairs(&[("10.0.0.5:1", 9)]), 0));
        server.deregister(&info(1, 9)).await.unwrap();
        let change = next().await;
        assert_eq!((weights(&change.removed), change.all.len()), (pairs(&[("10.0.0.5:1", 9)]), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_that_falls_behind_loses_nothing() {
        let store = MemoryStore::new();
        let server = handle(&store).await;
        let discover = RegistryDiscover::new(handle(&store).await);
        let mut changes = discover.watch(None).unwrap();
        discover.discover(&demo()).await.unwrap();
        // Far more changes than the channel holds, and none is taken meanwhile.
        for round in 1..=100 {
            server.register(&info(round, 1)).await.unwrap();
            if round > 1 {
                server.register(&info(round - 1, 2)).await.unwrap();
            }
            if round > 2 {
                server.deregister(&info(round - 2, 2)).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let expected = pairs(&[("10.0.0.5:99", 2), ("10.0.0.5:100", 1)]);
        let mut folded = BTreeMap::new();
        let mut taken = 0;
        while folded != expected {
            let change: Change<_> = timeout(LIMIT, changes.recv()).await.unwrap().unwrap();
            for gone in weights(&change.removed).keys() {
                assert!(folded.remove(gone).is_some(), "{gone} is removed and was never there");
            }
            folded.extend(weights(change.added.iter().chain(&change.updated)));
            assert_eq!(folded, weights(&change.all), "the differences add up to the list");
            taken += 1;
        }
        assert!(taken < 50, "{taken} changes were queued");
    }

    /// Volo's balancers note what `discover` answered some time after it did, and drop every change that comes before that.
    #[tokio::test(start_paused = true)]
    async fn a_change_that_comes_before_a_balancer_knows_the_service_is_not_lost() {
        let store = MemoryStore::new();
        let server = handle(&store).await;
        server.register(&info(1, 1)).await.unwrap();
        let discover = SlowDiscover(RegistryDiscover::new(handle(&store).await));
        let balancer = Arc::new(WeightedRandomBalance::new());
        let mut changes = discover.0.watch(None).unwrap();
        let balanced = balancer.clone();
        let rebalancing = tokio::spawn(async move {
            while let Ok(change) = changes.recv().await {
                LoadBalance::<SlowDiscover>::rebalance(&*balanced, change);
            }
        });
        let second = async {
            tokio::time::sleep(SLOW / 2).await;
            server.register(&info(2, 1)).await.unwrap();
        };
        let endpoint = demo();
        let (first, ()) = tokio::join!(balancer.get_picker(&endpoint, &discover), second);
        assert_eq!(first.unwrap().count(), 1);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(balancer.get_picker(&endpoint, &discover).await.unwrap().count(), 2);
        rebalancing.abort();
    }

    const SLOW: Duration = Duration::from_millis(500);

    /// A thread that is held up after `discover` has answered.
    struct SlowDiscover(RegistryDiscover);

    impl Discover for SlowDiscover {
        type Key = FastStr;
        type Error = LoadBalanceError;

        async fn discover<'s>(&'s self, endpoint: &'s Endpoint) -> Result<Vec<Arc<Instance>>, LoadBalanceError> {
            let found = self.0.discover(endpoint).await;
            tokio::time::sleep(SLOW).await;
            found
        }

        fn key(&self, endpoint: &Endpoint) -> FastStr {
            self.0.key(endpoint)
        }

        fn watch(&self, keys: Option<&[FastStr]>) -> Option<Receiver<Change<FastStr>>> {
            self.0.watch(keys)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_is_an_error_and_no_empty_list() {
        let store = MemoryStore::new();
        let link = Link::new();
        link.cut();
        let mut options = Options::new(store).with_link(link);
        options.handle.lazy = true;
        let discover = RegistryDiscover::new(connect(options).await.unwrap());
        let began = tokio::time::Instant::now();
        assert!(discover.discover(&demo()).await.is_err());
        assert!(began.elapsed() < FIRST_ANSWER + Duration::from_millis(100), "{:?}", began.elapsed());
    }
}
