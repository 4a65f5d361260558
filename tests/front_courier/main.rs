//! The courier: what it fetches for the daemon, from whom, and how it gives up.

mod hostile;
mod lanes;
mod office;
#[path = "../support/mod.rs"]
mod support;
mod trust;
mod world;
