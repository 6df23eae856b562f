//! The store at the level of single operations, on a paused clock: one fact a test.

mod clients;
mod entries;
mod faults;
mod sessions;
mod views;
