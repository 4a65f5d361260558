//! The gateway's config: TOML as written (`raw`) becomes a [`model`] that cannot hold a bad value. Pure: the text comes
//! in as a string. Start reading at [`parse`] and [`model::Gateway`].

mod fault;
pub mod model;
mod raw;

pub use fault::{Fault, Faults, Kind};
