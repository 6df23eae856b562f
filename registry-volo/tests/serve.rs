//! volo-http servers that are told to stop.
#![cfg(feature = "http")]

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use registry_core::server::{Server, ServerBasicInfo, Stopper};
    use registry_memory::{MemoryStore, Options, connect};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Semaphore;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;
    use volo_http::server::route::{Router, get};

    const LIMIT: Duration = Duration::from_secs(20);

    struct Running {
        address: SocketAddr,
        stopper: Stopper,
        task: JoinHandle<()>,
        /// Requests under way, each of which waits for a permit of `answers`.
        asked: Arc<Semaphore>,
        answers: Arc<Semaphore>,
    }

    /// A registered server that has no drain, and whose requests are answered when the test says so.
    async fn start() -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, answers) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (tell, wait) = (asked.clone(), answers.clone());
        let app: Router = Router::new().route(
            "/",
            get(async move || {
                tell.add_permits(1);
                wait.acquire().await.unwrap().forget();
                "the answer"
            }),
        );
        let server = Server::new()
            .with_registry(connect(Options::new(MemoryStore::new())).await.unwrap())
            .with_server_basic_info(ServerBasicInfo::new("volo"))
            .with_listener(&listener)
            .with_drain(Duration::ZERO)
            .leave_signals_alone();
        let (stopper, readiness) = (server.stopper(), server.readiness());
        let task = tokio::spawn(async move {
            server.run(|stop| registry_volo::serve(app, listener, stop)).await.unwrap().unwrap();
        });
        assert!(timeout(LIMIT, readiness.serving()).await.unwrap());
        Running { address, stopper, task, asked, answers }
    }

    async fn ask(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: volo\r\n\r\n").await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_request_that_is_under_way_is_answered_and_nothing_more_is_accepted() {
        let running = start().await;
        let mut stream = ask(running.address).await;
        running.asked.acquire().await.unwrap().forget();
        running.stopper.stop();
        let refused = async {
            while TcpStream::connect(running.address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, refused).await.expect("the port is closed");
        assert!(!running.task.is_finished(), "it waits for its request");
        running.answers.add_permits(1);
        let mut answer = String::new();
        timeout(LIMIT, stream.read_to_string(&mut answer)).await.expect("it is answered, and closed").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with("the answer"), "{answer}");
        timeout(LIMIT, running.task).await.expect("it has ended").unwrap();
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_keep_it_from_ending() {
        let running = start().await;
        running.answers.add_permits(1);
        let mut stream = ask(running.address).await;
        let mut first = [0; 12];
        timeout(LIMIT, stream.read_exact(&mut first)).await.unwrap().unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        running.stopper.stop();
        timeout(LIMIT, running.task).await.expect("it has ended").unwrap();
    }

    #[tokio::test]
    async fn dropping_it_ends_its_connections() {
        let running = start().await;
        let mut stream = ask(running.address).await;
        running.asked.acquire().await.unwrap().forget();
        running.task.abort();
        let mut answer = Vec::new();
        // An error is an end, too.
        let _ = timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("the connection ends");
        assert!(answer.is_empty(), "{answer:?}");
    }
}
