//! The states with their timers. [`State::saved`] is what of them survives a restart.

use std::time::Duration;

use super::event::Checked;
use super::reason::{Reason, Verdict};
use super::record::{Candidate, Saved};
use super::{DEFER_END, DEFER_MOST, DEFER_SAVE, OPERATOR_LIMIT, StateName};
use crate::time::Instant;
use crate::trust::digest::Digest;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Idle(Idle),
    Fetched(Fetched),
    Ready(Ready),
    Applying(Applying),
    Trial(Trial),
    Soak(Soak),
    RollingBack(RollingBack),
    Quarantine(Quarantine),
    Override(Override),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    /// What an external failure sent back, and when it is tried again.
    pub retry: Option<(Candidate, Instant)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub candidate: Candidate,
    pub stage: Stage,
    pub since: Instant,
    /// Before this start.
    pub waited: Duration,
    pub saved_at: Instant,
    /// When the conditions were last weighed.
    pub looked_at: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Steps 9 to 11 run; asked again at the instant.
    Checking(Instant),
    /// For a good moment.
    Waiting(Checked),
    /// The baseline is being taken; asked again at the instant.
    Measuring(Instant),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    pub candidate: Candidate,
    pub until: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applying {
    pub candidate: Candidate,
    pub until: Instant,
    pub repairs: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    pub candidate: Candidate,
    pub since: Instant,
    pub measure_at: Instant,
    /// Somebody typed `config confirm`.
    pub confirmed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soak {
    pub candidate: Candidate,
    /// Whole without a break since then, and measured at least once.
    pub healthy_since: Option<Instant>,
    pub lost_since: Option<Instant>,
    pub measure_at: Instant,
    /// Not before that, after a disk refused a write.
    pub keep_after: Instant,
    pub boots: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollingBack {
    pub candidate: Candidate,
    pub reason: Reason,
    pub phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The old config is being applied; asked for again at the instant.
    Undoing(Instant),
    /// It is in force; measured at the instant.
    Settling(Instant),
    /// Measured for the verdict so many times; again at the instant.
    Measuring(u8, Instant),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    pub candidate: Candidate,
    pub reason: Reason,
    /// None was needed when nothing had been applied.
    pub verdict: Option<Verdict>,
}

/// Reserved: nothing enters it yet but a record that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub overlay: Digest,
    pub until: Instant,
}

impl State {
    pub fn name(&self) -> StateName {
        match self {
            Self::Idle(_) => StateName::Idle,
            Self::Fetched(_) => StateName::Fetched,
            Self::Ready(_) => StateName::Ready,
            Self::Applying(_) => StateName::Applying,
            Self::Trial(_) => StateName::Trial,
            Self::Soak(_) => StateName::Soak,
            Self::RollingBack(_) => StateName::RollingBack,
            Self::Quarantine(_) => StateName::Quarantine,
            Self::Override(_) => StateName::Override,
        }
    }

    pub fn candidate(&self) -> Option<&Candidate> {
        match self {
            Self::Idle(Idle { retry }) => retry.as_ref().map(|(candidate, _)| candidate),
            Self::Fetched(Fetched { candidate, .. })
            | Self::Ready(Ready { candidate, .. })
            | Self::Applying(Applying { candidate, .. })
            | Self::Trial(Trial { candidate, .. })
            | Self::Soak(Soak { candidate, .. })
            | Self::RollingBack(RollingBack { candidate, .. })
            | Self::Quarantine(Quarantine { candidate, .. }) => Some(candidate),
            Self::Override(_) => None,
        }
    }

    /// When something happens by itself.
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Idle(Idle { retry }) => retry.as_ref().map(|(_, at)| *at),
            Self::Fetched(fetched) => Some(fetched.deadline()),
            Self::Ready(Ready { until, .. }) | Self::Applying(Applying { until, .. }) => Some(*until),
            Self::Trial(trial) => Some(trial.deadline()),
            Self::Soak(soak) => Some(soak.deadline()),
            Self::RollingBack(RollingBack { phase, .. }) => Some(phase.deadline()),
            Self::Quarantine(_) => None,
            Self::Override(Override { until, .. }) => Some(*until),
        }
    }

    pub fn saved(&self, now: Instant) -> Saved {
        match self {
            Self::Idle(Idle { retry }) => Saved::Idle { retry: retry.as_ref().map(|(candidate, _)| *candidate) },
            Self::Fetched(fetched) => {
                Saved::Fetched { candidate: fetched.candidate, waited: seconds(fetched.waited(now)) }
            }
            Self::Ready(Ready { candidate, .. }) => Saved::Fetched { candidate: *candidate, waited: 0 },
            Self::Applying(Applying { candidate, .. }) => Saved::Applying { candidate: *candidate },
            Self::Trial(Trial { candidate, .. }) => Saved::Trial { candidate: *candidate },
            Self::Soak(Soak { candidate, boots, .. }) => Saved::Soak { candidate: *candidate, boots: *boots },
            Self::RollingBack(RollingBack { candidate, reason, .. }) => {
                Saved::RollingBack { candidate: *candidate, reason: *reason }
            }
            Self::Quarantine(Quarantine { candidate, reason, verdict }) => {
                Saved::Quarantine { candidate: *candidate, reason: *reason, verdict: *verdict }
            }
            Self::Override(Override { overlay, until }) => {
                Saved::Override { overlay: *overlay, left: seconds(until.since(now)) }
            }
        }
    }
}

impl Fetched {
    pub(super) fn waited(&self, now: Instant) -> Duration {
        self.waited + now.since(self.since)
    }

    fn deadline(&self) -> Instant {
        match &self.stage {
            Stage::Checking(again) | Stage::Measuring(again) => *again,
            Stage::Waiting(_) => {
                let waits_until = |most: Duration| self.since + most.saturating_sub(self.waited);
                let limits = [waits_until(DEFER_MOST), waits_until(DEFER_END), self.saved_at + DEFER_SAVE];
                let ahead = limits.into_iter().filter(|limit| *limit > self.looked_at).min();
                ahead.unwrap_or(self.looked_at + DEFER_SAVE)
            }
        }
    }
}

impl Trial {
    pub(super) fn soft(&self) -> Instant {
        self.since + Duration::from_secs(self.candidate.timers.soft.into())
    }

    pub(super) fn hard(&self) -> Instant {
        self.since + Duration::from_secs(self.candidate.timers.hard.into())
    }

    pub(super) fn operator(&self) -> Option<Instant> {
        (self.candidate.operator && !self.confirmed).then(|| self.since + OPERATOR_LIMIT)
    }

    fn deadline(&self) -> Instant {
        let limits = [Some(self.measure_at), Some(self.hard()), self.operator()];
        limits.into_iter().flatten().min().unwrap_or(self.measure_at)
    }
}

impl Soak {
    /// When it has been whole for long enough.
    pub(super) fn done(&self) -> Option<Instant> {
        let soak = Duration::from_secs(self.candidate.timers.soak.into());
        self.healthy_since.map(|since| (since + soak).max(self.keep_after))
    }

    fn deadline(&self) -> Instant {
        self.done().map_or(self.measure_at, |done| done.min(self.measure_at))
    }
}

impl Phase {
    fn deadline(&self) -> Instant {
        match self {
            Self::Undoing(at) | Self::Settling(at) | Self::Measuring(_, at) => *at,
        }
    }
}

/// Cut to whole seconds, at most 136 years.
fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
