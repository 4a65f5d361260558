//! Health of all uplinks goes in, for each path and family a [`Selection`] with its [`Reason`] comes out, and also the
//! reason why nothing was done. Pure. Start reading at [`path::PathState::decide`].

pub mod choice;
pub mod path;

use serde::{Deserialize, Serialize};

use crate::config::model::UplinkId;
use crate::health::Verdict;

/// The uplinks that share a path's new flows, with their weights. Empty only before the first choice, or for a path that
/// rejects when none of its uplinks is usable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Selection(pub Vec<(UplinkId, u8)>);

impl Selection {
    pub fn uplinks(&self) -> impl Iterator<Item = UplinkId> + '_ {
        self.0.iter().map(|(uplink, _)| *uplink)
    }

    pub fn contains(&self, uplink: UplinkId) -> bool {
        self.uplinks().any(|id| id == uplink)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a path was switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The first choice after a start.
    Start,
    Down(Verdict),
    Degraded,
    /// The better uplink is back and stable.
    Failback,
    /// An uplink of the same tier joined or left.
    Share,
    /// A better one exists while the current was never good.
    Better,
    Manual,
    Drill,
    DrillEnd,
    Budget,
}

impl Reason {
    /// `trigger` label of `causeway_failovers_total`.
    pub fn trigger(self) -> &'static str {
        match self {
            Self::Start | Self::Down(_) | Self::Degraded | Self::Share | Self::Better | Self::Budget => "auto",
            Self::Failback => "failback",
            Self::Manual => "manual",
            Self::Drill | Self::DrillEnd => "drill",
        }
    }
}

/// Why a path was not switched although its first choice is not in use. Names as in
/// `causeway_failover_suppressed_total{reason}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suppressed {
    /// There is nowhere better to go.
    NoTarget,
    /// Too soon after the last switch, or the better uplink is not stable for long enough yet.
    Hold,
    /// The better uplink flaps.
    Flap,
    /// An operator said so.
    Lock,
    Budget,
    /// Just started; the first probes are still out.
    Boot,
    /// Our own process was stalled: what we know is old.
    Stale,
}

impl Suppressed {
    pub const ALL: [Self; 7] =
        [Self::NoTarget, Self::Hold, Self::Flap, Self::Lock, Self::Budget, Self::Boot, Self::Stale];

    pub fn name(self) -> &'static str {
        match self {
            Self::NoTarget => "no_target",
            Self::Hold => "hold",
            Self::Flap => "flap",
            Self::Lock => "lock",
            Self::Budget => "budget",
            Self::Boot => "boot",
            Self::Stale => "stale",
        }
    }
}
