//! The metric catalogue and the log events: one table each, used by code, docs and tests. Pure but for [`io`].
//!
//! The engine's facts go two ways: [`counts`] folds them into figures, [`narrator`] tells them in sentences.

pub mod catalogue;
pub mod counts;
pub mod events;
pub mod histogram;
pub mod io;
pub mod limit;
pub mod narrator;
pub mod recent;
pub mod runbooks;
pub(crate) mod words;

#[cfg(test)]
pub(crate) mod fixture;
