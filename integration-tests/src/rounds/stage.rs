//! The server, the handles with their links, and what they want.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use registry_conformance::Timing;
use registry_core::store::Store;
use registry_core::{Handle, HandleOptions, Info, Registry as _, Resolver as _, ServiceName, Watch};

use super::ground::{Entry, Failure, Ground};
use super::holders::{Called, Holders};
use super::plan::{Call, Fault, Foreign, HANDLES, OWNERS, Plan, What, info, own_port};
use crate::proxy::{Direction, Fault as LinkFault, FaultProxy};

/// The one service of all rounds.
const SERVICE: &str = "demo";

/// What an owner wants, by address.
pub(super) type Wanted = BTreeMap<String, Info>;

pub(super) struct Stage<G> {
    pub(super) ground: G,
    pub(super) timing: Timing,
    /// The adapter's own keys and values, and its list, past all proxies.
    pub(super) observer: Box<dyn Store>,
    /// How many tasks lived when all was set up.
    pub(super) tasks: usize,
    pub(super) proxies: Vec<FaultProxy>,
    pub(super) handles: Vec<Handle>,
    pub(super) watches: Vec<Watch>,
    pub(super) wanted: [Wanted; OWNERS],
    /// Who holds each address that both want.
    pub(super) holders: Holders,
    /// The calls of this round.
    calls: RefCell<Vec<Called>>,
    /// What was done since the first round, with the times.
    pub(super) log: RefCell<Vec<String>>,
    began: Instant,
}

pub(super) fn service() -> ServiceName {
    ServiceName::new(SERVICE).expect("invariant: a valid name")
}

/// Quicker than the defaults, so that rounds are short.
fn options(timing: &Timing) -> HandleOptions {
    let mut options = HandleOptions::with_ttl(timing.ttl());
    options.operation_timeout = timing.allow(Duration::from_secs(2));
    options.attempt_timeout = timing.allow(Duration::from_secs(1));
    options.backoff_cap = Duration::from_millis(500);
    options.audit_interval = Duration::from_secs(1);
    options.removal_grace = Some(timing.grace());
    options
}

