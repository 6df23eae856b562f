//! The one place that knows etcd-client: the few requests that the adapter makes, over one [`Line`] each for leases, calls and watches.
//!
//! A watch stream that is not read stalls its whole connection, so that watches have one of their own, and leases another: no amount of data delays
//! a keep-alive.

mod connect;
mod error;
mod keep_alive;
mod line;
mod swap;
mod watch;

use std::sync::Arc;

use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse};

pub(crate) use self::error::Failure;
pub(crate) use self::keep_alive::{KeepAlive, Renewed};
use self::line::{Line, Repeat};
pub(crate) use self::swap::{Change, Expected, Swapped, Write};
pub(crate) use self::watch::{Changes, Event};
use crate::config::Config;

/// The largest answer that is read, in bytes: more than 10,000 entries of usual size have (2.7 MB), and less than what would take the process down.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// The requests to one cluster.
#[derive(Debug)]
pub(crate) struct Transport {
    calls: Line,
    leases: Line,
    watches: Line,
    config: Arc<Config>,
}

/// An entry as it stands in etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) key: Vec<u8>,
    /// Empty when only keys were asked for.
    pub(crate) value: Vec<u8>,
    /// The revision of its last write.
    pub(crate) revision: i64,
    /// The lease it hangs on; 0 for none.
    pub(crate) lease: i64,
}

/// All entries of a range at one revision.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) entries: Vec<Stored>,
    pub(crate) revision: i64,
}

/// A lease that was granted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
    pub(crate) id: i64,
    pub(crate) seconds: i64,
}

impl Transport {
    pub(crate) fn new(config: Config) -> Self {
        let config = Arc::new(config);
        // Handles of many processes spread over the members.
        let start = fastrand::usize(..config.endpoints.len());
        let line = || Line::new(config.clone(), start);
        Self { calls: line(), leases: line(), watches: line(), config }
    }

