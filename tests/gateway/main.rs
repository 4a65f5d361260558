//! The real binary on a gateway of its own: a network namespace per test, with lines made as the test needs them. Needs
//! the right to make namespaces; without it the tests fail, since a skipped test proves nothing.

mod access;
mod applied;
mod cause;
mod ledger;
mod place;
mod plan;
mod start;
mod without_nft;
