//! The server, the handles with their links, and what they want.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use etcd_client::{Client as Door, DeleteOptions, GetOptions, ResponseHeader};
use integration_tests::{Direction, EtcdServer, Fault as LinkFault, FaultProxy};
use registry_conformance::Timing;
use registry_core::store::Store as _;
use registry_core::{Handle, HandleOptions, Info, Registry as _, Resolver as _, ServiceName, Watch};
use registry_etcd::{Client, Options};

use crate::holders::{Called, Holders};
use crate::plan::{Call, Fault, HANDLES, OWNERS, Plan, What, info, own_port};

/// Of all keys.
pub(crate) const PREFIX: &str = "rounds";

/// What an owner wants, by address.
pub(crate) type Wanted = BTreeMap<String, Info>;

pub(crate) struct Stage {
    pub(crate) server: EtcdServer,
    pub(crate) timing: Timing,
    /// The adapter's own keys and values, and its list, past all proxies.
    pub(crate) observer: Client,
    door: Door,
    /// How many tasks lived when all was set up.
    pub(crate) tasks: usize,
    pub(crate) proxies: Vec<FaultProxy>,
    pub(crate) handles: Vec<Handle>,
    pub(crate) watches: Vec<Watch>,
    pub(crate) wanted: [Wanted; OWNERS],
    /// Who holds each address that both want.
    pub(crate) holders: Holders,
    /// The calls of this round.
    calls: RefCell<Vec<Called>>,
    /// What was done since the first round, with the times.
    pub(crate) log: RefCell<Vec<String>>,
    began: Instant,
}

/// An entry of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) value: Vec<u8>,
    pub(crate) lease: i64,
}

pub(crate) fn service() -> ServiceName {
    ServiceName::new("demo").expect("invariant: a valid name")
}

/// Quicker than the defaults, so that rounds are short.
fn options(address: String, timing: &Timing) -> Options {
    let mut timings = HandleOptions::with_ttl(timing.ttl());
    timings.operation_timeout = timing.allow(Duration::from_secs(2));
    timings.attempt_timeout = timing.allow(Duration::from_secs(1));
    timings.backoff_cap = Duration::from_millis(500);
    timings.audit_interval = Duration::from_secs(1);
    Options::new([address]).with_prefix(PREFIX).with_handle(timings)
}

impl Stage {
    pub(crate) async fn open() -> Result<Self, Box<dyn std::error::Error>> {
        let (server, timing) = (EtcdServer::start().await?, Timing::from_environment(Duration::from_secs(2))?);
        let door = Door::connect([server.url()], None).await?;
        let observer = options(server.address().to_string(), &timing).client()?;
        let (mut proxies, mut handles) = (Vec::new(), Vec::new());
        for _ in 0..HANDLES {
            let proxy = FaultProxy::start(server.address()).await?;
            handles.push(registry_etcd::connect(options(proxy.address().to_string(), &timing)).await?);
            proxies.push(proxy);
        }
        let watches = handles[OWNERS..].iter().map(|handle| handle.watch(&service())).collect::<Result<_, _>>()?;
        let mut stage = Self {
            server,
            timing,
            observer,
            door,
            tasks: usize::MAX,
            proxies,
            handles,
            watches,
            wanted: Default::default(),
            holders: Holders::default(),
            calls: RefCell::default(),
            log: RefCell::default(),
            began: Instant::now(),
        };
        for owner in 0..OWNERS {
            for number in 1..=3 {
                let info = info(own_port(owner, number), 10);
                stage.handles[owner].register(&info).await?;
                stage.wanted[owner].insert(info.address().as_str().to_owned(), info);
            }
        }
        Ok(stage)
    }

    /// The fault comes and goes while both owners call.
    pub(crate) async fn play(&mut self, plan: &Plan) -> Result<(), String> {
        let [mut first, mut second] = std::mem::take(&mut self.wanted);
        let (fault, (), ()) = tokio::join!(
            self.inflict(plan.fault, plan.lasts),
            self.call(0, &plan.calls[0], &mut first),
            self.call(1, &plan.calls[1], &mut second),
        );
        self.wanted = [first, second];
        self.holders.after(plan.fault, self.calls.take(), &self.wanted);
        fault.map_err(|error| format!("the bench: {error}"))
    }

    /// Changes after the fault, which each owner's etcd must accept: an update, and an entry that comes or goes.
    pub(crate) async fn change(&mut self, round: u64) -> Result<(), String> {
        for owner in 0..OWNERS {
            let updated = info(own_port(owner, 1), u32::try_from(round).unwrap_or(0) + 2000);
            let other = info(own_port(owner, 2), 10);
            let goes = self.wanted[owner].remove(other.address().as_str()).is_some();
            let verb = if goes { "deregisters" } else { "registers" };
            self.note(format!(
                "owner {owner}, after the fault: registers {}, {verb} {}",
                updated.address(),
                other.address()
            ));
            let handle = &self.handles[owner];
            let changed = match goes {
                true => handle.register(&updated).await.and(handle.deregister(&other).await),
                false => handle.register(&updated).await.and(handle.register(&other).await),
            };
            changed.map_err(|error| format!("a call of owner {owner} after recovery failed: {error}"))?;
            let stay = [Some(updated), (!goes).then_some(other)];
            self.wanted[owner]
                .extend(stay.into_iter().flatten().map(|info| (info.address().as_str().to_owned(), info)));
        }
        Ok(())
    }

