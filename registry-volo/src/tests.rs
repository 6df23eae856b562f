//! Host names that are not always found, in paused time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use registry_memory::{Handle, Info, MemoryStore, Options, Registry, connect};
use volo::context::Endpoint;
use volo::discovery::{Change, Discover, Instance};

use super::RegistryDiscover;
use super::convert::Lookup;
use super::follow::{LOOK_UP_AGAIN, REPEAT};

const LIMIT: Duration = Duration::from_secs(60);

/// A name server that can be away.
#[derive(Default)]
struct Names {
    away: AtomicBool,
    lookups: AtomicU32,
}

impl Names {
    fn lookup(self: &Arc<Self>) -> Lookup {
        let names = self.clone();
        Arc::new(move |host| {
            let names = names.clone();
            Box::pin(async move {
                names.lookups.fetch_add(1, Ordering::Relaxed);
                assert_eq!(host, "greeter.internal:80");
                if names.away.load(Ordering::Relaxed) {
                    Err(io::ErrorKind::TimedOut.into())
                } else {
                    Ok(([10, 0, 0, 9], 80).into())
                }
            })
        })
    }
}

struct Scene {
    server: Handle,
    names: Arc<Names>,
    discover: RegistryDiscover,
    changes: async_broadcast::Receiver<Change<faststr::FastStr>>,
}

impl Scene {
    async fn new() -> Self {
        let store = MemoryStore::new();
        let handle = async || connect(Options::new(store.clone())).await.unwrap();
        let names = Arc::<Names>::default();
        let discover = RegistryDiscover::with_lookup(handle().await, names.lookup());
        let changes = discover.watch(None).unwrap();
        Self { server: handle().await, names, discover, changes }
    }

    async fn register(&self, host: &str, weight: u32) {
        let info = Info::builder("demo").address(host).weight(weight).build().unwrap();
        self.server.register(&info).await.unwrap();
    }

    async fn discover(&self) -> Vec<String> {
        let found = self.discover.discover(&Endpoint::new("demo".into())).await.unwrap();
        listed(&found)
    }

    async fn next(&mut self) -> Change<faststr::FastStr> {
        tokio::time::timeout(LIMIT, self.changes.recv()).await.unwrap().unwrap()
    }
}

fn listed(instances: &[Arc<Instance>]) -> Vec<String> {
    instances.iter().map(|instance| format!("{} {}", instance.address, instance.weight)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_host_name_that_is_not_found_is_looked_up_again() {
    let mut scene = Scene::new().await;
    scene.names.away.store(true, Ordering::Relaxed);
    scene.register("10.0.0.1:80", 1).await;
    scene.register("greeter.internal:80", 2).await;
    assert_eq!(scene.discover().await, ["10.0.0.1:80 1"]);
    assert_eq!(listed(&scene.next().await.added), ["10.0.0.1:80 1"]);
    // The list is told once more after `discover`, and then nothing is told while nothing is found.
    assert_eq!(listed(&scene.next().await.all), ["10.0.0.1:80 1"]);
    tokio::time::sleep(LOOK_UP_AGAIN * 10).await;
    assert!(scene.changes.is_empty());
    let lookups = scene.names.lookups.load(Ordering::Relaxed);
    assert!((9..=13).contains(&lookups), "{lookups} lookups in ten times the pause between them");
    scene.names.away.store(false, Ordering::Relaxed);
    let change = scene.next().await;
    assert_eq!(listed(&change.added), ["10.0.0.9:80 2"]);
    assert_eq!((change.all.len(), change.updated.len(), change.removed.len()), (2, 0, 0));
    tokio::time::sleep(LOOK_UP_AGAIN * 10).await;
    assert_eq!(scene.names.lookups.load(Ordering::Relaxed), lookups + 1);
}

#[tokio::test(start_paused = true)]
async fn a_host_name_that_was_found_keeps_its_address_while_it_is_not() {
    let mut scene = Scene::new().await;
    scene.register("greeter.internal:80", 2).await;
    assert_eq!(scene.discover().await, ["10.0.0.9:80 2"]);
    assert_eq!(scene.next().await.added.len(), 1);
    assert_eq!(scene.next().await.all.len(), 1);
    scene.names.away.store(true, Ordering::Relaxed);
    scene.register("greeter.internal:80", 7).await;
    let change = scene.next().await;
    assert_eq!((listed(&change.updated), change.added.len()), (vec!["10.0.0.9:80 7".to_owned()], 0));
    // It is found as it was: nothing to tell.
    scene.names.away.store(false, Ordering::Relaxed);
    tokio::time::sleep(LOOK_UP_AGAIN * 2 + REPEAT).await;
    assert!(scene.changes.is_empty());
}
