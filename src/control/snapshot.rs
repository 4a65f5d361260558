//! All that `/metrics` shows of the daemon: the status, and the counters since its start. `front` adds its own figures.
//!
//! About 4 KiB for two uplinks with three targets each; 64 uplinks with 16 targets each stay under
//! [`super::frame::REPLY_BYTES`].

use serde::{Deserialize, Serialize};

use super::status::Status;
use crate::telemetry::counts::Counts;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub status: Status,
    pub counts: Counts,
    pub process: Process,
}

/// What one of our processes costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    /// UTC seconds; 0 while the clock is not trusted.
    pub start_timestamp_seconds: f64,
    /// All fences that the process puts around itself are in force.
    pub sandboxed: bool,
}