impl<G: Ground> Stage<G> {
    pub(super) async fn open() -> Result<Self, Failure> {
        let (ground, timing) = (G::start().await?, Timing::from_environment(G::SMALLEST_TTL)?);
        let observer = ground.store(options(&timing))?;
        let (mut proxies, mut handles) = (Vec::new(), Vec::new());
        for _ in 0..HANDLES {
            let proxy = FaultProxy::start(ground.address()).await?;
            handles.push(ground.connect(proxy.address(), options(&timing)).await?);
            proxies.push(proxy);
        }
        let watches = handles[OWNERS..].iter().map(|handle| handle.watch(&service())).collect::<Result<_, _>>()?;
        let mut stage = Self {
            ground,
            timing,
            observer,
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

    /// The fault comes and goes while both owners call, and strangers write.
    pub(super) async fn play(&mut self, plan: &Plan) -> Result<(), String> {
        let [mut first, mut second] = std::mem::take(&mut self.wanted);
        let (fault, (), (), ()) = tokio::join!(
            self.inflict(plan.fault, plan.lasts),
            self.call(0, &plan.calls[0], &mut first),
            self.call(1, &plan.calls[1], &mut second),
            self.write_as_a_stranger(&plan.foreign),
        );
        self.wanted = [first, second];
        self.holders.after(plan.fault, self.calls.take(), &self.wanted);
        fault.map_err(|error| format!("the bench: {error}"))
    }

    /// Changes after the fault, which the store must accept: an update, and an entry that comes or goes.
    pub(super) async fn change(&mut self, round: u64) -> Result<(), String> {
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

    async fn write_as_a_stranger(&self, changes: &[Foreign]) {
        for Foreign { pause, port, weight } in changes {
            tokio::time::sleep(*pause).await;
            // While the server is away this fails, and what stands stays.
            let written = match weight {
                Some(weight) => self.put(&info(*port, *weight)).await,
                None => self.delete(*port).await,
            };
            let written = written.map_err(|error| error.to_string());
            self.note(format!("a stranger: port {port} weight {weight:?}: {written:?}"));
        }
    }

    async fn inflict(&self, fault: Fault, lasts: Duration) -> Result<(), Failure> {
        self.note(format!("begins: {fault:?}"));
        let link = |handle: usize, fault| self.proxies[handle].set(fault);
        match fault {
            Fault::Lose(handle, direction) => link(handle, LinkFault::Lose(direction)),
            Fault::Reset(handle) => link(handle, LinkFault::Reset),
            Fault::AcceptAndClose(handle) => link(handle, LinkFault::AcceptAndClose),
            Fault::Latency(handle, latency) => link(handle, LinkFault::Latency(Direction::Both, latency)),
            Fault::KillAndRestart | Fault::KillAndRestartEmpty => self.ground.kill().await?,
            Fault::CutAndForget(handle) => link(handle, LinkFault::Lose(Direction::Both)),
            Fault::FreezeBeyondTtl => self.ground.freeze().await?,
            Fault::EndSession(owner) => self.end_session(owner).await?,
            Fault::WipeEntries => {
                for key in self.ground.entries(SERVICE).await?.keys() {
                    self.ground.delete(key).await?;
                }
            }
            Fault::ForeignPut(port) => self.put(&info(port, 4242)).await?,
            Fault::ForeignDelete(port) => self.delete(port).await?,
        }
        tokio::time::sleep(lasts).await;
        match fault {
            Fault::CutAndForget(handle) => {
                self.ground.forget().await?;
                self.proxies[handle].heal();
            }
            Fault::Lose(handle, _)
            | Fault::Reset(handle)
            | Fault::AcceptAndClose(handle)
            | Fault::Latency(handle, _) => self.proxies[handle].heal(),
            Fault::KillAndRestart => self.ground.restart().await?,
            Fault::KillAndRestartEmpty => self.ground.wipe().await?,
            Fault::FreezeBeyondTtl => self.ground.thaw().await?,
            // The stranger leaves.
            Fault::ForeignPut(port) => self.delete(port).await?,
            Fault::EndSession(_) | Fault::WipeEntries | Fault::ForeignDelete(_) => {}
        }
        self.note(format!("ends: {fault:?}"));
        Ok(())
    }

    async fn end_session(&self, owner: usize) -> Result<(), Failure> {
        // Its change of the last round, which nobody else writes, tells its session.
        let record = self.observer.encode(&info(own_port(owner, 1), 1))?;
        let entries = self.ground.entries(SERVICE).await?;
        match entries.get(record.key().as_str()).and_then(|entry| entry.session) {
            Some(session) => self.ground.expire(session).await?,
            None => self.note(format!("owner {owner} has no session to end")),
        }
        Ok(())
    }

    async fn put(&self, info: &Info) -> Result<(), Failure> {
        self.ground.put(&self.observer.encode(info)?).await
    }

    async fn delete(&self, port: u16) -> Result<(), Failure> {
        self.ground.delete(self.observer.encode(&info(port, 1))?.key().as_str()).await
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.log.borrow_mut().push(format!("{:>7.2} s {what}", self.began.elapsed().as_secs_f64()));
    }

    /// The address that only this owner registers, and always does.
    pub(super) fn own_address(&self, owner: usize) -> String {
        info(own_port(owner, 1), 1).address().as_str().to_owned()
    }

    /// Ends the observer's own connection, which is a session where readers have one. What comes in its place asks nothing.
    pub(super) fn leave_observer(&mut self) -> Result<(), Failure> {
        self.observer = self.ground.store(options(&self.timing))?;
        Ok(())
    }

    /// What is left to look at when everything else is dropped.
    pub(super) fn leave(self) -> Vec<FaultProxy> {
        self.proxies
    }

    /// Every entry, by key.
    pub(super) async fn entries(&self) -> Result<BTreeMap<String, Entry>, String> {
        self.ground.entries(SERVICE).await.map_err(|error| error.to_string())
    }
}
