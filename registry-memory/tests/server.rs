//! The life cycle of servers over this store, on a paused clock: what is done when, whatever ends the server.

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::panic::AssertUnwindSafe;
    use std::time::Duration;

    use registry_core::ErrorKind;
    use registry_core::server::{
        DEFAULT_DRAIN, DEFAULT_REQUEST_LIMIT, NotReadyToServe, Readiness, RunError, Server, ServerBasicInfo, Stop,
    };
    use registry_memory::{Access, Handle, Info, Link, MemoryStore, Options, Registry, Resolver, ServiceName, connect};
    use tokio::sync::oneshot;
    use tokio::time::{Instant, sleep, timeout};

    const TTL: Duration = Duration::from_secs(3);
    const ADDRESS: &str = "10.0.0.5:8888";

    async fn handle(store: &MemoryStore) -> Handle {
        connect(Options::new(store.clone()).with_ttl(TTL)).await.unwrap()
    }

    async fn linked(store: &MemoryStore, lazy: bool) -> (Handle, Link) {
        let link = Link::new();
        let mut options = Options::new(store.clone()).with_ttl(TTL).with_link(link.clone());
        options.handle.lazy = lazy;
        if lazy {
            link.refuse();
        }
        (connect(options).await.unwrap(), link)
    }

    /// A server at the address, which counts as accepting at once.
    fn server(registry: impl Registry + 'static) -> Server {
        Server::new()
            .with_registry(registry)
            .with_server_basic_info(ServerBasicInfo::new("demo"))
            .with_listener(&ADDRESS.parse::<std::net::SocketAddr>().unwrap())
            .ready_when(ready(()))
            .leave_signals_alone()
    }

    fn info(weight: u32) -> Info {
        Info::builder("demo").address(ADDRESS).weight(weight).build().unwrap()
    }

    async fn found(reader: &Handle, service: &str) -> Vec<u32> {
        let snapshot = reader.resolve(&ServiceName::new(service).unwrap()).await.unwrap();
        snapshot.instances().iter().map(|instance| instance.weight()).collect()
    }

    async fn serving(readiness: &Readiness) {
        let serving = timeout(Duration::from_secs(60), readiness.serving()).await;
        assert!(serving.expect("it serves within a minute"), "it stopped before it served");
    }

    /// Ends at the word, and tells when that came.
    async fn told(stop: Stop) -> Instant {
        stop.await;
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_registered_when_the_server_says_that_it_accepts_and_not_before() {
        let store = MemoryStore::new();
        let reader = handle(&store).await;
        let (accepts, accepting) = oneshot::channel::<()>();
        let server = server(handle(&store).await).ready_when(async { accepting.await.unwrap() });
        let (readiness, stopper) = (server.readiness(), server.stopper());
        let test = async {
            sleep(Duration::from_secs(5)).await;
            assert!(found(&reader, "demo").await.is_empty());
            assert!(matches!(readiness.is_ready(), Err(NotReadyToServe::Starting(_))));
            accepts.send(()).unwrap();
            serving(&readiness).await;
            assert_eq!((found(&reader, "demo").await, readiness.is_ready()), (vec![10], Ok(())));
            stopper.stop();
        };
        let (ended, ()) = tokio::join!(server.run(told), test);
        ended.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_withdrawn_at_the_word_and_stops_accepting_a_drain_later() {
        let store = MemoryStore::new();
        let (reader, registry) = (handle(&store).await, handle(&store).await);
        let server = server(registry.clone());
        let (readiness, stopper) = (server.readiness(), server.stopper());
        let test = async {
            serving(&readiness).await;
            let began = Instant::now();
            stopper.stop();
            while !found(&reader, "demo").await.is_empty() {
                tokio::task::yield_now().await;
            }
            assert!(began.elapsed() < Duration::from_millis(10), "{:?}", began.elapsed());
            assert!(matches!(readiness.is_ready(), Err(NotReadyToServe::Stopping(_))));
            began
        };
        let (told, began) = tokio::join!(server.run(told), test);
        let drained = told.unwrap() - began;
        assert!(drained >= DEFAULT_DRAIN && drained < DEFAULT_DRAIN + Duration::from_millis(10), "{drained:?}");
        assert_eq!(registry.register(&info(1)).await.unwrap_err().kind(), ErrorKind::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_fails_is_withdrawn_and_nothing_is_drained() {
        let store = MemoryStore::new();
        let reader = handle(&store).await;
        let server = server(handle(&store).await);
        let readiness = server.readiness();
        let fails = async |_: Stop| {
            serving(&readiness).await;
            Err::<(), _>("the disk is full")
        };
        let began = Instant::now();
        assert_eq!(server.run(fails).await.unwrap(), Err("the disk is full"));
        assert!(found(&reader, "demo").await.is_empty());
        assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_panics_is_withdrawn_before_the_panic_goes_on() {
        use futures_util::FutureExt as _;
        let store = MemoryStore::new();
        let reader = handle(&store).await;
        let server = server(handle(&store).await);
        let readiness = server.readiness();
        let panics = async |_: Stop| {
            serving(&readiness).await;
            panic!("index out of bounds")
        };
        let ended = AssertUnwindSafe(server.run::<_, _, ()>(panics)).catch_unwind().await;
        assert_eq!(ended.unwrap_err().downcast_ref::<&str>(), Some(&"index out of bounds"));
        assert!(found(&reader, "demo").await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_never_finish_are_dropped_at_the_limit() {
        let store = MemoryStore::new();
        let server = server(handle(&store).await);
        let (readiness, stopper) = (server.readiness(), server.stopper());
        let test = async {
            serving(&readiness).await;
            stopper.stop();
            Instant::now()
        };
        let run = async { (server.run(|_| pending::<()>()).await, Instant::now()) };
        let ((ended, at), began) = tokio::join!(run, test);
        assert!(matches!(ended, Err(RunError::Overdue(DEFAULT_REQUEST_LIMIT))), "{ended:?}");
        let took = (at - began).as_secs_f64();
        assert!((17.0..17.1).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_word_before_the_first_register_leaves_a_predecessor_alone_and_drains_nothing() {
        let store = MemoryStore::new();
        let (reader, predecessor) = (handle(&store).await, handle(&store).await);
        predecessor.register(&info(77)).await.unwrap();
        let server = server(handle(&store).await).ready_when(pending());
        server.stopper().stop();
        let began = Instant::now();
        server.run(told).await.unwrap();
        assert_eq!(found(&reader, "demo").await, [77]);
        assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_withdrawal_does_not_keep_the_server_from_stopping() {
        let store = MemoryStore::new();
        let (registry, link) = linked(&store, false).await;
        let server = server(registry);
        let (readiness, stopper) = (server.readiness(), server.stopper());
        let test = async {
            serving(&readiness).await;
            link.cut();
            stopper.stop();
            Instant::now()
        };
        let (told, began) = tokio::join!(server.run(told), test);
        let waited = told.unwrap() - began;
        // The operation timeout of 5 s, and the drain.
        assert!(waited < DEFAULT_DRAIN + Duration::from_millis(5_100), "{waited:?}");
        assert!(waited >= DEFAULT_DRAIN, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_registration_stops_the_server_at_once() {
        let store = MemoryStore::new();
        let (registry, link) = linked(&store, false).await;
        link.deny(Access::Write);
        let began = Instant::now();
        let ended = server(registry).run(told).await;
        assert!(matches!(&ended, Err(RunError::Register(error)) if error.kind() == ErrorKind::Denied), "{ended:?}");
        assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_that_is_away_keeps_nobody_from_serving_who_does_not_want_that() {
        let store = MemoryStore::new();
        let reader = handle(&store).await;
        let (registry, link) = linked(&store, true).await;
        let server = server(registry).serve_without_registry();
        let (readiness, stopper) = (server.readiness(), server.stopper());
        let test = async {
            serving(&readiness).await;
            assert!(matches!(readiness.is_ready(), Err(NotReadyToServe::Registry(_))));
            assert!(found(&reader, "demo").await.is_empty());
            link.heal();
            while found(&reader, "demo").await.is_empty() {
                sleep(Duration::from_millis(50)).await;
            }
            stopper.stop();
        };
        let (ended, ()) =
            tokio::join!(server.run(told), async { timeout(Duration::from_secs(60), test).await.expect("in time") });
        ended.unwrap();
        assert!(found(&reader, "demo").await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn several_services_on_one_listener_come_and_go_together() {
        let store = MemoryStore::new();
        let reader = handle(&store).await;
        let registry = handle(&store).await;
        let server = server(registry.clone())
            .with_another_service(ServerBasicInfo::new("admin"), Info::builder("").weight(3))
            .keep_registry_open();
        let (readiness, stopper) = (server.readiness(), server.stopper());
        let test = async {
            serving(&readiness).await;
            assert_eq!((found(&reader, "demo").await, found(&reader, "admin").await), (vec![10], vec![3]));
            stopper.stop();
        };
        let (ended, ()) = tokio::join!(server.run(told), test);
        ended.unwrap();
        assert!(found(&reader, "demo").await.is_empty() && found(&reader, "admin").await.is_empty());
        registry.register(&info(1)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_can_be_spawned() {
        let store = MemoryStore::new();
        let server = server(handle(&store).await);
        server.stopper().stop();
        tokio::spawn(server.run(told)).await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_is_refused_before_the_server_starts() {
        let refused = async |server: Server| match server.run(async |_| panic!("the server was started")).await {
            Err(RunError::Invalid(invalid)) => invalid.field(),
            other => panic!("{other:?} instead of a refusal"),
        };
        let store = MemoryStore::new();
        let registry = handle(&store).await;
        assert_eq!(refused(Server::new().leave_signals_alone()).await, "registry");
        assert_eq!(refused(Server::new().with_registry(registry.clone())).await, "service");
        let listener =
            |text: &str| server(registry.clone()).with_listener(&text.parse::<std::net::SocketAddr>().unwrap());
        assert_eq!(refused(listener("10.0.0.5:0")).await, "listener");
        assert_eq!(refused(server(registry.clone()).skip_listen_addr()).await, "address");
        let both = server(registry.clone()).with_registry_info(info(1)).skip_listen_addr().with_advertised_port(1);
        assert_eq!(refused(both).await, "skip_listen_addr");
        assert_eq!(refused(server(registry).with_registry_info(Info::builder("a/b"))).await, "service");
    }
}
