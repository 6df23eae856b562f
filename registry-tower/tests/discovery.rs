//! The discover stream over a registry in this process.

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures_util::{FutureExt as _, StreamExt as _};
    use registry_memory::{Handle, Info, Instance, MemoryStore, Options, Registry, Resolver, ServiceName, connect};
    use registry_tower::Discovery;
    use tower::discover::Change;

    async fn handle(store: &MemoryStore) -> Handle {
        connect(Options::new(store.clone())).await.unwrap()
    }

    fn info(port: u16, weight: u32) -> Info {
        Info::builder("demo").address(format!("10.0.0.5:{port}").as_str()).weight(weight).build().unwrap()
    }

    fn weight(instance: &std::sync::Arc<Instance>) -> u32 {
        instance.weight()
    }

    type Stream = Discovery<fn(&std::sync::Arc<Instance>) -> u32>;

    async fn discovery(reader: &Handle) -> Stream {
        let watch = reader.watch(&ServiceName::new("demo").unwrap()).unwrap();
        watch.ready(0, std::time::Duration::from_secs(60)).await.unwrap();
        Discovery::new(watch, weight as fn(&std::sync::Arc<Instance>) -> u32)
    }

    /// Everything that is there to see now: a key and a service's weight, or no weight for one that left.
    fn now(stream: &mut Stream) -> Vec<(String, Option<u32>)> {
        let mut seen = Vec::new();
        while let Some(Some(Ok(change))) = Pin::new(&mut *stream).next().now_or_never() {
            seen.push(match change {
                Change::Insert(key, weight) => (key.to_string(), Some(weight)),
                Change::Remove(key) => (key.to_string(), None),
            });
        }
        seen
    }

    /// Lets the watch hear of what was written.
    async fn settle(reader: &Handle, wanted: usize) {
        let watch = reader.watch(&ServiceName::new("demo").unwrap()).unwrap();
        let settled = async {
            while watch.latest().len() != wanted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), settled).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn newcomers_updates_and_leavers_are_told() {
        let store = MemoryStore::new();
        let (server, reader) = (handle(&store).await, handle(&store).await);
        server.register(&info(1, 7)).await.unwrap();
        let mut stream = discovery(&reader).await;
        assert_eq!(now(&mut stream), [("10.0.0.5:1".to_owned(), Some(7))]);
        server.register(&info(1, 9)).await.unwrap();
        server.register(&info(2, 1)).await.unwrap();
        settle(&reader, 2).await;
        assert_eq!(now(&mut stream), [("10.0.0.5:2".to_owned(), Some(1)), ("10.0.0.5:1".to_owned(), Some(9))]);
        server.deregister(&info(1, 9)).await.unwrap();
        settle(&reader, 1).await;
        assert_eq!(now(&mut stream), [("10.0.0.5:1".to_owned(), None)]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_idle_sees_one_difference_and_no_backlog() {
        let store = MemoryStore::new();
        let (server, reader) = (handle(&store).await, handle(&store).await);
        server.register(&info(1, 1)).await.unwrap();
        let mut stream = discovery(&reader).await;
        assert_eq!(now(&mut stream).len(), 1);
        for round in 2..100 {
            server.register(&info(2, round)).await.unwrap();
            server.register(&info(3, round)).await.unwrap();
            server.deregister(&info(3, round)).await.unwrap();
        }
        server.deregister(&info(1, 1)).await.unwrap();
        settle(&reader, 1).await;
        assert_eq!(now(&mut stream), [("10.0.0.5:2".to_owned(), Some(99)), ("10.0.0.5:1".to_owned(), None)]);
    }
}
