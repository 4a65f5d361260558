//! Causeway: firmware for branch routers. It watches the internet lines, moves the branch to a backup line before anyone
//! notices, and proves what happened.
//!
//! Where things are: [`config`] (what is wanted), [`probe`] → [`health`] → [`policy`] → [`engine`] (pure decisions),
//! [`kernel`] and [`apply`] (what the kernel has, and how it becomes what is wanted), [`daemon`] (the loop that joins
//! them), [`control`] (the socket between the processes), [`front`] (what speaks to people and servers), [`cli`]; at head office, `office`.
//! Edges, the only files that touch sockets, files or clocks: `io.rs`, `netlink.rs`, `nft.rs`, `conntrack.rs`,
//! `store.rs`, `http.rs`; `tests/layering.rs` keeps it so.

pub mod apply;
pub mod backoff;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod engine;
pub mod fence;
pub mod front;
pub mod health;
pub mod inherited;
pub mod kernel;
#[cfg(feature = "lab")]
pub mod lab;
pub mod ledger;
#[cfg(feature = "office")]
pub mod office;
pub mod policy;
pub mod ports;
pub mod probe;
pub mod telemetry;
pub mod time;
mod tls;
pub mod trust;

/// The release, as people and metrics are told.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
