//! Which config this branch runs, which one head office wants, and what became of the last change.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::Moment;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigState {
    /// Absent: no head office.
    pub office: Option<OfficeState>,
    /// `idle`, `fetched`, `ready`, `applying`, `trial`, `soak`, `rolling_back`, `quarantine` or `override`.
    pub state: String,
    /// Seconds until what is on trial is undone, unless somebody confirms it. Absent: nobody needs to.
    pub confirm_within_s: Option<u64>,
    /// In force now. Absent: the file that the daemon was started with.
    pub running: Option<Released>,
    /// The newest that head office wants here.
    pub wanted: Option<Released>,
    /// What a way back leads to.
    pub previous: Option<Released>,
    /// The last change that was not kept.
    pub last: Option<Returned>,
    /// Of the running or last trial.
    pub evidence: Vec<WitnessState>,
    /// Of the running or last trial: how many of `apply.must_work` worked.
    pub checks: ChecksState,
    /// What somebody changed on this gateway and is not put right, in words.
    pub drift: Vec<String>,
    /// Why the last document from head office was not believed, in words.
    pub refused: Option<String>,
    /// Newest last.
    pub history: Vec<Past>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OfficeState {
    pub tenant: String,
    pub site: String,
    /// `asking`, `waiting` for a person there, or `accepted`.
    pub admission: String,
    pub addresses: Vec<String>,
    pub root_version: Option<u32>,
    /// Since head office last proved that this config is current.
    pub proved_ago_ms: u64,
    /// It has been silent for a day.
    pub stale: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Released {
    /// 0: a file that was applied on the gateway itself.
    pub epoch: u32,
    /// Of the standard; or the how manieth such file.
    pub seq: u64,
    /// First 12 hex digits of what it resolves to.
    pub digest: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Returned {
    pub epoch: u32,
    pub seq: u64,
    /// A code that never changes its meaning, such as `no_path_proof_on_uplink`.
    pub reason: String,
    /// `config`, `external` or `withdrawn`; absent until it is known.
    pub verdict: Option<String>,
    pub tried_seconds: u32,
}

/// One uplink before the change, in the trial and after the return.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WitnessState {
    pub uplink: String,
    pub before: Seen,
    pub trial: Seen,
    pub after: Seen,
}

/// Absent: not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChecksState {
    pub before: Option<u32>,
    pub trial: Option<u32>,
    pub after: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Seen {
    /// The config had this uplink and it was measured.
    pub present: bool,
    /// A responder of head office answered through it.
    pub proved: bool,
    pub targets: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Past {
    pub at: Moment,
    pub from: String,
    pub to: String,
    /// 0: a file that was applied on the gateway itself.
    pub epoch: Option<u32>,
    pub seq: Option<u64>,
    pub reason: Option<String>,
    pub verdict: Option<String>,
}
