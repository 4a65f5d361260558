//! All that `/metrics` shows of the daemon: the status, and the counters since its start. `front` adds its own figures.
//!
//! About 4 KiB for two uplinks with three targets each; 64 uplinks with 16 targets each stay under
//! [`super::frame::REPLY_BYTES`].

use serde::{Deserialize, Serialize};

use super::status::Status;
use crate::ledger::account::{InternetTimes, LineTimes};
use crate::telemetry::counts::Counts;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub status: Status,
    pub counts: Counts,
    pub process: Process,
    pub ledger: LedgerFigures,
    pub hardware: Hardware,
    pub config: ConfigFigures,
}

/// What the ledger says in figures. Milliseconds by state and by open, closed, unknown hours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LedgerFigures {
    /// In the order of the config.
    pub lines: Vec<LineTimes>,
    pub internet: InternetTimes,
    /// By [`BOOTS`](crate::ledger::account::BOOTS).
    pub boots: [u64; 6],
    /// Of the newest record that is on disk.
    pub seq: u64,
    /// Records that head office has no receipt for.
    pub unsent: u64,
    pub stalled: bool,
    /// Write, torn, broken, pruned: since the daemon started.
    pub errors: [u64; 4],
}

/// What became of changes of the config since the daemon started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFigures {
    /// Number of head office's standard that is in force; absent: a file of the gateway's own.
    pub standard: Option<u64>,
    pub in_trial: bool,
    /// By [`FETCHES`].
    pub fetches: [u64; 4],
    /// By the names of [`Class`](crate::trust::machine::Class) that undo something.
    pub rollbacks: [u64; 6],
    /// When head office last proved that this config is current: UTC seconds; 0: not yet, or the clock was not trusted.
    pub last_fetch: u64,
    /// Things that somebody changed on this gateway and that are not put right.
    pub drift: u64,
}

/// `result` of `causeway_config_fetches_total`.
pub const FETCHES: [&str; 4] = ["ok", "unchanged", "refused", "failed"];

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

/// What the box is and has left. What cannot be read is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hardware {
    pub memory_available_bytes: Option<u64>,
    /// Of its hottest sensor.
    pub temperature_celsius: Option<f64>,
    /// Used of what the maker says the flash can take; 1: all of it.
    pub storage_wear_ratio: Option<f64>,
    /// Absent where another system runs than our image.
    pub firmware: Option<Firmware>,
}

/// The image that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firmware {
    pub version: String,
    pub slot: Slot,
}

/// Of the two places for an image on the disk, by their order there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slot {
    A,
    B,
}

impl Slot {
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    pub fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

/// How full the partition is that holds all that lasts: ledger, journal, log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// What is used and what we could still use: without what is kept for root.
    pub size_bytes: u64,
    pub used_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::frame::{Frame, REPLY_BYTES, encode};
    use crate::control::protocol::Reply;

    /// The canned branch, made as large as this, with every counter large.
    fn bytes(uplinks: usize, targets: usize) -> usize {
        let text = include_str!("../../tests/canned/backup.json");
        let mut status: Status = serde_json::from_str(text).expect("it fits the types");
        let mut uplink = status.uplinks[0].clone();
        let mut target = uplink.families[0].targets[0].clone();
        target.label = format!("https://status.a-provider-with-a-long-name.example/{}", "x".repeat(20));
        uplink.families[0].targets = vec![target; targets];
        status.uplinks = vec![uplink; uplinks];
        let mut counts = Counts::sized(vec![targets; uplinks]);
        for target in counts.uplinks.iter_mut().flat_map(|uplink| &mut uplink.targets) {
            target.outcomes = [1 << 32; 8];
        }
        let ledger = LedgerFigures { lines: vec![[[1 << 34; 3]; 7]; uplinks], ..LedgerFigures::default() };
        let (process, hardware, config) = Default::default();
        let body = Reply::Snapshot(Box::new(Snapshot { status, counts, process, ledger, hardware, config }));
        encode(&Frame { id: 1, body }, REPLY_BYTES).expect("it stays under the cap").len()
    }

    #[test]
    fn two_uplinks_are_small_and_the_largest_config_fits() {
        assert!(bytes(2, 3) < 6 << 10, "{}", bytes(2, 3));
        assert!(bytes(8, 16) < 64 << 10, "{}", bytes(8, 16));
        assert!(bytes(64, 16) < REPLY_BYTES / 2, "{}", bytes(64, 16));
    }
}
