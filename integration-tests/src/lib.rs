#![doc = include_str!("../README.md")]

pub mod memory;

/// The programs of the README, as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[derive(Debug)]
pub struct Readme;

/// The programs of core's README, as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../registry-core/README.md")]
#[derive(Debug)]
pub struct CoreReadme;
