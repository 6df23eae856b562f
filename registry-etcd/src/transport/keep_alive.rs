//! The stream on which a lease is kept alive.

use std::fmt;

use etcd_client::{Client, Error, LeaseKeepAliveStream, LeaseKeeper};

/// An open keep-alive stream of one lease.
pub(crate) struct KeepAlive {
    keeper: LeaseKeeper,
    answers: LeaseKeepAliveStream,
    pub(super) link: u64,
}

/// What a keep-alive found.
#[derive(Debug)]
pub(crate) enum Renewed {
    /// The lease has its full TTL again.
    Alive(Box<KeepAlive>),
    /// etcd does not know the lease.
    Lost,
}

impl KeepAlive {
    /// Opens a stream, which is one round trip.
    pub(super) async fn open(client: Client, link: u64, lease: i64) -> Result<Renewed, Error> {
        match client.lease_client().keep_alive(lease).await {
            Ok((keeper, answers)) => Ok(Renewed::Alive(Box::new(Self { keeper, answers, link }))),
            Err(Error::LeaseKeepAliveError(text)) if text == "lease not found" => Ok(Renewed::Lost),
            Err(error) => Err(error),
        }
    }

    /// One round trip on the stream. Whether the lease lives.
    pub(super) async fn round_trip(&mut self) -> Result<bool, Error> {
        self.keeper.keep_alive().await?;
        match self.answers.message().await? {
            Some(answer) => Ok(answer.ttl() > 0),
            None => Err(Error::LeaseKeepAliveError("the stream ended".into())),
        }
    }
}

impl fmt::Debug for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepAlive").field("link", &self.link).finish_non_exhaustive()
    }
}
