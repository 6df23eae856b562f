//! What happens in a round: a function of the seed and the round's number.

use std::time::Duration;

use fastrand::Rng;
use integration_tests::Direction;
use registry_core::Info;

/// Handles 0 and 1 are owners, the others watchers.
pub(crate) const OWNERS: usize = 2;
/// How many handles there are.
pub(crate) const HANDLES: usize = 4;
/// Ports that both owners register: who comes last takes over.
pub(crate) const SHARED: [u16; 2] = [91, 92];

/// One round.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) fault: Fault,
    /// How long it lasts.
    pub(crate) lasts: Duration,
    /// What each owner calls meanwhile, one after the other.
    pub(crate) calls: [Vec<Call>; OWNERS],
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Bytes vanish on the link of a handle: both ways a cut, to the client lost replies.
    Lose(usize, Direction),
    Reset(usize),
    Latency(usize, Duration),
    KillAndRestart,
    KillAndRestartEmpty,
    FreezeBeyondTtl,
    /// The link of a handle is cut; meanwhile etcd forgets what changed.
    CutAndCompact(usize),
    RevokeLease(usize),
    WipeEntries,
    ForeignPut(u16),
    ForeignDelete(u16),
}

/// A call of an owner, after a pause.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) pause: Duration,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// A new registration, an update or a takeover.
    Register(Info),
    Deregister(Info),
}

impl Plan {
    pub(crate) fn new(seed: u64, round: u64) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(round));
        let fault = Fault::random(&mut rng);
        let lasts = match fault {
            Fault::FreezeBeyondTtl => Duration::from_millis(rng.u64(2500..4000)),
            _ => Duration::from_millis(rng.u64(300..3500)),
        };
        let calls = [0, 1].map(|owner| (0..rng.usize(2..5)).map(|_| Call::random(&mut rng, owner)).collect());
        Self { fault, lasts, calls }
    }
}

impl Fault {
    fn random(rng: &mut Rng) -> Self {
        let handle = rng.usize(..HANDLES);
        let owner = rng.usize(..OWNERS);
        let port = port(rng, owner);
        match rng.u8(..12) {
            0 => Self::Lose(handle, Direction::Both),
            1 => Self::Lose(handle, Direction::ToClient),
            2 => Self::Reset(handle),
            3 => Self::Latency(handle, Duration::from_millis(rng.u64(50..400))),
            4 => Self::KillAndRestart,
            5 => Self::FreezeBeyondTtl,
            6 => Self::RevokeLease(owner),
            7 => Self::WipeEntries,
            8 => Self::ForeignPut(port),
            9 => Self::KillAndRestartEmpty,
            10 => Self::CutAndCompact(handle),
            _ => Self::ForeignDelete(port),
        }
    }

    /// Whether it can end the entry of this address, which `owner` holds or registers while it lasts, or that owner's lease. Who holds the address
    /// afterwards is then a matter of who was quicker.
    pub(crate) fn can_unseat(self, owner: usize, address: &str) -> bool {
        match self {
            Self::Lose(handle, _) | Self::Reset(handle) | Self::Latency(handle, _) | Self::CutAndCompact(handle) => {
                handle == owner
            }
            Self::RevokeLease(other) => other == owner,
            Self::KillAndRestart | Self::KillAndRestartEmpty | Self::FreezeBeyondTtl | Self::WipeEntries => true,
            Self::ForeignPut(port) | Self::ForeignDelete(port) => info(port, 1).address().as_str() == address,
        }
    }
}

impl Call {
    fn random(rng: &mut Rng, owner: usize) -> Self {
        let pause = Duration::from_millis(rng.u64(..500));
        let port = port(rng, owner);
        let info = info(port, rng.u32(1..1000));
        Self { pause, what: if rng.u8(..4) == 0 { What::Deregister(info) } else { What::Register(info) } }
    }
}

/// A port of the owner's own, or one of those that both use.
fn port(rng: &mut Rng, owner: usize) -> u16 {
    match rng.usize(..5) {
        number @ (0 | 1) => SHARED[number],
        number => own_port(owner, number),
    }
}

/// The ports that only this owner registers have the numbers 1 to 4; the rounds' own change is on the first.
pub(crate) fn own_port(owner: usize, number: usize) -> u16 {
    [[11, 12, 13, 14], [21, 22, 23, 24]][owner][number - 1]
}

/// An instance whose fields are all derived from port and weight.
pub(crate) fn info(port: u16, weight: u32) -> Info {
    let info = Info::builder("demo").address(format!("10.0.0.1:{port}")).weight(weight);
    info.tag("zone", format!("z{weight}")).build().expect("invariant: port and weight are valid")
}
