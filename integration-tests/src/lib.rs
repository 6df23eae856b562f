//! x
mod bench;
mod eventually;
mod proxy;
pub use self::bench::BenchError;
pub use self::eventually::{eventually, never};
pub use self::proxy::{Counts, Direction, Fault, FaultProxy};
