//! The gRPC channel, with real servers: each tells who it is by the health that it reports.
#![cfg(feature = "tonic")]

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::{Duration, Instant};

    use registry_memory::{Handle, Info, MemoryStore, Options, Registry, Resolver, ServiceName, connect};
    use registry_tower::Channel;
    use tonic::Code;
    use tonic::transport::server::TcpIncoming;
    use tonic_health::ServingStatus;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    const LIMIT: Duration = Duration::from_secs(20);

    async fn handle(store: &MemoryStore) -> Handle {
        connect(Options::new(store.clone())).await.unwrap()
    }

    async fn server(status: ServingStatus) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status("", status).await;
        let serving = tonic::transport::Server::builder().add_service(health);
        tokio::spawn(serving.serve_with_incoming(TcpIncoming::from(listener)));
        address
    }

    fn info(address: SocketAddr, weight: u32) -> Info {
        Info::builder("demo").address(address).weight(weight).build().unwrap()
    }

    fn channel(reader: &Handle) -> Channel {
        Channel::new(reader.watch(&ServiceName::new("demo").unwrap()).unwrap())
    }

    /// How many of the calls were answered by the server that says `SERVING`.
    async fn serving(client: &mut HealthClient<Channel>, calls: u32) -> u32 {
        let mut serving = 0;
        for _ in 0..calls {
            let answer = client.check(HealthCheckRequest::default()).await.unwrap().into_inner();
            serving += u32::from(answer.status == ServingStatus::Serving as i32);
        }
        serving
    }

    async fn until(what: &str, mut reached: impl FnMut() -> bool) {
        let began = Instant::now();
        while !reached() {
            assert!(began.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn requests_follow_the_weights_and_the_registry_also_while_none_runs() {
        let store = MemoryStore::new();
        let (registry, reader) = (handle(&store).await, handle(&store).await);
        let (heavy, light) = (server(ServingStatus::Serving).await, server(ServingStatus::NotServing).await);
        registry.register(&info(heavy, 30)).await.unwrap();
        registry.register(&info(light, 10)).await.unwrap();
        let channel = channel(&reader);
        let mut client = HealthClient::new(channel.clone());
        let answered = serving(&mut client, 400).await;
        // 300 are expected; six standard deviations are 52.
        assert!((248..=352).contains(&answered), "{answered} of 400 by the one with three quarters of the weight");
        registry.deregister(&info(heavy, 30)).await.unwrap();
        until("the channel knows one address", || channel.addresses().len() == 1).await;
        assert_eq!(serving(&mut client, 20).await, 0);
    }

    #[tokio::test]
    async fn without_an_instance_a_request_is_unavailable() {
        let store = MemoryStore::new();
        let reader = handle(&store).await;
        let mut client = HealthClient::new(channel(&reader));
        let refused = client.check(HealthCheckRequest::default()).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "no instance of demo is registered"));
    }
}
