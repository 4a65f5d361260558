//! The edges of telemetry: lines to the journal, and what our own process costs, from `/proc`.

mod journal;
mod process;

pub use journal::{Journal, init_tracing};
pub use process::process;