    async fn call(&self, owner: usize, calls: &[Call], wanted: &mut Wanted) {
        for Call { pause, what } in calls {
            tokio::time::sleep(*pause).await;
            let (handle, began) = (&self.handles[owner], Instant::now());
            let (name, info, outcome) = match what {
                What::Register(info) => ("register", info, handle.register(info).await),
                What::Deregister(info) => ("deregister", info, handle.deregister(info).await),
            };
            let address = info.address().as_str().to_owned();
            self.note(format!("owner {owner}: {name} {address} weight {}: {outcome:?}", info.weight()));
            self.calls.borrow_mut().push(Called {
                owner,
                address: address.clone(),
                registers: matches!(what, What::Register(_)),
                succeeded: outcome.is_ok(),
                began,
                ended: Instant::now(),
            });
            match what {
                // One that failed reverts to what was wanted before.
                What::Register(info) if outcome.is_ok() => drop(wanted.insert(address, info.clone())),
                What::Register(_) => {}
                // One that failed goes on in the background.
                What::Deregister(_) => drop(wanted.remove(&address)),
            }
        }
    }

    async fn inflict(&self, fault: Fault, lasts: Duration) -> Result<(), Box<dyn std::error::Error>> {
        self.note(format!("begins: {fault:?}"));
        let link = |handle: usize, fault| self.proxies[handle].set(fault);
        match fault {
            Fault::Lose(handle, direction) => link(handle, LinkFault::Lose(direction)),
            Fault::Reset(handle) => link(handle, LinkFault::Reset),
            Fault::Latency(handle, latency) => link(handle, LinkFault::Latency(latency)),
            Fault::KillAndRestart | Fault::KillAndRestartEmpty => self.server.kill().await?,
            Fault::CutAndCompact(handle) => link(handle, LinkFault::Lose(Direction::Both)),
            Fault::FreezeBeyondTtl => self.server.freeze().await?,
            Fault::RevokeLease(owner) => self.revoke(owner).await?,
            Fault::WipeEntries => {
                let all = DeleteOptions::new().with_prefix();
                self.door.clone().delete(format!("{PREFIX}/"), Some(all)).await?;
            }
            Fault::ForeignPut(port) => {
                let record = self.observer.encode(&info(port, 4242))?;
                self.door.clone().put(record.key().to_string(), record.value(), None).await?;
            }
            Fault::ForeignDelete(port) => self.delete(port).await?,
        }
        tokio::time::sleep(lasts).await;
        match fault {
            Fault::CutAndCompact(handle) => {
                let revision = self.door.clone().get(PREFIX, None).await?.header().map_or(0, ResponseHeader::revision);
                self.door.clone().compact(revision, None).await?;
                self.proxies[handle].heal();
            }
            Fault::Lose(handle, _) | Fault::Reset(handle) | Fault::Latency(handle, _) => self.proxies[handle].heal(),
            Fault::KillAndRestart => self.server.restart().await?,
            Fault::KillAndRestartEmpty => self.server.wipe().await?,
            Fault::FreezeBeyondTtl => self.server.thaw().await?,
            // The stranger leaves.
            Fault::ForeignPut(port) => self.delete(port).await?,
            Fault::RevokeLease(_) | Fault::WipeEntries | Fault::ForeignDelete(_) => {}
        }
        self.note(format!("ends: {fault:?}"));
        Ok(())
    }

    async fn revoke(&self, owner: usize) -> Result<(), Box<dyn std::error::Error>> {
        // Its change of the last round, which nobody else writes, tells its lease.
        let record = self.observer.encode(&info(own_port(owner, 1), 1))?;
        let lease = self.entries().await?.get(&record.key().to_string()).map(|entry| entry.lease);
        match lease {
            Some(lease) => {
                self.door.clone().lease_revoke(lease).await?;
            }
            None => self.note(format!("owner {owner} has no lease to revoke")),
        }
        Ok(())
    }

    async fn delete(&self, port: u16) -> Result<(), Box<dyn std::error::Error>> {
        let record = self.observer.encode(&info(port, 1))?;
        self.door.clone().delete(record.key().to_string(), None).await?;
        Ok(())
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.log.borrow_mut().push(format!("{:>7.2} s {what}", self.began.elapsed().as_secs_f64()));
    }

    /// The address that only this owner registers, and always does.
    pub(crate) fn own_address(&self, owner: usize) -> String {
        info(own_port(owner, 1), 1).address().as_str().to_owned()
    }

    /// What is left to look at when everything else is dropped.
    pub(crate) fn leave(self) -> Vec<FaultProxy> {
        self.proxies
    }

    /// Everything under the prefix, by key.
    pub(crate) async fn entries(&self) -> Result<BTreeMap<String, Entry>, etcd_client::Error> {
        let all = GetOptions::new().with_prefix();
        let answer = self.door.clone().get(format!("{PREFIX}/"), Some(all)).await?;
        let entry = |pair: &etcd_client::KeyValue| {
            let key = String::from_utf8_lossy(pair.key()).into_owned();
            (key, Entry { value: pair.value().to_vec(), lease: pair.lease() })
        };
        Ok(answer.kvs().iter().map(entry).collect())
    }

    pub(crate) async fn leases(&self) -> Result<Vec<i64>, etcd_client::Error> {
        let answer = self.door.clone().leases().await?;
        Ok(answer.leases().iter().map(etcd_client::LeaseStatus::id).collect())
    }
}
