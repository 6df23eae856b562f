//! The server, the handles with their links, and what they want.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use etcd_client::{Client as Door, DeleteOptions, GetOptions};
use integration_tests::{EtcdServer, Fault as LinkFault, FaultProxy};
use registry_core::store::Store as _;
use registry_core::{Handle, HandleOptions, Info, Registry as _, Resolver as _, ServiceName, Watch};
use registry_etcd::{Client, Options};

use crate::plan::{Call, Fault, HANDLES, OWNERS, Plan, What, info, own_port};

/// Of all keys.
pub(crate) const PREFIX: &str = "rounds";

/// What an owner wants, by address.
pub(crate) type Wanted = BTreeMap<String, Info>;

pub(crate) struct Stage {
    pub(crate) server: EtcdServer,
    pub(crate) proxies: Vec<FaultProxy>,
    pub(crate) handles: Vec<Handle>,
    pub(crate) watches: Vec<Watch>,
    pub(crate) wanted: [Wanted; OWNERS],
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

fn options(address: String) -> Options {
    let mut timings = HandleOptions::with_ttl(Duration::from_secs(2));
    timings.operation_timeout = Duration::from_secs(2);
    timings.attempt_timeout = Duration::from_secs(1);
    timings.backoff_cap = Duration::from_millis(500);
    timings.audit_interval = Duration::from_secs(1);
    Options::new([address]).with_prefix(PREFIX).with_handle(timings)
}

impl Stage {
    pub(crate) async fn open() -> Result<Self, Box<dyn std::error::Error>> {
        let server = EtcdServer::start().await?;
        let (mut proxies, mut handles) = (Vec::new(), Vec::new());
        for _ in 0..HANDLES {
            let proxy = FaultProxy::start(server.address()).await?;
            handles.push(registry_etcd::connect(options(proxy.address().to_string())).await?);
            proxies.push(proxy);
        }
        let watches = handles[OWNERS..].iter().map(|handle| handle.watch(&service())).collect::<Result<_, _>>()?;
        let (log, began) = (RefCell::default(), Instant::now());
        let mut stage = Self { server, proxies, handles, watches, wanted: Default::default(), log, began };
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
        fault.map_err(|error| format!("the bench: {error}"))
    }

    /// A change after the fault: it must be accepted, by each owner.
    pub(crate) async fn change(&mut self, round: u64) -> Result<(), String> {
        for owner in 0..OWNERS {
            let weight = u32::try_from(round).unwrap_or(0) + 2000;
            let info = info(own_port(owner, 1), weight);
            self.note(format!("owner {owner} registers {} with weight {weight}", info.address().as_str()));
            let registered = self.handles[owner].register(&info).await;
            registered.map_err(|error| format!("a register of owner {owner} after recovery failed: {error}"))?;
            self.wanted[owner].insert(info.address().as_str().to_owned(), info);
        }
        Ok(())
    }

    async fn call(&self, owner: usize, calls: &[Call], wanted: &mut Wanted) {
        for Call { pause, what } in calls {
            tokio::time::sleep(*pause).await;
            let handle = &self.handles[owner];
            let (name, info, outcome) = match what {
                What::Register(info) => ("register", info, handle.register(info).await),
                What::Deregister(info) => ("deregister", info, handle.deregister(info).await),
            };
            let address = info.address().as_str().to_owned();
            self.note(format!("owner {owner}: {name} {address} weight {}: {outcome:?}", info.weight()));
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
            Fault::KillAndRestart => self.server.kill().await?,
            Fault::FreezeBeyondTtl => self.server.freeze().await?,
            Fault::RevokeLease(owner) => self.revoke(owner).await?,
            Fault::WipeEntries => {
                let all = DeleteOptions::new().with_prefix();
                self.door().await?.delete(format!("{PREFIX}/"), Some(all)).await?;
            }
            Fault::ForeignPut(port) => {
                let record = self.codec().encode(&info(port, 4242))?;
                self.door().await?.put(record.key().to_string(), record.value(), None).await?;
            }
            Fault::ForeignDelete(port) => self.delete(port).await?,
        }
        tokio::time::sleep(lasts).await;
        match fault {
            Fault::Lose(handle, _) | Fault::Reset(handle) | Fault::Latency(handle, _) => self.proxies[handle].heal(),
            Fault::KillAndRestart => self.server.restart().await?,
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
        let record = self.codec().encode(&info(own_port(owner, 1), 1))?;
        let lease = self.entries().await?.get(&record.key().to_string()).map(|entry| entry.lease);
        match lease {
            Some(lease) => {
                self.door().await?.lease_revoke(lease).await?;
            }
            None => self.note(format!("owner {owner} has no lease to revoke")),
        }
        Ok(())
    }

    async fn delete(&self, port: u16) -> Result<(), Box<dyn std::error::Error>> {
        let record = self.codec().encode(&info(port, 1))?;
        self.door().await?.delete(record.key().to_string(), None).await?;
        Ok(())
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.log.borrow_mut().push(format!("{:>7.2} s {what}", self.began.elapsed().as_secs_f64()));
    }

    /// The adapter's own keys and values, past all proxies.
    pub(crate) fn codec(&self) -> Client {
        options(self.server.address().to_string()).client().expect("invariant: the handles have the same options")
    }

    /// A connection of its own to the server.
    pub(crate) async fn door(&self) -> Result<Door, etcd_client::Error> {
        Door::connect([self.server.url()], None).await
    }

    /// Everything under the prefix, by key.
    pub(crate) async fn entries(&self) -> Result<BTreeMap<String, Entry>, etcd_client::Error> {
        let all = GetOptions::new().with_prefix();
        let answer = self.door().await?.get(format!("{PREFIX}/"), Some(all)).await?;
        let entry = |pair: &etcd_client::KeyValue| {
            let key = String::from_utf8_lossy(pair.key()).into_owned();
            (key, Entry { value: pair.value().to_vec(), lease: pair.lease() })
        };
        Ok(answer.kvs().iter().map(entry).collect())
    }

    pub(crate) async fn leases(&self) -> Result<Vec<i64>, etcd_client::Error> {
        let answer = self.door().await?.leases().await?;
        Ok(answer.leases().iter().map(etcd_client::LeaseStatus::id).collect())
    }
}
