//! Handles on one store, from end to end, on a paused clock.

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::{join, join_all};
    use registry_core::{Change, ErrorKind, HandleState, RegistrationState};
    use registry_memory::{
        Access, Handle, Info, Link, MemoryStore, Options, Registry, Resolver, ServiceName, Usage, Watch, connect,
    };
    use tokio::time::{Instant, sleep, timeout};

    const TTL: Duration = Duration::from_secs(3);

    async fn handle(store: &MemoryStore) -> Handle {
        connect(Options::new(store.clone()).with_ttl(TTL)).await.unwrap()
    }

    async fn linked(store: &MemoryStore) -> (Handle, Link) {
        let link = Link::new();
        let options = Options::new(store.clone()).with_ttl(TTL).with_link(link.clone());
        (connect(options).await.unwrap(), link)
    }

    fn info(weight: u32) -> Info {
        Info::builder("demo").address("10.0.0.5:8888").weight(weight).tag("idc", "hd1").build().unwrap()
    }

    fn demo() -> ServiceName {
        ServiceName::new("demo").unwrap()
    }

    async fn weights(reader: &Handle) -> Vec<u32> {
        reader.resolve(&demo()).await.unwrap().instances().iter().map(|instance| instance.weight()).collect()
    }

    async fn next(watch: &mut Watch) -> Change {
        timeout(Duration::from_secs(60), watch.next()).await.expect("a change within a minute").unwrap()
    }

    /// Waits until the weights are these, and returns how long that took.
    async fn eventually(reader: &Handle, expected: &[u32]) -> Duration {
        let start = Instant::now();
        while weights(reader).await != expected {
            assert!(start.elapsed() < Duration::from_secs(60), "still {:?}", weights(reader).await);
            sleep(Duration::from_millis(50)).await;
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_registered_is_resolved_and_withdrawn() {
        let store = MemoryStore::new();
        let (server, client) = (handle(&store).await, handle(&store).await);
        server.register(&info(7)).await.unwrap();
        assert_eq!(weights(&client).await, [7]);
        server.deregister(&info(7)).await.unwrap();
        assert!(weights(&client).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_sees_arrival_change_and_departure() {
        let store = MemoryStore::new();
        let (server, client) = (handle(&store).await, handle(&store).await);
        let mut watch = client.watch(&demo()).unwrap();
        assert!(next(&mut watch).await.snapshot.is_empty());
        server.register(&info(1)).await.unwrap();
        assert_eq!(next(&mut watch).await.difference.added.len(), 1);
        server.register(&info(2)).await.unwrap();
        assert_eq!(next(&mut watch).await.difference.updated.len(), 1);
        server.close().await.unwrap();
        assert_eq!(next(&mut watch).await.difference.removed.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_registration_stays_for_many_ttls() {
        let store = MemoryStore::new();
        let (server, client) = (handle(&store).await, handle(&store).await);
        server.register(&info(1)).await.unwrap();
        for _ in 0..100 {
            sleep(TTL / 5).await;
            assert_eq!(weights(&client).await, [1]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crashed_owner_is_gone_after_its_ttl_and_leaves_nothing_open() {
        let store = MemoryStore::new();
        let (server, client) = (handle(&store).await, handle(&store).await);
        server.register(&info(1)).await.unwrap();
        drop(server);
        assert_eq!(weights(&client).await, [1]);
        let took = eventually(&client, &[]).await;
        assert!(took <= TTL && took >= TTL / 2, "{took:?}");
        client.close().await.unwrap();
        assert_eq!(store.usage(), Usage::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_takeover_is_an_update_to_watchers_and_the_old_owner_yields() {
        let store = MemoryStore::new();
        let (old, new, client) = (handle(&store).await, handle(&store).await, handle(&store).await);
        old.register(&info(1)).await.unwrap();
        let mut watch = client.watch(&demo()).unwrap();
        next(&mut watch).await;
        new.register(&info(2)).await.unwrap();
        let change = next(&mut watch).await;
        assert_eq!((change.difference.updated.len(), change.difference.removed.len()), (1, 0));
        let mut status = old.registration(&info(1)).unwrap();
        let yielded = status.wait_for(|status| status.state == RegistrationState::Displaced);
        timeout(Duration::from_secs(40), yielded).await.unwrap().unwrap();
        old.close().await.unwrap();
        assert_eq!(weights(&client).await, [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wiped_store_is_filled_again_and_watchers_see_no_gap() {
        let store = MemoryStore::new();
        let (server, client) = (handle(&store).await, handle(&store).await);
        server.register(&info(4)).await.unwrap();
        let mut watch = client.watch(&demo()).unwrap();
        next(&mut watch).await;
        store.wipe();
        assert!(eventually(&client, &[4]).await <= Duration::from_secs(5));
        assert!(timeout(TTL * 3, watch.next()).await.is_err(), "nothing changed for the watcher");
        assert!(watch.latest().stale().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_that_was_cut_off_comes_back() {
        let store = MemoryStore::new();
        let ((server, link), client) = (linked(&store).await, handle(&store).await);
        server.register(&info(1)).await.unwrap();
        link.cut();
        eventually(&client, &[]).await;
        sleep(TTL * 2).await;
        link.heal();
        assert!(eventually(&client, &[1]).await <= Duration::from_secs(8));
    }

    #[tokio::test(start_paused = true)]
    async fn a_withdrawal_wins_over_a_late_registration() {
        let store = MemoryStore::new();
        let ((server, link), client) = (linked(&store).await, handle(&store).await);
        link.deliver_late();
        assert_eq!(server.register(&info(1)).await.unwrap_err().kind(), ErrorKind::TimedOut);
        link.heal();
        server.deregister(&info(1)).await.unwrap();
        link.release();
        assert!(weights(&client).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_denied_registration_says_so_and_leaves_earlier_ones_alone() {
        let store = MemoryStore::new();
        let (server, link) = linked(&store).await;
        server.register(&info(1)).await.unwrap();
        link.deny(Access::Write);
        assert_eq!(server.register(&info(2)).await.unwrap_err().kind(), ErrorKind::Denied);
        assert_eq!(weights(&server).await, [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn watches_of_one_service_share_a_view_that_ends_with_the_last() {
        let store = MemoryStore::new();
        let client = handle(&store).await;
        let mut watches: Vec<Watch> = (0..10).map(|_| client.watch(&demo()).unwrap()).collect();
        next(&mut watches[0]).await;
        assert_eq!(store.usage().views, 1);
        drop(watches);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(store.usage().views, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_registrations_and_a_thousand_watches_work_on_one_store() {
        let store = MemoryStore::new();
        let (server, client) = (handle(&store).await, handle(&store).await);
        let mut watches = Vec::new();
        for number in 0..1_000 {
            watches.push(client.watch(&format!("service-{number}").try_into().unwrap()).unwrap());
        }
        for number in 0..10_000 {
            let info = Info::builder(format!("service-{}", number % 1_000)).address(format!("h:{}", 1 + number));
            server.announce(&info.build().unwrap()).unwrap();
        }
        for watch in &watches {
            watch.ready(10, Duration::from_secs(60)).await.unwrap();
        }
        assert_eq!(store.usage().entries, 10_000);
    }

    /// Real time: two runtimes cannot share a paused clock.
    #[test]
    fn an_owner_crashes_with_its_runtime_and_another_runtime_sees_it() {
        let store = MemoryStore::new();
        let options = Options::new(store).with_ttl(Duration::from_millis(200));
        let owner = runtime();
        let _server = owner.block_on(async {
            let server = connect(options.clone()).await.unwrap();
            server.register(&info(1)).await.unwrap();
            server
        });
        runtime().block_on(async {
            let client = connect(options).await.unwrap();
            let mut watch = client.watch(&demo()).unwrap();
            assert_eq!(next(&mut watch).await.snapshot.len(), 1);
            owner.shutdown_background();
            assert!(next(&mut watch).await.snapshot.is_empty());
        });
    }

    #[test]
    fn an_invalid_namespace_is_refused_by_name() {
        let options = Options::default().with_namespace("a//b");
        let refused = runtime().block_on(connect(options)).unwrap_err();
        assert_eq!(refused.invalid_field().unwrap().field(), "namespace");
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    /// A store that was away ends all sessions at one moment, a TTL after it is back, and tells each handle: who is still waiting for its next attempt then
    /// goes on waiting (L5).
    #[tokio::test(start_paused = true)]
    async fn handles_whose_sessions_expire_together_after_an_outage_do_not_return_together() {
        const HANDLES: usize = 300;
        const WINDOW: Duration = Duration::from_millis(100);
        let ttl = Duration::from_secs(1);
        let store = MemoryStore::new();
        let mut opened = Vec::new();
        for _ in 0..HANDLES {
            opened.push(connect(Options::new(store.clone()).with_ttl(ttl)).await.unwrap());
        }
        store.stop();
        sleep(Duration::from_secs(20)).await;
        store.start();
        let began = Instant::now();
        let returning = join_all(opened.iter().map(async |handle| {
            let mut status = handle.status();
            let connected = status.wait_for(|status| status.state == HandleState::Connected);
            timeout(Duration::from_secs(10), connected).await.expect("connected again").unwrap();
            began.elapsed()
        }));
        let waiting = async {
            sleep(ttl + WINDOW / 2).await;
            let statuses = opened.iter().map(|handle| handle.status().borrow().clone());
            let away = statuses.filter(|status| status.state == HandleState::Unreachable);
            away.map(|status| status.attempts).min()
        };
        let (returns, fewest) = join(returning, waiting).await;
        assert!(fewest.is_some_and(|attempts| attempts > 5), "{fewest:?} attempts in 20 s");
        let within = |from: Duration| returns.iter().filter(|at| (from..from + WINDOW).contains(at)).count();
        let crowd = returns.iter().map(|at| within(*at)).max().unwrap();
        // Pauses that are uniform up to 2 s bring back a tenth in the first 100 ms, and fewer in each later one.
        assert!(crowd <= HANDLES / 5, "{crowd} of {HANDLES} within {WINDOW:?}");
        assert!(returns.iter().any(|at| *at > ttl + WINDOW), "all were back before the sessions expired");
    }
}
