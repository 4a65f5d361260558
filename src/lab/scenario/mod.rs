//! Scenario files: uplinks and traffic, then steps. A step may wait for a condition, does one thing to the branch, and
//! says what must be true of the time until the next step. [`file`] is what is written, [`faults`] does things to the
//! branch, [`expect`] judges, [`run`] goes through it.

pub mod expect;
pub mod faults;
pub mod file;
pub mod run;
