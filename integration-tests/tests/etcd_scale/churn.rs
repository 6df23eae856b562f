//! Two handles register and deregister the same identities at once.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::poll;
use integration_tests::eventually;
use registry_core::{Error, Handle, Info, RegistrationState, Registry};
use registry_etcd::connect;

use crate::bench::{Bench, Entry, info};
use crate::{Outcome, tests};

tests![concurrent_calls_of_two_handles_end_as_their_last_calls_say];

const ROUNDS: usize = 6;
/// Calls in each round, and identities that they are about.
const CALLS: usize = 1_000;
const IDENTITIES: usize = 100;
/// So that who was displaced looks soon whether the other one has left.
const AUDIT: Duration = Duration::from_millis(300);
/// An audit with its jitter, the pause before restoring (L4), and one attempt.
const SETTLES: Duration = Duration::from_secs(5);

/// What each handle called last for an identity: the weight that it registered, or `None` after a `deregister`.
type Last = BTreeMap<String, [Option<u32>; 2]>;

type Call<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;

fn concurrent_calls_of_two_handles_end_as_their_last_calls_say(bench: &Bench) -> Outcome {
    let mut options = bench.options();
    options.handle.audit_interval = AUDIT;
    bench.runtime.block_on(async {
        let handles = [connect(options.clone()).await?, connect(options).await?];
        let leases = [own_lease(bench, &handles[0], 0).await?, own_lease(bench, &handles[1], 1).await?];
        let mut last = Last::new();
        for round in 0..ROUNDS {
            let calls = choose(bench.scaled(CALLS), round, &mut last);
            let calls = calls.iter().map(|(owner, info, register)| -> Call<'_> {
                let handle = &handles[*owner];
                if *register { Box::pin(handle.register(info)) } else { Box::pin(handle.deregister(info)) }
            });
            // Calls of one handle for one identity take effect in the order of their first poll (R3).
            let mut pending = Vec::new();
            for mut call in calls {
                match poll!(&mut call) {
                    std::task::Poll::Ready(result) => result?,
                    std::task::Poll::Pending => pending.push(call),
                }
            }
            join_all(pending).await.into_iter().collect::<Result<Vec<()>, _>>()?;
            let ends = async || {
                let stands = bench.stored("churn").await.ok()?;
                let agrees = wrong(&stands, &last, leases).is_empty() && told(&handles, &stands, &last, leases);
                agrees.then_some(())
            };
            let settled = tokio::time::timeout(SETTLES * 2, eventually(SETTLES * 3, "it settles", ends)).await;
            let stands = bench.stored("churn").await?;
            assert!(settled.is_ok(), "round {round}: {:?}", wrong(&stands, &last, leases));
        }
        for handle in &handles {
            handle.close().await?;
        }
        assert!(bench.stored("churn").await?.is_empty());
        Ok(())
    })
}

/// Calls at random, each an owner, an instance, and whether it is registered; and what is last called.
fn choose(count: usize, round: usize, last: &mut Last) -> Vec<(usize, Info, bool)> {
    let mut random = fastrand::Rng::with_seed(7 + round as u64);
    let mut calls = Vec::new();
    for number in 0..count {
        let (owner, identity, register) = (random.usize(..2), random.usize(..IDENTITIES), random.bool());
        let weight = u32::try_from(number + 1).expect("invariant: there are fewer calls");
        let info = info("churn", identity, weight, 0);
        last.entry(info.address().to_string()).or_default()[owner] = register.then_some(weight);
        calls.push((owner, info, register));
    }
    calls
}

/// The lease that a handle writes with.
async fn own_lease(bench: &Bench, handle: &Handle, number: usize) -> Result<i64, Box<dyn std::error::Error>> {
    let probe = info("probe", number, 1, 0);
    handle.register(&probe).await?;
    let lease = bench.stored("probe").await?[probe.address().as_str()].lease;
    handle.deregister(&probe).await?;
    Ok(lease)
}

/// An identity that stands otherwise than was wanted: what stands, and what each handle wants.
type Wrong<'a> = (&'a str, Option<&'a Entry>, [Option<u32>; 2]);

/// The identities that stand otherwise than the last calls say: that of the one owner that wants it, that of either where both do, and nothing where none does.
fn wrong<'a>(stands: &'a BTreeMap<String, Entry>, last: &'a Last, leases: [i64; 2]) -> Vec<Wrong<'a>> {
    let mut found = Vec::new();
    for (address, wanted) in last {
        let entry = stands.get(address);
        let right = match entry {
            None => *wanted == [None, None],
            Some(entry) => (0..2).any(|owner| entry.lease == leases[owner] && wanted[owner] == Some(entry.weight)),
        };
        if !right {
            found.push((address.as_str(), entry, *wanted));
        }
    }
    let stray = stands.iter().filter(|(address, _)| !last.contains_key(*address));
    found.extend(stray.map(|(address, entry)| (address.as_str(), Some(entry), [None, None])));
    found
}

/// Whether the handles' statuses say what stands.
fn told(handles: &[Handle; 2], stands: &BTreeMap<String, Entry>, last: &Last, leases: [i64; 2]) -> bool {
    (0..2).all(|owner| {
        let statuses = handles[owner].registrations();
        let wanted = last.values().filter(|wanted| wanted[owner].is_some()).count();
        let is_told = |status: &registry_core::RegistrationStatus| {
            let ours = stands.get(status.address.as_str()).is_some_and(|entry| entry.lease == leases[owner]);
            status.state == if ours { RegistrationState::Registered } else { RegistrationState::Displaced }
        };
        statuses.len() == wanted && statuses.iter().all(is_told)
    })
}
