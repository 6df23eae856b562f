//! What a store can keep of the contract.

use std::time::Duration;

/// What a store can keep of the contract, and how it wants to be driven.
///
/// What is not offered says why: the conformance report shows it, and no case is skipped silently.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// A takeover is one atomic write: no reader sees a moment without the identity (R7).
    pub gap_free_takeover: Support,
    /// A removal is conditional on its owner in one atomic step (R6).
    pub atomic_withdrawal: Support,
    /// A put is conditional on what stands there in one atomic step, so that a late one cannot overwrite a successor (R6).
    pub conditional_writes: Support,
    /// Writes whose outcome is unknown can be stopped from taking effect later (R8): by [`Session::fence`](super::Session::fence), and by the end or loss
    /// of their session, after which none of them takes effect any more.
    pub write_fencing: Support,
    /// `resolve` reads linearizably (R1, D1).
    pub linearizable_resolve: Support,
    /// Addresses on the network `unix` can be registered (D2).
    pub unix_addresses: Support,
    /// Dropping the last watch ends it at the store at once (W5).
    pub watch_end: Support,
    /// What is renewed.
    pub renewal: Renewal,
    /// Whether ending the session withdraws every entry that hangs on it.
    pub end_withdraws: bool,
    /// How long core waits for a removed entry to come back before it reports the removal (W4); at most 500 ms.
    pub settle: Duration,
    /// How long the store itself may go on calling instances dead that are there again: the default of
    /// [`HandleOptions::removal_grace`](crate::HandleOptions::removal_grace) is no shorter (W4). Zero where the store judges no health.
    pub least_grace: Duration,
    /// How many entries go into one put, remove or inspect.
    pub max_batch: usize,
    /// How many such batches run at once.
    pub max_in_flight: usize,
}

/// What has to be renewed to stay alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// One lease or session for all entries.
    Session,
    /// Each entry by itself.
    Entry,
}

/// Whether a capability is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// It is.
    Offered,
    /// It is not, for this reason.
    NotOffered(&'static str),
}

impl Support {
    /// Whether it is offered.
    pub fn is_offered(&self) -> bool {
        *self == Self::Offered
    }
}

impl Default for Capabilities {
    /// Everything offered, renewed by session, no settle time nor grace of its own, batches of 128 with 4 in flight.
    fn default() -> Self {
        Self {
            gap_free_takeover: Support::Offered,
            atomic_withdrawal: Support::Offered,
            conditional_writes: Support::Offered,
            write_fencing: Support::Offered,
            linearizable_resolve: Support::Offered,
            unix_addresses: Support::Offered,
            watch_end: Support::Offered,
            renewal: Renewal::Session,
            end_withdraws: true,
            settle: Duration::ZERO,
            least_grace: Duration::ZERO,
            max_batch: 128,
            max_in_flight: 4,
        }
    }
}

impl Capabilities {
    /// The capabilities by name, in the order of the report.
    pub fn listed(&self) -> [(&'static str, &Support); 7] {
        [
            ("gap-free takeover", &self.gap_free_takeover),
            ("atomic withdrawal", &self.atomic_withdrawal),
            ("conditional writes", &self.conditional_writes),
            ("write fencing", &self.write_fencing),
            ("linearizable resolve", &self.linearizable_resolve),
            ("unix addresses", &self.unix_addresses),
            ("ending a watch at the store", &self.watch_end),
        ]
    }
}
