//! The store at the level of single operations, on a paused clock: one fact a test.

#[cfg(test)]
mod clients;
#[cfg(test)]
mod entries;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod views;
