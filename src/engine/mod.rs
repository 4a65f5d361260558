//! The pure whole: events in, actions and facts out, time as an argument. No clock, no socket, no log, no randomness but
//! a seed. The daemon, the simulator and `causeway replay` run this same code.

pub mod action;
pub mod event;
