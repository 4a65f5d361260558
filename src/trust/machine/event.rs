//! What goes into the machine and what comes out.

use super::evidence::{Measurement, Moment};
use super::reason::{Reason, Verdict};
use super::record::{Candidate, Config, Timers};
use super::{Machine, StateName};
use crate::trust::digest::Digest;
use crate::trust::refusal::Refusal;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An assignment was verified and its blobs are stored: steps 1 to 8 passed.
    Fetched(Candidate),
    /// It was verified, but its content was refused, by any step.
    Refused(Candidate, Refusal),
    /// Answer to [`Command::Check`]: steps 9 to 11 passed.
    Checked(Digest, Checked),
    /// Whether this is a good moment; each minute and when it changes.
    Conditions(Conditions),
    /// Answer to [`Command::Measure`].
    Measured(Moment, Measurement),
    /// Answer to [`Command::Announce`]: head office knows.
    Announced,
    /// Answer to [`Command::Apply`], after the read-back.
    Applied(Target, Applied),
    /// `causeway config confirm`
    Confirm,
    /// `causeway config rollback`
    RollBack,
    /// `causeway config retry`
    Retry,
    /// The record of the last [`Advance`] could not be written; see there.
    StoreFailed,
    /// The overlay was adopted, dropped, or run out.
    OverrideEnded,
    /// [`Machine::deadline`] has passed.
    Tick,
}

/// What the plan says about a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Nothing to do: it is kept without a trial.
    pub empty: bool,
    pub disturbance: Disturbance,
    pub timers: Timers,
    pub defer: Defer,
}

/// The worst of the plan's steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disturbance {
    None,
    /// A service restarts, under a second; forwarding goes on.
    Blip,
    /// Some uplink's or network's addressing or ports.
    Cut,
}

/// For what the candidate waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Defer {
    pub on_backup: bool,
    pub one_uplink: bool,
    pub open_hours: bool,
    pub data_low: bool,
}

/// How things are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conditions {
    pub on_backup: bool,
    pub one_uplink: bool,
    pub open_hours: bool,
    pub data_low: bool,
    /// By this branch's own traffic.
    pub quietest_hour: bool,
    /// After a start, while lines may still be coming up: what is measured now says little about what works here.
    pub coming_up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The image's: LAN, DHCP, all uplinks by DHCP.
    Safe,
    Config(Config),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Applied {
    /// What was read back is what was wanted.
    Equal,
    StepFailed,
    Differs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run steps 9 to 11 on this candidate; answered with [`Event::Checked`] or [`Event::Refused`].
    Check(Candidate),
    Measure(Moment),
    /// Tell head office through `front`.
    Announce(Candidate),
    /// Plan, run, read back.
    Apply(Target),
}

/// How much an [`Advance`] depends on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Save {
    /// Written before anything else happens. If that fails, the advance has not happened: its machine and its commands
    /// are dropped, and the machine from before gets [`Event::StoreFailed`].
    First,
    /// Written if it can be; the way back never waits for a disk.
    Best,
}

/// What one event led to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Advance {
    pub machine: Machine,
    /// Write [`Machine::record`] of this machine.
    pub save: Option<Save>,
    /// In this order, after the record is safe.
    pub commands: Vec<Command>,
    /// For the ledger, the metrics, and the receipt to head office.
    pub transition: Option<Transition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    pub from: StateName,
    pub to: StateName,
    /// What it was about.
    pub candidate: Option<Candidate>,
    pub reason: Option<Reason>,
    pub verdict: Option<Verdict>,
    pub attempt: u8,
}

impl Defer {
    /// Something that it waits for is the case.
    pub(super) fn blocks(self, conditions: Conditions) -> bool {
        let Self { on_backup, one_uplink, open_hours, data_low } = self;
        (on_backup && conditions.on_backup)
            || (one_uplink && conditions.one_uplink)
            || (open_hours && conditions.open_hours)
            || (data_low && conditions.data_low)
    }

    pub(super) fn waits_for_nothing(self) -> bool {
        self == Self::default()
    }
}

impl From<Option<Config>> for Target {
    fn from(config: Option<Config>) -> Self {
        config.map_or(Self::Safe, Self::Config)
    }
}
