//! The one place that knows consulrs: the few requests that the adapter makes, over one [`Line`] for calls and beats, and one for watches.
//!
//! A query that waits takes a connection for as long as it waits, and an agent takes 200 from one address: watches have a line of their own with a bound
//! of its own, so that however many there are, a beat finds its connection.

mod connect;
mod crowd;
mod endpoints;
mod error;
mod line;
mod request;
mod standing;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use consulrs::api::check::common::AgentServiceCheck;
use consulrs::api::check::requests::{DeregisterCheckRequest, TtlCheckPassRequest};
use consulrs::api::service::common::AgentWeights;
use consulrs::api::service::requests::{
    DeregisterServiceRequest, ListServicesRequest, RegisterServiceRequest, ServiceHealthByIdRequest,
};
use registry_core::Info;
use registry_core::store::OwnerToken;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use self::connect::Connector;
use self::crowd::Crowd;
pub(crate) use self::crowd::Member;
use self::endpoints::{HealthOfService, Leader, TokenSelf};
pub(crate) use self::error::Failure;
use self::line::{Dropped, Line};
use self::request::{Answer, Extra};
pub(crate) use self::standing::{CheckState, Standing};
use crate::check::Target;
use crate::config::Config;
use crate::definition::{CHECK, Definition, OWNER};
use crate::options::Consistency;

/// Connections for calls and beats.
const CALLS: usize = 32;

/// Connections for queries that wait.
const WATCHES: usize = 96;

/// How long a query waits when there are more watches than connections for them, so that each has its turn.
const CROWDED_WAIT: Duration = Duration::from_secs(1);

/// How old the knowledge may be that Consul knows our token: a query that waits is not told when it is revoked.
const TOKEN_CHECK: Duration = Duration::from_secs(4);

/// The requests to one agent.
#[derive(Debug)]
pub(crate) struct Transport {
    calls: Line,
    watches: Line,
    crowd: Crowd,
    /// When the agent last answered for its servers; held while it is asked, so that the watches of a handle ask once.
    alive: tokio::sync::Mutex<Option<Instant>>,
    /// When Consul last said that it knows our token.
    known: Mutex<Option<Instant>>,
    config: Arc<Config>,
}

/// The entries of a service at one index.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) entries: Vec<Box<RawValue>>,
    pub(crate) index: u64,
}

/// How a registration begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Unhealthy, until it is passed: what is never passed is never seen.
    Critical,
    Passing,
}

