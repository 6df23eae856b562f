//! Ten servers under load are restarted one after the other (clause S4): with a drain above the time that clients take to hear of it no request
//! fails, and without one requests do.
#![allow(clippy::unwrap_used, reason = "an unwrap in a helper of tests fails the test")]

mod clients;
mod delayed;
mod servers;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use integration_tests::eventually;
    use registry_core::server::DEFAULT_DRAIN;
    use registry_memory::{MemoryStore, Options, connect};

    use crate::clients::{Clients, Load};
    use crate::delayed::Delayed;
    use crate::servers::{Kind, Running};

    const SERVERS: usize = 10;
    const SOON: Duration = Duration::from_secs(20);

    /// How a rolling restart is carried out.
    struct Roll {
        drain: Duration,
        /// How late clients hear of changes.
        delay: Duration,
        /// How often a client of the kind that asks now and then does; `None` for none.
        polls: Option<Duration>,
    }

    impl Roll {
        async fn run(&self) -> Load {
            let store = MemoryStore::new();
            let mut servers = Vec::new();
            for number in 0..SERVERS {
                servers.push(Running::start(&store, Kind::ALL[number % Kind::ALL.len()], self.drain).await);
            }
            let reader = connect(Options::new(store.clone())).await.unwrap();
            let clients = Clients::start(Delayed::new(reader, self.delay), self.polls).await;
            for server in &mut servers {
                clients.are_served(SOON).await;
                server.restart(&store).await;
            }
            // The last one's successor is found, too.
            clients.are_served(SOON).await;
            let load = clients.stop().await;
            for server in servers {
                server.stop().await;
            }
            load
        }
    }

    #[tokio::test]
    async fn with_the_default_drain_nobody_notices_not_even_who_asks_every_five_seconds() {
        let polls = Some(Duration::from_secs(5));
        let load = Roll { drain: DEFAULT_DRAIN, delay: Duration::ZERO, polls }.run().await;
        assert_eq!(load.failures, Vec::<String>::new(), "of {} requests", load.answered);
        assert!(load.answered > 1_000, "only {} requests", load.answered);
    }

    #[tokio::test]
    async fn with_a_drain_above_the_delay_of_news_no_request_fails() {
        let (drain, delay) = (Duration::from_millis(900), Duration::from_millis(300));
        let load = Roll { drain, delay, polls: None }.run().await;
        assert_eq!(load.failures, Vec::<String>::new(), "of {} requests", load.answered);
    }

    #[tokio::test]
    async fn without_a_drain_requests_fail_every_time() {
        for _ in 0..3 {
            let load = Roll { drain: Duration::ZERO, delay: Duration::from_millis(300), polls: None }.run().await;
            assert!(!load.failures.is_empty(), "none of {} requests failed", load.answered);
        }
    }

    #[tokio::test]
    async fn the_delay_delays_and_loses_nothing() {
        let store = MemoryStore::new();
        let reader = connect(Options::new(store.clone())).await.unwrap();
        let delay = Duration::from_millis(300);
        let delayed = Delayed::new(reader.clone(), delay);
        let service = Kind::Axum.service();
        let mut watch = registry_core::Resolver::watch(&delayed, &service).unwrap();
        let server = Running::start(&store, Kind::Axum, Duration::ZERO).await;
        let began = std::time::Instant::now();
        let seen = eventually(SOON, "the server is told", async || {
            let _ = watch.touched().await;
            (watch.latest().len() == 1).then(|| began.elapsed())
        });
        assert!(seen.await >= delay / 2);
        server.stop().await;
    }
}
