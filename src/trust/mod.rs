//! Who is believed, what is accepted, and how a change is tried and kept or undone. Pure.

pub mod bounded;
pub mod digest;
pub mod envelope;
pub mod keys;
