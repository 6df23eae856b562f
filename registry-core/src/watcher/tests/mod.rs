//! One fact each, in paused time, against a scripted store.

mod holding;
mod life;
mod resolving;
mod script;
mod set;
