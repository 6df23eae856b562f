//! A client that picks a server from its watch for every call.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Duration;

use registry_connect::{Change, Instance, Watch};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// How many calls make a proportion visible.
const CALLS: u32 = 600;

pub(crate) struct Client {
    watch: Watch,
}

impl Client {
    pub(crate) fn new(watch: Watch) -> Self {
        Self { watch }
    }

    /// Follows the watch until exactly these servers are in it.
    pub(crate) async fn expect(&mut self, names: &[&str], limit: Duration) -> Result<(), Box<dyn Error>> {
        let wanted: BTreeSet<&str> = names.iter().copied().collect();
        let reached = |change: &Change| {
            let instances = change.snapshot.instances().iter();
            Ok(instances.map(|instance| name(instance)).collect::<BTreeSet<_>>() == wanted)
        };
        self.follow(&format!("exactly {names:?}"), limit, reached).await
    }

    /// Follows the watch until this server has this weight. Nobody may be missing in between: the entry is replaced in place.
    pub(crate) async fn expect_weight(
        &mut self,
        server: &str,
        weight: u32,
        limit: Duration,
    ) -> Result<(), Box<dyn Error>> {
        let reached = |change: &Change| match change.difference.removed.first() {
            Some(missing) => Err(format!("{} went away while {server} changed its weight", shown(missing))),
            None => {
                let mut instances = change.snapshot.instances().iter();
                Ok(instances.any(|instance| name(instance) == server && instance.weight() == weight))
            }
        };
        self.follow(&format!("{server} with weight {weight}"), limit, reached).await
    }

    /// Takes changes from the watch and prints them until `reached`, which says so, or what is wrong.
    async fn follow(
        &mut self,
        what: &str,
        limit: Duration,
        reached: impl Fn(&Change) -> Result<bool, String>,
    ) -> Result<(), Box<dyn Error>> {
        let following = async {
            while let Some(change) = self.watch.next().await {
                let difference = &change.difference;
                difference.added.iter().for_each(|instance| println!("   + {}", shown(instance)));
                difference.updated.iter().for_each(|instance| println!("   ~ {}", shown(instance)));
                difference.removed.iter().for_each(|instance| println!("   - {}", shown(instance)));
                if reached(&change)? {
                    return Ok(());
                }
            }
            Err(format!("the watch ended before it had {what}"))
        };
        match tokio::time::timeout(limit, following).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(format!("the watch had not {what} within {limit:?}, but {:?}", self.watch.latest()).into()),
        }
    }

    /// Makes many calls, none of which may fail, and compares who answered with the weights.
    pub(crate) async fn call_in_proportion(&self, weights: &[(&str, u32)]) -> Result<(), Box<dyn Error>> {
        let mut answers: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..CALLS {
            let instance = self.watch.latest().pick()?.clone();
            *answers.entry(call(&instance).await?).or_default() += 1;
        }
        let total: u32 = weights.iter().map(|(_, weight)| weight).sum();
        for (server, weight) in weights {
            let answered = answers.remove(*server).unwrap_or(0);
            let share = f64::from(*weight) / f64::from(total);
            let expected = share * f64::from(CALLS);
            println!("   {server:<5} weight {weight:>2}: {answered:>3} of {CALLS} calls, about {expected:.0} expected");
            // Six standard deviations: a right program fails here once in a hundred million runs.
            let allowed = 6.0 * (expected * (1.0 - share)).sqrt();
            if (f64::from(answered) - expected).abs() > allowed {
                return Err(
                    format!("{server} answered {answered} calls, not {expected:.0} give or take {allowed:.0}").into()
                );
            }
        }
        match answers.first_key_value() {
            None => Ok(()),
            Some((server, count)) => Err(format!("{server} answered {count} calls and should have had none").into()),
        }
    }

    /// Calls until the dead server was picked a few times, and takes another one each time. Returns how often it was picked.
    pub(crate) async fn call_around_the_dead(&self, dead: &str) -> Result<u32, Box<dyn Error>> {
        let mut refused = 0;
        for _ in 0..CALLS {
            let snapshot = self.watch.latest().to_arc();
            let picked = snapshot.pick()?;
            if call(picked).await.is_ok() {
                continue;
            }
            if name(picked) != dead {
                return Err(format!("{} refused a call, and it lives", name(picked)).into());
            }
            refused += 1;
            let other = snapshot.instances().iter().find(|instance| name(instance) != dead).ok_or("nobody is left")?;
            call(other).await?;
        }
        match refused {
            0 => Err(format!("{dead} was never picked: its entry went away before its TTL").into()),
            refused => Ok(refused),
        }
    }
}

/// One call: a line there, a line back. Returns who answered.
async fn call(instance: &Instance) -> Result<String, Box<dyn Error>> {
    let mut stream = BufReader::new(TcpStream::connect(instance.address().as_str()).await?);
    stream.write_all(b"hello\n").await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    match line.strip_suffix(" says: hello\n") {
        Some(server) => Ok(server.to_owned()),
        None => Err(format!("{} answered {line:?}", instance.address()).into()),
    }
}

fn name(instance: &Instance) -> &str {
    instance.tag("name").unwrap_or("nameless")
}

fn shown(instance: &Instance) -> String {
    let tags: Vec<_> = instance.tags().iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{:<5} at {}, weight {}, {}", name(instance), instance.address(), instance.weight(), tags.join(", "))
}
