//! What the machine writes down. `keep.good` is the boot default in every state: whatever else stands here, that is what
//! a box runs after a power cut.

use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::reason::{Reason, Verdict};
use super::{Class, StateName};
use crate::trust::digest::Digest;
use crate::trust::document::{Assignment, Flags, Nonce, Seconds, Standard, Turn};
use crate::trust::floors::{BootId, Floors};
use crate::trust::verify::Complete;

/// Of files that were applied here. Head office counts its epochs from 1.
pub const LOCAL_EPOCH: u32 = 0;

/// A config, by what it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Config {
    /// SHA-256 of the assignment document; with the next two it finds the blobs.
    pub assignment: Digest,
    pub standard: Digest,
    pub site: Digest,
    /// What it resolves to. Two configs of one content have the same.
    pub resolved: Digest,
    pub assigned: Turn,
    pub released: Turn,
    /// When the standard was made, as the release key says.
    pub created_at: Seconds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Candidate {
    pub config: Config,
    /// Skips waits, never the trial.
    pub expedite: bool,
    /// From a local file: somebody has to confirm it as well.
    pub operator: bool,
    /// Known once it is checked.
    pub timers: Timers,
}

/// Of section `apply`, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Timers {
    pub soft: u32,
    pub hard: u32,
    pub soak: u32,
}

impl Default for Timers {
    /// 90 s: a fibre modem trains in less. 15 min: what a person waits before calling. 30 min: DHCP renews at least once.
    fn default() -> Self {
        Self { soft: 90, hard: 900, soak: 1_800 }
    }
}

/// The state as it is written; timers begin anew after a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Saved {
    Idle {
        retry: Option<Candidate>,
    },
    /// Also stands for Ready: after a power cut a new baseline is taken. `waited`: seconds of deferral so far.
    Fetched {
        candidate: Candidate,
        waited: u32,
    },
    Applying {
        candidate: Candidate,
    },
    Trial {
        candidate: Candidate,
    },
    /// `keep.good` is the candidate, `keep.previous` what to go back to. `boots`: reboots since it was confirmed.
    Soak {
        candidate: Candidate,
        boots: u8,
    },
    /// `keep.good` is where it goes.
    RollingBack {
        candidate: Candidate,
        reason: Reason,
    },
    Quarantine {
        candidate: Candidate,
        reason: Reason,
        verdict: Option<Verdict>,
    },
    /// Reserved. `left`: seconds until it ends.
    Override {
        overlay: Digest,
        left: u32,
    },
}

/// What is kept beside the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// The boot in which this was written.
    pub boot: BootId,
    /// `None`: the image's safe config.
    pub good: Option<Config>,
    /// What ran before `good`.
    pub previous: Option<Config>,
    /// A newer assignment that waits until the machine is free.
    pub next: Option<Candidate>,
    /// How often the candidate was applied without coming to an end.
    pub attempts: u8,
    /// How often an external failure sent it back.
    pub retries: u8,
    pub last: Option<LastReturn>,
    pub evidence: Evidence,
    pub floors: Floors,
    /// The current root document.
    pub root: Option<Digest>,
    /// Named by an order to this device; changed after each.
    pub order_nonce: Nonce,
}

/// How the last change that was not kept ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LastReturn {
    pub resolved: Digest,
    pub released: Turn,
    pub reason: Reason,
    pub verdict: Option<Verdict>,
}

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub state: Saved,
    pub keep: Keep,
}

impl Config {
    pub fn of(assignment: &Assignment, digest: Digest, standard: &Standard) -> Self {
        Self {
            assignment: digest,
            standard: assignment.standard.digest,
            site: assignment.site.digest,
            resolved: assignment.resolved,
            assigned: assignment.turn,
            released: standard.turn,
            created_at: standard.created_at,
        }
    }

    /// A file that somebody applied on the gateway itself: one blob, which nobody signed. `number` counts them there.
    pub fn local(text: Digest, number: u64) -> Self {
        Self {
            assignment: text,
            standard: text,
            site: text,
            resolved: text,
            assigned: Turn::default(),
            released: Turn::new(LOCAL_EPOCH, number),
            created_at: Seconds::default(),
        }
    }

    /// What head office signs are three documents, and so three digests.
    pub fn is_local(&self) -> bool {
        self.assignment == self.standard
    }

    pub fn blobs(&self) -> [Digest; 3] {
        [self.assignment, self.standard, self.site]
    }
}

impl From<&Complete> for Candidate {
    fn from(complete: &Complete) -> Self {
        let assignment = &complete.assignment.document;
        Self {
            config: Config::of(assignment, complete.assignment.digest, &complete.standard),
            expedite: assignment.flags.contains(Flags::EXPEDITE),
            operator: false,
            timers: Timers::default(),
        }
    }
}

impl Saved {
    pub fn candidate(&self) -> Option<&Candidate> {
        match self {
            Self::Idle { retry } => retry.as_ref(),
            Self::Fetched { candidate, .. }
            | Self::Applying { candidate }
            | Self::Trial { candidate }
            | Self::Soak { candidate, .. }
            | Self::RollingBack { candidate, .. }
            | Self::Quarantine { candidate, .. } => Some(candidate),
            Self::Override { .. } => None,
        }
    }

    pub fn name(&self) -> StateName {
        match self {
            Self::Idle { .. } => StateName::Idle,
            Self::Fetched { .. } => StateName::Fetched,
            Self::Applying { .. } => StateName::Applying,
            Self::Trial { .. } => StateName::Trial,
            Self::Soak { .. } => StateName::Soak,
            Self::RollingBack { .. } => StateName::RollingBack,
            Self::Quarantine { .. } => StateName::Quarantine,
            Self::Override { .. } => StateName::Override,
        }
    }
}

impl Record {
    /// All blobs that this entry needs; others may be removed.
    pub fn blobs(&self) -> Vec<Digest> {
        let configs = self.keep.good.iter().chain(&self.keep.previous);
        let candidates = self.state.candidate().into_iter().chain(&self.keep.next).map(|candidate| &candidate.config);
        let mut digests: Vec<Digest> = configs.chain(candidates).flat_map(Config::blobs).collect();
        digests.extend(self.keep.root);
        digests.sort_unstable();
        digests.dedup();
        digests
    }
}

impl Keep {
    pub fn new(floors: Floors, boot: BootId) -> Self {
        Self {
            boot,
            good: None,
            previous: None,
            next: None,
            attempts: 0,
            retries: 0,
            last: None,
            evidence: Evidence::default(),
            floors,
            root: None,
            order_nonce: [0; 16],
        }
    }
}

impl LastReturn {
    pub fn class(&self) -> Class {
        self.reason.class()
    }
}
