//! What is left of a handle that is still held.

use std::time::Duration;

use registry_core::Registry;

use crate::profiles::Profile;
use crate::runtime;
use crate::sim::{Sim, info};
use crate::world::Availability;

/// Tasks besides the store's own, and sessions and views, a second after `end`.
fn left_after(profile: Profile, end: impl AsyncFnOnce(&mut Sim)) -> (usize, usize) {
    runtime::run("a test of leaks", async {
        let mut sim = Sim::new(profile, 1, None);
        sim.open().await;
        let watch =
            sim.members[0].handle.as_ref().map(|handle| registry_core::Resolver::watch(handle, &crate::sim::service()));
        sim.register(0, &info(1, 10)).await;
        end(&mut sim).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks() - 1;
        drop(watch);
        (tasks, sim.members[0].client.live())
    })
}

#[test]
fn a_closed_handle_leaves_nothing_though_it_and_its_watch_are_held() {
    for profile in Profile::ALL {
        let close = async |sim: &mut Sim| sim.members[0].handle.clone().unwrap().close().await.unwrap();
        assert_eq!(left_after(profile, close), (0, 0), "{profile:?}");
    }
}

#[test]
fn a_handle_that_is_dropped_while_the_store_is_frozen_leaves_nothing_though_its_watch_is_held() {
    for profile in Profile::ALL {
        let crash = async |sim: &mut Sim| {
            sim.world.set_availability(Availability::Frozen);
            sim.pause(4_000).await;
            sim.members[0].handle = None;
        };
        assert_eq!(left_after(profile, crash), (0, 0), "{profile:?}");
    }
}

#[test]
fn a_close_that_fails_leaves_nothing_either() {
    for profile in Profile::ALL {
        let close = async |sim: &mut Sim| {
            sim.world.set_availability(Availability::Frozen);
            assert!(sim.members[0].handle.clone().unwrap().close().await.is_err());
        };
        assert_eq!(left_after(profile, close), (0, 0), "{profile:?}");
    }
}
