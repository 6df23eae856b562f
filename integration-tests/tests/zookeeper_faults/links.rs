//! A link that accepts connections and closes them at once, as a proxy without a server does.

use std::time::Duration;

use integration_tests::{Fault, FaultProxy, ZooKeeperServer};

use crate::scene::{scene, timing};
use crate::{Outcome, tests};

tests![
    all_stays_through_half_a_session_timeout_of_accept_and_close,
    all_is_back_after_two_session_timeouts_of_accept_and_close,
];

async fn all_stays_through_half_a_session_timeout_of_accept_and_close() -> Outcome {
    is_back_after_accept_and_close(timing()?.ttl() / 2).await
}

async fn all_is_back_after_two_session_timeouts_of_accept_and_close() -> Outcome {
    is_back_after_accept_and_close(timing()?.ttl() * 2).await
}

async fn is_back_after_accept_and_close(lasts: Duration) -> Outcome {
    let server = ZooKeeperServer::start().await?;
    let (owner, watcher) = (FaultProxy::start(server.address()).await?, FaultProxy::start(server.address()).await?);
    let scene = scene(&[owner.address()], &[watcher.address()]).await?;
    let before = owner.counts().accepted;
    owner.set(Fault::AcceptAndClose);
    watcher.set(Fault::AcceptAndClose);
    scene.while_resolving(tokio::time::sleep(lasts)).await;
    let attempts = owner.counts().accepted - before;
    owner.heal();
    watcher.heal();
    // Pauses that grow to 2 s are 1 s in the mean, the first ones shorter; each of its connections may be tried.
    let most = 2 * (lasts.as_secs() * 2 + 15);
    assert!((1..=most).contains(&attempts), "{attempts} connections within {lasts:?}, {most} at most");
    scene.comes_back("after the fault").await;
    scene.goes_on().await
}
