//! Health of one uplink and family: outcomes, link facts and counters go in, a [`State`] with its [`Evidence`] comes out.
//! Pure. Start reading at [`line::Line`].

pub mod deficit;
pub mod flaps;
pub mod line;
pub mod local;
pub mod passive;
mod probing;
pub mod quality;
pub mod sequential;
mod settle;
pub mod target;
mod verdict;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::model::TargetId;
use crate::probe::{Cookie, Outcome};
use crate::time::Instant;

/// Names as in `causeway_uplink_state{state}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Out of use by config.
    Disabled,
    /// Not yet asked. Used only if nothing better exists.
    Unknown,
    Up,
    /// Works, but too lossy, slow or unsteady.
    Degraded,
    /// A reply is overdue or traffic gets no answer: a burst is under way.
    Suspect,
    Down,
    /// Answers again, not yet for long enough.
    Probation,
}

impl State {
    pub const ALL: [Self; 7] =
        [Self::Up, Self::Degraded, Self::Suspect, Self::Down, Self::Probation, Self::Unknown, Self::Disabled];

    pub fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Probation => "probation",
        }
    }
}

/// Where it broke. Names as in `causeway_uplink_outages_total{cause}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// No signal on the cable, or no device.
    Cable,
    /// Cable in, address kept, but the gateway itself does not answer.
    Modem,
    Address,
    Gateway,
    /// The gateway answers, nothing beyond does.
    Path,
    Dns,
    Tcp,
    Portal,
}

impl Cause {
    pub const ALL: [Self; 8] =
        [Self::Cable, Self::Modem, Self::Address, Self::Gateway, Self::Path, Self::Dns, Self::Tcp, Self::Portal];

    pub fn name(self) -> &'static str {
        match self {
            Self::Cable => "cable",
            Self::Modem => "modem",
            Self::Address => "address",
            Self::Gateway => "gateway",
            Self::Path => "path",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Portal => "portal",
        }
    }
}

/// How an uplink is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing comes back.
    Silent,
    /// So much is lost that nobody can work (brown-out).
    Loss,
    /// Answers come, but not from the internet (portal, hijacked DNS).
    Wrong,
    /// Carrier, address or gateway are gone.
    Local,
}

/// What a line tells its engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    Transition {
        from: State,
        to: State,
        evidence: Box<Evidence>,
    },
    Settled {
        target: TargetId,
        outcome: Outcome,
    },
    /// The same state, but worse: paths must be decided again.
    Reassess,
    /// A suspicion came to an end.
    Suspicion {
        confirmed: bool,
    },
    OutageOpened {
        since: Instant,
        cause: Cause,
    },
    OutageClosed {
        since: Instant,
        until: Instant,
        cause: Cause,
        flaps: u32,
    },
}

/// Probes to send and notes, collected while a line handles one input.
#[derive(Debug, Default)]
pub struct Output {
    pub probes: Vec<(TargetId, u32, Cookie)>,
    pub notes: Vec<Note>,
}

impl Output {
    pub fn is_empty(&self) -> bool {
        self.probes.is_empty() && self.notes.is_empty()
    }
}

/// What was seen when the state changed; `why`, the ledger and the journal say it in words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub verdict: Option<Verdict>,
    pub cause: Option<Cause>,
    /// Since the last proof of life.
    pub silent_for: Option<Duration>,
    pub silence_limit: Option<Duration>,
    pub unanswered: u32,
    pub silent_targets: Vec<TargetId>,
    pub targets: u32,
    /// Targets left out because they are in ill repute.
    pub suspect_targets: Vec<TargetId>,
    pub carrier: bool,
    pub address: bool,
    pub gateway: bool,
    pub gateway_answers: Option<bool>,
    pub loss: Option<f32>,
    pub rtt: Option<Duration>,
    pub jitter: Option<Duration>,
    /// Packets that left while nothing came in (passive trigger).
    pub sent_unanswered: u64,
    /// Probes answered out of probes settled in the last burst.
    pub burst: Option<(u32, u32)>,
    /// Probation that is now due before `up`.
    pub recover_after: Option<Duration>,
}
