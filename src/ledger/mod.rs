//! What happened to the lines, kept so that it can be proved: one line of text a record, each with a hash over itself and
//! the one before. Pure but for [`store`].
//!
//! [`scribe`] makes records of the engine's facts, [`record`] and [`chain`] say how they stand on disk, [`timeline`] folds
//! them into time in each state, [`account`] keeps the sums for `/metrics`, [`outages`] and [`report`] read them for people.
//! `docs/ledger.md` has the format.

pub mod account;
pub mod chain;
pub mod checkpoint;
pub mod clock;

pub mod evidence;
pub mod hours;
pub mod outages;
pub mod record;
pub mod report;

pub mod scribe;
pub mod store;

mod tar;
pub mod timeline;
pub mod words;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod month_tests;
