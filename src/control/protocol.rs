//! What may be asked over the control socket, and what comes back. Names are sent, not numbers: a client may hold an
//! older config than the daemon.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::errand::{Errand, HOLD_MS, Lane, Part};
use super::keeping::ConfigState;
use super::snapshot::Snapshot;
use super::status::{ConfigStatus, Status};
use crate::config::Branch;
use crate::telemetry::events::EventLine;

/// A file that is applied travels in one frame. A gateway that stands alone needs a few KiB; this is a thousand rules.
pub const CONFIG_BYTES: usize = 60 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Answered with [`Reply::Status`]; `status`, `why` and `watch` are drawn from it.
    Status,
    /// Answered with [`Reply::Snapshot`]: the status and the counters, for `/metrics`.
    Snapshot,
    /// Answered with [`Reply::Events`]: what is kept of the last `since_ms`; with `follow` more of them as they happen.
    Events {
        since_ms: Option<u64>,
        follow: bool,
    },
    /// Answered with [`Reply::Config`].
    ConfigInfo,
    /// Answered with [`Reply::Version`].
    Version,
    /// Prefer this uplink, until told otherwise or for a time.
    Use {
        uplink: String,
        for_ms: Option<u64>,
    },
    UseAutomatic,
    Lock,
    Unlock,
    /// Answered when the drill has begun or was refused; how it went is an event.
    Drill {
        uplink: String,
    },
    /// Answered with [`Reply::ConfigState`]; `config why` and `config history` are drawn from it.
    ConfigState,
    /// Answered with [`Reply::InForce`]: what `config show` and `config diff` compare with.
    ConfigShow,
    /// Try this file, of a gateway that stands alone: whole, as text of at most [`CONFIG_BYTES`]. Unless it is
    /// `unattended`, somebody has to confirm it.
    ConfigApply {
        text: String,
        unattended: bool,
    },
    /// Keep the config that is on trial.
    ConfigConfirm,
    /// Back to the config from before.
    ConfigRollBack,
    /// Try what was put off, or was undone.
    ConfigRetry,
    /// From `front`: the next errand of this lane. Answered with [`Reply::Errand`] once there is one, or without one after
    /// [`super::errand::HOLD_MS`].
    Errand {
        lane: Lane,
    },
    /// From `front`: a part of what came of an errand.
    Deliver {
        id: u64,
        part: Part,
    },
    /// Answered with [`Reply::Ledger`]: a part of the ledger's file that begins at or behind record `segment`, from this
    /// byte on; 0 and 0 is its beginning.
    Ledger {
        segment: u64,
        offset: u64,
    },
}

/// A deed of a person: what a [`Request`] that changes something asks for. Label `action` of
/// `causeway_audit_events_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Use,
    UseAutomatic,
    Lock,
    Unlock,
    Drill,
    ConfigApply,
    ConfigConfirm,
    ConfigRollBack,
    ConfigRetry,
}

impl Action {
    pub const ALL: [Self; 9] = [
        Self::Use,
        Self::UseAutomatic,
        Self::Lock,
        Self::Unlock,
        Self::Drill,
        Self::ConfigApply,
        Self::ConfigConfirm,
        Self::ConfigRollBack,
        Self::ConfigRetry,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Use => "use",
            Self::UseAutomatic => "use_auto",
            Self::Lock => "lock",
            Self::Unlock => "unlock",
            Self::Drill => "drill",
            Self::ConfigApply => "config_apply",
            Self::ConfigConfirm => "config_confirm",
            Self::ConfigRollBack => "config_rollback",
            Self::ConfigRetry => "config_retry",
        }
    }
}

impl Request {
    /// Only root and members of `control.group` may ask for a change.
    pub fn changes(&self) -> bool {
        self.action().is_some()
    }

    /// What it changes, if it does.
    pub fn action(&self) -> Option<Action> {
        match self {
            Self::Use { .. } => Some(Action::Use),
            Self::UseAutomatic => Some(Action::UseAutomatic),
            Self::Lock => Some(Action::Lock),
            Self::Unlock => Some(Action::Unlock),
            Self::Drill { .. } => Some(Action::Drill),
            Self::ConfigApply { .. } => Some(Action::ConfigApply),
            Self::ConfigConfirm => Some(Action::ConfigConfirm),
            Self::ConfigRollBack => Some(Action::ConfigRollBack),
            Self::ConfigRetry => Some(Action::ConfigRetry),
            // What is delivered is verified, whoever brings it.
            Self::Status
            | Self::Snapshot
            | Self::Events { .. }
            | Self::ConfigInfo
            | Self::ConfigState
            | Self::ConfigShow
            | Self::Version
            | Self::Errand { .. }
            | Self::Deliver { .. }
            | Self::Ledger { .. } => None,
        }
    }

    /// How long the daemon may keep the question to itself, on top of what any answer takes.
    pub fn held_for(&self) -> Duration {
        match self {
            Self::Errand { .. } => Duration::from_millis(u64::from(HOLD_MS)),
            Self::Status
            | Self::Snapshot
            | Self::Events { .. }
            | Self::ConfigInfo
            | Self::Version
            | Self::Use { .. }
            | Self::UseAutomatic
            | Self::Lock
            | Self::Unlock
            | Self::Drill { .. }
            | Self::ConfigState
            | Self::ConfigShow
            | Self::ConfigApply { .. }
            | Self::ConfigConfirm
            | Self::ConfigRollBack
            | Self::ConfigRetry
            | Self::Deliver { .. }
            | Self::Ledger { .. } => Duration::ZERO,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    Status(Box<Status>),
    Snapshot(Box<Snapshot>),
    Events(Vec<EventLine>),
    Config(ConfigStatus),
    Version(String),
    ConfigState(Box<ConfigState>),
    /// The config that runs, with all its values.
    InForce(Box<Branch>),
    /// `None`: nothing to do so far; ask again. The connection may then be silent for as long as the errand may take; its
    /// end tells either side that the other one is gone.
    Errand(Option<Box<Errand>>),
    /// A change was made; the sentence says what it means.
    Done(String),
    Refused(Refusal),
    /// `None`: there is no such part, so that was all.
    Ledger(Option<Box<LedgerPart>>),
}

/// Bytes of the ledger as they are on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerPart {
    /// The boot that runs, and its monotonic clock now, in milliseconds.
    pub boot: u128,
    pub mono: u64,
    /// Which file: the number of its first record.
    pub segment: u64,
    pub bytes: Vec<u8>,
    /// Segment and offset of what follows.
    pub next: Option<(u64, u64)>,
}

/// Why a request was not carried out, in words for the person who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub kind: RefusalKind,
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Refusal {
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Decides the exit code of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalKind {
    /// The caller may not change things.
    NotPermitted,
    /// The same request can succeed later: a drill while the backup is down, too many connections.
    NotNow,
    /// No uplink of that name.
    NotFound,
    /// The two ends are of different releases.
    Version,
    Failed,
}