impl Transport {
    pub(crate) fn new(config: Config) -> Self {
        let (config, connector) = (Arc::new(config), Arc::new(Connector::default()));
        Self {
            calls: Line::new(config.clone(), connector.clone(), CALLS),
            watches: Line::new(config.clone(), connector, WATCHES),
            crowd: Crowd::new(WATCHES),
            alive: tokio::sync::Mutex::default(),
            known: Mutex::default(),
            config,
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Lets the line for calls connect anew, with token and certificates read anew (X1).
    pub(crate) fn start_afresh(&self) {
        self.calls.start_afresh();
    }

    /// The ids of this agent's services that bear the token.
    pub(crate) async fn owned(&self, owner: &OwnerToken) -> Result<HashSet<String>, Failure> {
        // The token is hexadecimal: nothing in it could end the text of the filter.
        let filter = format!("Meta.{OWNER} == \"{}\"", owner.as_str());
        let extra = Extra { query: &[("filter", &filter)], ..Extra::default() };
        let answer = self.call(&ListServicesRequest::default(), &extra).await?;
        let services: HashMap<String, IgnoredAny> = decode("the list of the agent's services", &answer)?;
        Ok(services.into_keys().collect())
    }

    /// What the agent has under an id.
    pub(crate) async fn standing(&self, id: &str) -> Result<Option<Standing>, Failure> {
        let endpoint = ServiceHealthByIdRequest { id: id.to_owned(), ..Default::default() };
        // 429 and 503 say that the service warns or is critical; the answer is the same.
        let extra = Extra { expected: &[404, 429, 503], ..Extra::default() };
        let answer = self.call(&endpoint, &extra).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        if answer.status != 200 && !answer.body.starts_with(b"{") {
            return Err(Failure::of_status(answer.status, &answer.body));
        }
        decode("the agent's service", &answer).map(Some)
    }

    /// Registers a service, or replaces it with its checks in place. What its check said stays, where the id was there before; `begin` is for others.
    pub(crate) async fn register(
        &self,
        definition: &Definition,
        info: &Info,
        owner: &OwnerToken,
        ttl: Duration,
        begin: Begin,
    ) -> Result<(), Failure> {
        let check = &self.config.check;
        let mut meta: HashMap<String, String> = definition.meta.clone().into_iter().collect();
        meta.insert(OWNER.to_owned(), owner.as_str().to_owned());
        meta.extend(check.word().map(|word| (CHECK.to_owned(), word.to_owned())));
        let weights = definition.weights;
        let endpoint = RegisterServiceRequest {
            id: Some(definition.id.clone()),
            name: Some(definition.name.clone()),
            address: Some(definition.address.clone()),
            port: Some(u64::from(definition.port)),
            tags: Some(definition.tags.clone()),
            weights: Some(AgentWeights {
                passing: Some(u64::from(weights.passing)),
                warning: Some(u64::from(weights.warning)),
            }),
            meta: Some(meta),
            check: self.check(info, ttl, begin),
            ..Default::default()
        };
        let extra = Extra { query: &[("replace-existing-checks", "true")], ..Extra::default() };
        self.call(&endpoint, &extra).await.map(drop)
    }

    /// Removes a service. One that is not there is no failure; that it was removed is for [`standing`](Self::standing) to tell.
    pub(crate) async fn deregister(&self, id: &str) -> Result<(), Failure> {
        let endpoint = DeregisterServiceRequest { id: id.to_owned(), ..Default::default() };
        self.call(&endpoint, &Extra { expected: &[404], ..Extra::default() }).await.map(drop)
    }

    /// Removes the check of a service, so that the agent runs nothing of an earlier registration any more.
    pub(crate) async fn drop_check(&self, id: &str) -> Result<(), Failure> {
        let endpoint = DeregisterCheckRequest { check: check_id(id), ..Default::default() };
        match self.call(&endpoint, &Extra { expected: &[404], ..Extra::default() }).await {
            Ok(_) => Ok(()),
            // What an agent that looks up the check for its ACLs says of one that is not there.
            Err(failure) if failure.is_unknown_check() => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Reports that a service lives. `false` when the agent knows no TTL check of it.
    pub(crate) async fn pass(&self, id: &str) -> Result<bool, Failure> {
        let endpoint = TtlCheckPassRequest { check: check_id(id), ..Default::default() };
        match self.call(&endpoint, &Extra::default()).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_unknown_check() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// The entries of a service now.
    pub(crate) async fn list(&self, service: &str) -> Result<Listed, Failure> {
        let query = self.read_query();
        let answer = self.call(&HealthOfService(service), &Extra { query: &query, ..Extra::default() }).await?;
        listed(&answer)
    }

    /// The entries of a service when something about them is no longer as it was at `index`, or a while has passed. With 0 at once.
    pub(crate) async fn changes(&self, service: &str, index: u64) -> Result<Listed, Failure> {
        loop {
            let crowded = self.crowd.is_crowded();
            let wait = if crowded { CROWDED_WAIT } else { self.config.wait };
            tokio::select! {
                biased;
                listed = self.changes_within(service, index, wait) => return listed,
                // With the short wait from now on: others wait for this connection.
                () = self.crowd.becomes_crowded(), if !crowded => {}
            }
        }
    }

    async fn changes_within(&self, service: &str, index: u64, wait: Duration) -> Result<Listed, Failure> {
        let (index, milliseconds) = (index.to_string(), format!("{}ms", wait.as_millis()));
        let mut query = self.read_query();
        query.extend([("index", index.as_str()), ("wait", milliseconds.as_str())]);
        let extra = Extra { query: &query, ..Extra::default() };
        // A server adds up to a sixteenth to what it waits.
        let limit = wait + wait / 16 + self.config.request_timeout;
        listed(&self.watches.call(&HealthOfService(service), &extra, limit, Dropped::Expected).await?)
    }

    /// Makes sure that the agent answered for its servers within `young`, by asking if need be. The views of a handle share what they learn.
    pub(crate) async fn check_alive(&self, young: Duration) -> Result<(), Failure> {
        let began = Instant::now();
        let mut alive = self.alive.lock().await;
        // An answer that came since then vouches, too, however long it took: somebody else waited for it.
        if alive.is_some_and(|at| at >= began || at.elapsed() < young) {
            return Ok(());
        }
        let limit = self.config.request_timeout;
        // On the other line: here it would wait behind the queries that it is to vouch for.
        let answer = self.calls.call(&Leader, &Extra::default(), limit, Dropped::Suspicious).await?;
        let leader: String = decode("the leader's address", &answer)?;
        if leader.is_empty() && self.config.consistency != Consistency::Stale {
            return Err(Failure::without_leader());
        }
        self.check_token().await?;
        *alive = Some(Instant::now());
        Ok(())
    }

    /// Fails when Consul does not know our token any more. Without one there is nothing to revoke.
    async fn check_token(&self) -> Result<(), Failure> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_young = known().is_some_and(|at| at.elapsed() < TOKEN_CHECK);
        if !self.config.has_token() || is_young {
            return Ok(());
        }
        let asked = Instant::now();
        // 401 says that Consul has no ACLs.
        self.call(&TokenSelf, &Extra { expected: &[401], ..Extra::default() }).await?;
        *known() = Some(asked);
        Ok(())
    }

    /// One more that watches.
    pub(crate) fn join(self: &Arc<Self>) -> Member {
        self.crowd.join()
    }

    async fn call<E: rustify::endpoint::Endpoint>(&self, endpoint: &E, extra: &Extra<'_>) -> Result<Answer, Failure> {
        self.calls.call(endpoint, extra, self.config.request_timeout, Dropped::Suspicious).await
    }

    fn read_query(&self) -> Vec<(&str, &str)> {
        let mode = match self.config.consistency {
            Consistency::Consistent => Some(("consistent", "")),
            Consistency::Leader => None,
            Consistency::Stale => Some(("stale", "")),
        };
        mode.into_iter().chain(self.config.datacenter.as_deref().map(|name| ("dc", name))).collect()
    }

    /// The check of a registration. It has no id of its own: a Go Kitex successor must replace it by Consul's default one.
    fn check(&self, info: &Info, ttl: Duration, begin: Begin) -> Option<AgentServiceCheck> {
        let check = &self.config.check;
        let common = AgentServiceCheck {
            deregister_critical_service_after: Some(go_duration(self.config.deregister_after)),
            status: Some(if begin == Begin::Passing { "passing" } else { "critical" }.to_owned()),
            ..Default::default()
        };
        if check.is_reported() {
            return Some(AgentServiceCheck { ttl: Some(go_duration(ttl)), ..common });
        }
        let (timing, target) = (check.timing()?, check.target(info)?);
        let common = AgentServiceCheck {
            interval: Some(go_duration(timing.interval)),
            timeout: Some(go_duration(timing.timeout)),
            ..common
        };
        Some(match target {
            Target::Tcp(address) => AgentServiceCheck { tcp: Some(address), ..common },
            Target::Http(url) => AgentServiceCheck { http: Some(url), ..common },
            Target::Grpc(address) => AgentServiceCheck { grpc: Some(address), ..common },
        })
    }
}

/// Consul's default id of the check of a service.
fn check_id(id: &str) -> String {
    format!("service:{id}")
}

/// A duration as Go reads it.
fn go_duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

fn listed(answer: &Answer) -> Result<Listed, Failure> {
    // 0 would make the next query return at once, again and again.
    let index = answer.index.filter(|index| *index > 0).ok_or_else(Failure::without_index)?;
    let entries: Option<Vec<Box<RawValue>>> = decode("the list of a service's entries", answer)?;
    Ok(Listed { entries: entries.unwrap_or_default(), index })
}

fn decode<'a, T: Deserialize<'a>>(what: &str, answer: &'a Answer) -> Result<T, Failure> {
    serde_json::from_slice(&answer.body).map_err(|error| Failure::unreadable(what, &error))
}

#[cfg(test)]
mod tests;
