//! 500 handles that lost the store together come back.

use std::time::{Duration, Instant};

use etcd_client::{Client, PutOptions};
use futures_util::future::join_all;
use integration_tests::{Fault, FaultProxy, eventually};
use registry_core::{Handle, HandleState, Registry};
use registry_etcd::{Options, connect};

use crate::Outcome;
use crate::bare;
use crate::ground::{Failure, Ground, info, rounds, row};

const HANDLES: usize = 500;
const TTL: Duration = Duration::from_secs(3);
/// Longer than the TTL, and long enough for every back-off to have reached its cap.
const OUTAGE: Duration = Duration::from_secs(8);
/// Within what time all handles have begun.
const READY: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long a fixed pause between two tries of the floor is: the cap of our back-off.
const PAUSE: Duration = Duration::from_secs(2);

pub(crate) fn run() -> Outcome {
    let ground = Ground::new()?;
    let (requests, handles) = ground.runtime.block_on(async {
        let (mut requests, mut handles) = (Vec::new(), Vec::new());
        for _ in 0..rounds() {
            let (ours, floor) = (ours(&ground).await?, floor(&ground).await?);
            requests.push((ours.0, floor.0));
            handles.push((ours.1, floor.1));
        }
        Ok::<_, Failure>((requests, handles))
    })?;
    let each = |count: f64| format!("{count:.0}, that is {:.1} a handle", count / HANDLES as f64);
    row(
        "requests in the fullest second when 500 handles come back from an outage past their TTL",
        &requests,
        each,
        "see below",
    );
    let share = |count: f64| format!("{count:.0}, that is {:.0} %", count * 100.0 / HANDLES as f64);
    row("handles that come back in the fullest second", &handles, share, "at most 20 % of them");
    Ok(())
}

/// The most requests, and the most handles that came back, in any one second.
async fn ours(ground: &Ground) -> Result<(f64, f64), Failure> {
    let proxy = FaultProxy::start(ground.server.address()).await?;
    let mut handles = Vec::new();
    for number in 0..HANDLES {
        let mut options = Options::new([proxy.address().to_string()]).with_ttl(TTL);
        // 500 first connections at once are not what is measured.
        options.handle.lazy = true;
        let handle = connect(options).await?;
        handle.announce(&info(number, 10))?;
        handles.push(handle);
    }
    let ready = async || handles.iter().all(|handle| handle.is_ready().is_ok()).then_some(());
    eventually(READY, "all handles are ready", ready).await;
    proxy.set(Fault::Reset);
    tokio::time::sleep(OUTAGE).await;
    proxy.heal();
    let is_back = |handle: &Handle| handle.status().borrow().state == HandleState::Connected;
    let peaks = peaks(&proxy, || handles.iter().filter(|handle| is_back(handle)).count()).await;
    join_all(handles.iter().map(|handle| handle.close())).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(peaks)
}

/// Clients that try with a fixed pause, each at its own phase, and then do what is needed: a lease, an entry, a keep-alive.
async fn floor(ground: &Ground) -> Result<(f64, f64), Failure> {
    let proxy = FaultProxy::start(ground.server.address()).await?;
    proxy.set(Fault::Reset);
    let back = std::rc::Rc::new(std::cell::Cell::new(0));
    let url = format!("http://{}", proxy.address());
    let local = tokio::task::LocalSet::new();
    for number in 0..HANDLES {
        let (url, back) = (url.clone(), back.clone());
        local.spawn_local(async move {
            tokio::time::sleep(PAUSE.mul_f64(fastrand::f64())).await;
            while come_back(&url, number).await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            back.set(back.get() + 1);
        });
    }
    local
        .run_until(async {
            tokio::time::sleep(PAUSE * 2).await;
            proxy.heal();
            Ok(peaks(&proxy, || back.get()).await)
        })
        .await
}

async fn come_back(url: &str, number: usize) -> Result<(), Failure> {
    let client = Client::connect([url], None).await?;
    let lease = client.lease_client().grant(TTL.as_secs().cast_signed(), None).await?.id();
    let info = info(number, 10);
    let options = PutOptions::new().with_lease(lease);
    client.kv_client().put(bare::key(&info), bare::value(&info), Some(options)).await?;
    client.lease_client().keep_alive(lease).await?;
    bare::revoke(&client, lease).await
}

/// Looks until all are back, and a second longer.
async fn peaks(proxy: &FaultProxy, back: impl Fn() -> usize) -> (f64, f64) {
    let mut looks = vec![(Instant::now(), proxy.counts().messages, back())];
    let mut all_since = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let look = (Instant::now(), proxy.counts().messages, back());
        looks.push(look);
        if look.2 == HANDLES && all_since.get_or_insert(look.0).elapsed() > Duration::from_secs(1) {
            break;
        }
    }
    let mut peaks = (0, 0);
    for (at, messages, back) in &looks {
        let Some(later) = looks.iter().rev().find(|later| later.0 <= *at + Duration::from_secs(1)) else { continue };
        peaks = (peaks.0.max(later.1 - messages), peaks.1.max(later.2.saturating_sub(*back)));
    }
    (peaks.0 as f64, peaks.1 as f64)
}
