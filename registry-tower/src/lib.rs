#![doc = include_str!("../README.md")]

mod discovery;

#[cfg(feature = "tonic")]
mod channel;

#[cfg(feature = "tonic")]
pub use self::channel::Channel;
pub use self::discovery::Discovery;
