//! V, X2 and X3: bad input and security.

use async_trait::async_trait;
use integration_tests::memory::{MemoryHarness, SECRET};
use registry_core::store::{JsonRecord, Key, Record, Store as _};
use registry_core::{
    Error, ErrorKind, Handle, Info, InvalidField, Registry as _, Resolver as _, ServiceName, Snapshot,
};
use registry_memory::Client;

use crate::discovery::{Lists, Renames, all_or_nothing};
use crate::mutant::Mutant;
use crate::twist::{StoreTwist, Twist, Twisted, TwistedStore};

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "what is too large is cut to size and written",
        "adapters that trust their store to complain",
        "v1_an_oversized_entry_is_refused_by_its_field_and_the_earlier_registration_stands",
        || MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, CutsToSize)),
    ),
    Mutant::new(
        "a refused update withdraws what stood",
        "adapters that delete before they create",
        "v1_a_refused_update_leaves_the_identity_as_it_was",
        || MemoryHarness::new().with_handle(|handle, _| Box::new(Twisted(WithdrawsFirst(handle)))),
    ),
    Mutant::new(
        "the input is checked after the store was asked",
        "adapters that look before they check",
        "v1_a_refusal_sends_nothing",
        || MemoryHarness::new().with_handle(|handle, _| Box::new(Twisted(AsksFirst(handle)))),
    ),
    Mutant::new(
        "a refusal waits for the store",
        "adapters that look before they check",
        "v1_a_refusal_needs_no_store",
        || MemoryHarness::new().with_handle(|handle, _| Box::new(Twisted(AsksFirst(handle)))),
    ),
    Mutant::new(
        "hostile bytes fail the read",
        "kratos etcd",
        "v2_mutated_records_hide_nothing_and_flood_no_log",
        || MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, Lists(all_or_nothing))),
    ),
    Mutant::new(
        "calls wait until the store is back",
        "clients without a time limit",
        "v3_calls_end_in_time_while_cut_off",
        || MemoryHarness::new().with_handle(|handle, _| Box::new(Twisted(WaitsForEver(handle)))),
    ),
    Mutant::new(
        "denied is told as unreachable",
        "errors that are strings",
        "v3_what_the_store_denies_says_denied",
        || MemoryHarness::new().with_handle(|handle, _| Box::new(Twisted(OneKind(handle)))),
    ),
    Mutant::new(
        "a closed handle finds nothing, without an error",
        "errors that are empty lists",
        "v3_calls_on_a_closed_handle_say_closed",
        || MemoryHarness::new().with_handle(|handle, _| Box::new(Twisted(EmptyWhenClosed(handle)))),
    ),
    Mutant::new(
        "errors quote the connection's URL",
        "clients that print their configuration",
        "x2_no_secret_is_in_what_an_outage_says",
        || MemoryHarness::new().with_handle(|handle, _| Box::new(Twisted(QuotesUrl(handle)))),
    ),
    Mutant::new(
        "a log line has the token",
        "clients that log their requests",
        "x2_no_secret_is_in_a_status_or_an_error",
        || MemoryHarness::new().with_handle(|handle, _| Box::new(Twisted(LogsToken(handle)))),
    ),
    Mutant::new("names are trimmed", "stores that are lenient", "x3_no_service_name_reaches_another_service", || {
        MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, Renames(|name| name.trim().to_owned())))
    }),
    Mutant::new(
        "keys are percent-decoded once more, and their dots resolved",
        "HTTP stores behind a proxy",
        "x3_no_service_name_reaches_another_namespace",
        || MemoryHarness::new().with_store(|client, _| TwistedStore::wrap(client, ResolvesDots)),
    ),
];

struct CutsToSize;

impl StoreTwist for CutsToSize {
    fn encode(&self, inner: &Client, info: &Info) -> Result<Record, InvalidField> {
        let small = info.to_builder().tags(Vec::<(String, String)>::new()).payload_codec("").build()?;
        inner.encode(info).or_else(|_| inner.encode(&small))
    }
}

struct WithdrawsFirst(Handle);

#[async_trait]
impl Twist for WithdrawsFirst {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn register(&self, info: &Info) -> Result<(), Error> {
        let registered = self.0.register(info).await;
        if registered.as_ref().is_err_and(|error| error.kind() == ErrorKind::InvalidInput) {
            self.0.deregister(info).await?;
        }
        registered
    }
}

struct AsksFirst(Handle);

#[async_trait]
impl Twist for AsksFirst {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn register(&self, info: &Info) -> Result<(), Error> {
        self.0.resolve(info.service()).await?;
        self.0.register(info).await
    }
}

struct WaitsForEver(Handle);

#[async_trait]
impl Twist for WaitsForEver {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn resolve(&self, service: &ServiceName) -> Result<Snapshot, Error> {
        loop {
            match self.0.resolve(service).await {
                Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Unreachable) => {}
                answer => return answer,
            }
        }
    }
}

struct OneKind(Handle);

#[async_trait]
impl Twist for OneKind {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn resolve(&self, service: &ServiceName) -> Result<Snapshot, Error> {
        self.0.resolve(service).await.map_err(|error| Error::new(ErrorKind::Unreachable, "resolve", error.message()))
    }
}

struct EmptyWhenClosed(Handle);

#[async_trait]
impl Twist for EmptyWhenClosed {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn resolve(&self, service: &ServiceName) -> Result<Snapshot, Error> {
        match self.0.resolve(service).await {
            Err(error) if error.kind() == ErrorKind::Closed => Ok(Snapshot::new(service.clone(), [])),
            answer => answer,
        }
    }
}

struct QuotesUrl(Handle);

#[async_trait]
impl Twist for QuotesUrl {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn resolve(&self, service: &ServiceName) -> Result<Snapshot, Error> {
        let quoted = |error: Error| {
            Error::new(error.kind(), "resolve", format!("memory://user:{SECRET}@here: {}", error.message()))
        };
        self.0.resolve(service).await.map_err(quoted)
    }
}

struct LogsToken(Handle);

#[async_trait]
impl Twist for LogsToken {
    fn inner(&self) -> &Handle {
        &self.0
    }
    async fn register(&self, info: &Info) -> Result<(), Error> {
        tracing::debug!(token = SECRET, service = %info.service(), "PUT");
        self.0.register(info).await
    }
}

struct ResolvesDots;

impl StoreTwist for ResolvesDots {
    fn encode(&self, inner: &Client, info: &Info) -> Result<Record, InvalidField> {
        let key = inner.encode(info)?.key().to_string();
        let decoded = key.replace("%2F", "/").replace("%2f", "/").replace("%2e", ".").replace("%2E", ".");
        let mut elements: Vec<&str> = Vec::new();
        for element in decoded.split('/') {
            match element {
                ".." => drop(elements.pop()),
                "." => {}
                element => elements.push(element),
            }
        }
        Ok(Record::new(Key::new(elements.join("/")), JsonRecord::encode(info), info))
    }
}
