//! What the engine asks of the world ([`Action`]) and tells about it ([`Fact`]). An action says what is wanted, not how:
//! `apply` knows the order of the steps.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::model::{Family, PathId, TargetId, UplinkId};
use crate::health::{Cause, Evidence, State};
use crate::policy::{Reason, Selection, Suppressed};
use crate::probe::{Outcome, ProbeRequest};
use crate::time::Instant;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Send this probe now.
    Probe(ProbeRequest),
    /// Make the path use this selection.
    Switch(Box<Switch>),
    /// Running flows of this path on this uplink must end now: it died on standby, or its grace after a failback is over.
    EndFlows { uplink: UplinkId, family: Family, path: PathId },
    /// Read the packet counters of this uplink that often; `None`: no need to.
    WatchCounters { uplink: UplinkId, every: Option<Duration> },
}

/// One ordered, verified transaction (`docs/failover.md`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Switch {
    /// Counts up over all paths; comes back in `Event::Switched`.
    pub serial: u64,
    pub path: PathId,
    pub family: Family,
    pub from: Selection,
    pub to: Selection,
    pub reason: Reason,
    /// Uplinks whose flows must move now (dead). Empty for a planned switch: running flows stay.
    pub dead: Vec<UplinkId>,
    /// Last proof of life of the uplink that is left; with the decision it gives the detection time.
    pub last_life: Option<Instant>,
    pub decided: Instant,
}

/// Something worth keeping or showing. The ledger, the journal, metrics and `events` are all made from these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Fact {
    Transition {
        uplink: UplinkId,
        family: Family,
        from: State,
        to: State,
        evidence: Box<Evidence>,
    },
    ProbeSettled {
        uplink: UplinkId,
        target: TargetId,
        outcome: Outcome,
    },
    /// A suspicion came to an end.
    Suspicion {
        uplink: UplinkId,
        family: Family,
        confirmed: bool,
    },
    Switch(Box<Switch>),
    Switched {
        serial: u64,
        path: PathId,
        family: Family,
        detection: Option<Duration>,
        took: Duration,
    },
    SwitchFailed {
        serial: u64,
        path: PathId,
        family: Family,
    },
    /// Told when the reason changes, not at each decision.
    NotSwitched {
        path: PathId,
        family: Family,
        reason: Suppressed,
    },
    OutageOpened {
        uplink: UplinkId,
        family: Family,
        since: Instant,
        cause: Cause,
    },
    OutageClosed {
        uplink: UplinkId,
        family: Family,
        since: Instant,
        until: Instant,
        cause: Cause,
        flaps: u32,
    },
    /// Silent on every uplink at once: the target is at fault, not the lines. Or it is back.
    TargetSuspect {
        uplink: UplinkId,
        target: TargetId,
        suspect: bool,
    },
    Locked {
        locked: bool,
        by: String,
    },
    Preferred {
        uplink: Option<UplinkId>,
        until: Option<Instant>,
        by: String,
    },
    Drill {
        uplink: UplinkId,
        step: DrillStep,
    },
    /// Our own process was late; the probes in flight are void.
    Stalled {
        for_time: Duration,
    },
    Budget {
        uplink: UplinkId,
        percent: u8,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DrillStep {
    Refused {
        why: DrillRefusal,
    },
    Started,
    /// New flows go through the drilled uplink; its targets are asked again.
    Moved,
    Passed {
        lasted: Duration,
    },
    Failed {
        lasted: Duration,
    },
    Aborted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DrillRefusal {
    NotUp,
    AlreadyRunning,
    Locked,
    /// It already carries the traffic.
    InUse,
    /// No path lists it.
    NoPath,
}
