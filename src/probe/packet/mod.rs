//! Probe packets as bytes: what is sent is built here, what comes back is read here. Pure, without a socket and without
//! a panic on any input. Start reading at [`echo`]; [`dns`] is the only other format we speak ourselves.

pub mod dns;
pub mod echo;
