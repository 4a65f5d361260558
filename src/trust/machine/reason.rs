//! Why a candidate was refused or undone, and whose fault it was.

use serde::{Deserialize, Serialize};

use crate::trust::refusal::Refusal;

/// Closed, and only ever added to at the end: it is written to disk and sent to head office.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// Verification said no; nothing was applied.
    Refused(Refusal),
    /// A step of the plan failed.
    StepFailed,
    /// Not in force after [`super::APPLY_LIMIT`].
    ApplyTimeout,
    /// What cannot be written down cannot be tried: a power cut would forget that it is a trial.
    StoreFailed,
    /// Still not what was wanted after [`super::REPAIRS_MOST`] repairs.
    ReadbackDiffers,
    NoPathProofOnUplink,
    TargetsLost,
    SiteCheckLost,
    LanLost,
    /// Head office answered before and does not answer now.
    OfficeSilent,
    /// Head office says not to confirm now.
    HeldByOffice,
    /// Nobody typed `config confirm`.
    OperatorSilent,
    /// Nothing was measured at all.
    NothingMeasured,
    RebootInApply,
    RebootInTrial,
    RebootInSoak,
    DaemonRestarted,
    /// It worked, was confirmed, and then what worked before was lost.
    BaselineLost,
    OperatorRollback,
    /// Head office assigned the old content again.
    Reassigned,
}

/// Label `reason` of `causeway_config_rollbacks_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nothing was applied, so nothing was rolled back; counted as a refused fetch.
    Refused,
    Apply,
    Readback,
    NoConfirm,
    Reboot,
    Health,
    Operator,
}

/// Whose fault it was, measured again after the return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// What was lost came back with the old config.
    Config,
    /// It is still lost: a provider failed meanwhile. Tried again later, counts against nobody.
    External,
    /// Somebody said so.
    Withdrawn,
}

impl Verdict {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::External => "external",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl Reason {
    pub const fn class(self) -> Class {
        match self {
            Self::Refused(_) => Class::Refused,
            Self::StepFailed | Self::ApplyTimeout | Self::StoreFailed => Class::Apply,
            Self::ReadbackDiffers => Class::Readback,
            Self::NoPathProofOnUplink
            | Self::TargetsLost
            | Self::SiteCheckLost
            | Self::LanLost
            | Self::OfficeSilent
            | Self::HeldByOffice
            | Self::OperatorSilent
            | Self::NothingMeasured => Class::NoConfirm,
            Self::RebootInApply | Self::RebootInTrial | Self::RebootInSoak | Self::DaemonRestarted => Class::Reboot,
            Self::BaselineLost => Class::Health,
            Self::OperatorRollback | Self::Reassigned => Class::Operator,
        }
    }

    pub const fn code(self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::StepFailed => "step_failed",
            Self::ApplyTimeout => "apply_timeout",
            Self::StoreFailed => "store_failed",
            Self::ReadbackDiffers => "readback_differs",
            Self::NoPathProofOnUplink => "no_path_proof_on_uplink",
            Self::TargetsLost => "targets_lost",
            Self::SiteCheckLost => "site_check_lost",
            Self::LanLost => "lan_lost",
            Self::OfficeSilent => "office_silent",
            Self::HeldByOffice => "held_by_office",
            Self::OperatorSilent => "operator_silent",
            Self::NothingMeasured => "nothing_measured",
            Self::RebootInApply => "reboot_in_apply",
            Self::RebootInTrial => "reboot_in_trial",
            Self::RebootInSoak => "reboot_in_soak",
            Self::DaemonRestarted => "daemon_restarted",
            Self::BaselineLost => "baseline_lost",
            Self::OperatorRollback => "operator_rollback",
            Self::Reassigned => "reassigned",
        }
    }
}

impl Class {
    /// Those that undo something.
    pub const ROLLBACKS: [Self; 6] =
        [Self::Apply, Self::Readback, Self::NoConfirm, Self::Reboot, Self::Health, Self::Operator];

    pub const fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Apply => "apply",
            Self::Readback => "readback",
            Self::NoConfirm => "no_confirm",
            Self::Reboot => "reboot",
            Self::Health => "health",
            Self::Operator => "operator",
        }
    }
}
