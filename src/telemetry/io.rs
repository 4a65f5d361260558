//! The edges of telemetry: lines to the journal, what our own process costs, and what the box has left.

mod hardware;
mod journal;
mod process;

pub use hardware::hardware;
pub use journal::{Journal, init_tracing};
pub use process::process;