    /// Each endpoint's `host:port`.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.config.endpoints.clone()
    }

    /// Lets the lines for calls and leases connect anew, with credentials and certificates read anew (X1).
    pub(crate) fn start_afresh(&self) {
        self.calls.start_afresh();
        self.leases.start_afresh();
    }

    /// A new lease. etcd chooses its id.
    pub(crate) async fn grant(&self, seconds: i64) -> Result<Granted, Failure> {
        let answer = self
            .leases
            .call(Repeat::IfNotSent, |client, _| async move { client.lease_client().grant(seconds, None).await });
        answer.await.map(|answer| Granted { id: answer.id(), seconds: answer.ttl() })
    }

    /// Ends a lease, and removes what hangs on it. Whether it was there.
    pub(crate) async fn revoke(&self, lease: i64) -> Result<bool, Failure> {
        let answer =
            self.leases.call(Repeat::IfNotSent, |client, _| async move { client.lease_client().revoke(lease).await });
        match answer.await {
            Ok(_) => Ok(true),
            // It may have expired meanwhile.
            Err(failure) if failure.is_lease_not_found() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// One keep-alive round trip: on `open` if it is there and not broken, else on a new stream.
    pub(crate) async fn keep_alive(&self, lease: i64, open: Option<Box<KeepAlive>>) -> Result<Renewed, Failure> {
        if let Some(mut stream) = open {
            let number = stream.link;
            match self.leases.judged(number, "the lease stream", stream.round_trip()).await {
                Ok(true) => return Ok(Renewed::Alive(stream)),
                Ok(false) => return Ok(Renewed::Lost),
                Err(failure) if failure.speaks_against_endpoint() => {}
                Err(failure) => return Err(failure),
            }
        }
        self.leases.call(Repeat::Always, |client, link| KeepAlive::open(client, link, lease)).await
    }

    /// What stands under `keys` at one moment, in their order. Linearizable.
    pub(crate) async fn read(&self, keys: &[&str], what: What) -> Result<Vec<Option<Stored>>, Failure> {
        let options = match what {
            What::Everything => GetOptions::new(),
            What::NoValues => GetOptions::new().with_keys_only(),
        };
        let gets: Vec<_> = keys.iter().map(|key| TxnOp::get(*key, Some(options.clone()))).collect();
        let answer = self.calls.call(Repeat::Always, |client, _| {
            let txn = Txn::new().and_then(gets.clone());
            async move { client.kv_client().max_decoding_message_size(MAX_ANSWER).txn(txn).await }
        });
        answer.await.map(|answer| answer.op_responses().into_iter().map(first).collect())
    }

    /// Applies `changes` in one step, if everything stands as they expect and the fence does; else says what stands.
    pub(crate) async fn swap(&self, fence: Option<&Expected>, changes: &[Change]) -> Result<Swapped, Failure> {
        let answer = self.calls.call(Repeat::IfNotSent, |client, _| {
            let txn = swap::transaction(fence, changes);
            async move { client.kv_client().max_decoding_message_size(MAX_ANSWER).txn(txn).await }
        });
        answer.await.map(|answer| swap::outcome(fence.is_some(), &answer))
    }

    /// Whether we may read and write under `key`, found out without doing so: etcd looks at the permissions of a whole transaction, also of the branch that
    /// is not taken.
    pub(crate) async fn may_write(&self, key: &str) -> Result<bool, Failure> {
        let answer = self.calls.call(Repeat::Always, |client, _| {
            let never = Compare::version(key, CompareOp::Equal, -1);
            let txn = Txn::new().when([never]).and_then([TxnOp::put(key, Vec::new(), None)]);
            async move { client.kv_client().txn(txn).await }
        });
        match answer.await {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_not_permitted() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Writes an empty value, whatever stands there. Returns the revision of the write.
    pub(crate) async fn touch(&self, key: &str, lease: i64) -> Result<i64, Failure> {
        let answer = self.calls.call(Repeat::Always, |client, _| {
            let key = key.to_owned();
            let options = PutOptions::new().with_lease(lease);
            async move { client.kv_client().put(key, Vec::new(), Some(options)).await }
        });
        answer.await.map(|answer| answer.header().map_or(0, etcd_client::ResponseHeader::revision))
    }

    /// All entries whose keys begin with `folder`. Linearizable.
    pub(crate) async fn list(&self, folder: &str) -> Result<Listed, Failure> {
        let answer = self.calls.call(Repeat::Always, |client, _| {
            let folder = folder.to_owned();
            let options = GetOptions::new().with_prefix();
            async move { client.kv_client().max_decoding_message_size(MAX_ANSWER).get(folder, Some(options)).await }
        });
        let mut answer = answer.await?;
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        Ok(Listed { entries: answer.take_kvs().into_iter().map(Stored::from).collect(), revision })
    }

    /// Fails when we may not read the keys that begin with `folder` any more: the cheapest read that there is, answered by the member that the watches
    /// are on. Asks nothing when nobody could forbid it, as we present no identity.
    pub(crate) async fn check_readable(&self, folder: &str) -> Result<(), Failure> {
        if !self.config.presents_identity() {
            return Ok(());
        }
        let answer = self.watches.call(Repeat::IfNotSent, |client, _| {
            let folder = folder.to_owned();
            let options = GetOptions::new().with_prefix().with_limit(1).with_keys_only().with_serializable();
            async move { client.kv_client().get(folder, Some(options)).await }
        });
        answer.await.map(drop)
    }

    /// The changes of all keys that begin with `folder`, from now on. The watch stands when this returns.
    pub(crate) async fn watch(self: &Arc<Self>, folder: &str) -> Result<Changes, Failure> {
        let open = self.watches.call(Repeat::Always, |client, link| watch::open(client, link, folder.to_owned()));
        watch::armed(self.clone(), open.await?).await
    }
}

/// The entry that a read of one key found.
fn first(response: TxnOpResponse) -> Option<Stored> {
    match response {
        TxnOpResponse::Get(mut got) => got.take_kvs().into_iter().next().map(Stored::from),
        _ => None,
    }
}

/// What [`Transport::read`] asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Everything,
    NoValues,
}

impl From<KeyValue> for Stored {
    fn from(entry: KeyValue) -> Self {
        let (revision, lease) = (entry.mod_revision(), entry.lease());
        let (key, value) = entry.into_key_value();
        Self { key, value, revision, lease }
    }
}
