//! The edges of telemetry: lines to the journal, what our own process costs, what the box is and has left.

mod hardware;
mod journal;
mod process;
mod storage;

pub use hardware::hardware;
pub use journal::{Journal, init_tracing};
pub use process::process;
pub use storage::storage;
