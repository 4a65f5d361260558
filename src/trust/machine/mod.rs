//! A change is fetched, tried, and kept only if the branch is still whole; otherwise it undoes itself. Pure:
//! `(machine, event, now) → (machine, record, commands)`.
//!
//! ```text
//! Idle ─► Fetched ─► Ready ─► Applying ─► Trial ─► Soak ─► Idle
//!           │ refused            └── any failure ──┴─► RollingBack ─► Quarantine (the config's fault) or Idle
//!           ▼                                                         Override lies over Idle
//!       Quarantine
//! ```
//!
//! What makes it safe is [`Keep::good`], the boot default: it changes only where a candidate is confirmed, and back where
//! it is undone. [`Advance`] says what the caller owes the disk before it may go on.

mod back;
mod event;
mod evidence;
mod reason;
mod record;
mod soak;
mod start;
mod state;
mod trial;
mod wait;
mod work;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use event::{Advance, Applied, Checked, Command, Conditions, Defer, Disturbance, Event, Save, Target, Transition};
pub use evidence::{
    Evidence, Judgement, Measurement, Moment, Office, Signs, Surroundings, UPLINKS_MOST, UplinkName, Witness,
};
pub use reason::{Class, Reason, Verdict};
pub use record::{Candidate, Config, Keep, LOCAL_EPOCH, LastReturn, Record, Saved, Timers};
pub use state::State;

use super::digest::Digest;
use super::document::{Nonce, Seconds, Turn};
use super::floors::BootId;
use super::root::TrustedRoot;
use crate::time::Instant;
use work::Work;

/// How long "about to apply" waits for head office: it is a courtesy, not a condition.
pub const ANNOUNCE_FOR: Duration = Duration::from_secs(10);
/// Make before break, the slowest service included.
pub const APPLY_LIMIT: Duration = Duration::from_mins(1);
pub const REPAIRS_MOST: u8 = 3;
/// Between two measurements of a trial, from the answer on.
pub const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// An answer to [`Command::Measure`] or [`Command::Check`] is asked for again after that.
pub const ANSWER_LIMIT: Duration = Duration::from_mins(1);
pub const SOAK_EVERY: Duration = Duration::from_mins(1);
/// The operator must confirm a local file within that.
pub const OPERATOR_LIMIT: Duration = Duration::from_mins(10);
/// Between the return and the verdict: links train, DHCP answers, tunnels shake hands.
pub const SETTLE: Duration = Duration::from_mins(1);
/// How often the verdict is measured for before it is given up.
pub const VERDICTS_MOST: u8 = 3;
pub const RETRY_FIRST: Duration = Duration::from_mins(10);
pub const RETRY_MOST: Duration = Duration::from_hours(24);
/// As often as the old config is asked for again when the kernel refuses it.
pub const RETURN_EVERY: Duration = Duration::from_secs(5);
/// A disk that refused a write is asked again after that.
pub const STORE_EVERY: Duration = Duration::from_mins(1);
pub const DEFER_MOST: Duration = Duration::from_hours(7 * 24);
/// After [`DEFER_MOST`] the quietest hour comes within a day; if nobody says when, this ends the wait.
pub const DEFER_END: Duration = Duration::from_hours(8 * 24);
/// What a power cut can make a deferral longer.
pub const DEFER_SAVE: Duration = Duration::from_hours(24);
/// Reboots in Applying, Trial or Soak: the first may be the power company's, the second is the config's.
pub const REBOOTS_MOST: u8 = 2;

/// Names of the states, for receipts, metrics and people. Only ever added to at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StateName {
    Idle,
    Fetched,
    Ready,
    Applying,
    Trial,
    Soak,
    RollingBack,
    Quarantine,
    Override,
}

impl StateName {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Fetched => "fetched",
            Self::Ready => "ready",
            Self::Applying => "applying",
            Self::Trial => "trial",
            Self::Soak => "soak",
            Self::RollingBack => "rolling_back",
            Self::Quarantine => "quarantine",
            Self::Override => "override",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    state: State,
    keep: Keep,
    /// When the image was built: no time floor is below it.
    build: Seconds,
    conditions: Option<Conditions>,
}

impl Machine {
    /// One event. A total function: an event that means nothing in a state changes nothing.
    pub fn step(self, event: Event, now: Instant) -> Advance {
        let Self { state, keep, build, conditions } = self;
        let before = state.name();
        let mut work = Work::new(keep, conditions, now);
        let state = match state {
            State::Idle(idle) => wait::idle(&mut work, idle, event),
            State::Fetched(fetched) => wait::fetched(&mut work, fetched, event),
            State::Ready(ready) => wait::ready(&mut work, ready, event),
            State::Applying(applying) => trial::applying(&mut work, applying, event),
            State::Trial(trial) => trial::trial(&mut work, trial, event),
            State::Soak(soak) => soak::soak(&mut work, soak, event),
            State::RollingBack(back) => back::rolling_back(&mut work, back, event),
            State::Quarantine(quarantine) => back::quarantine(&mut work, quarantine, event),
            State::Override(overlay) => back::overridden(&mut work, overlay, event),
        };
        work.finish(before, state, build)
    }

    /// A verified next root. Its floors count from now on, whatever the state. What waits was verified by the keys of the
    /// root before: it is dropped, and head office hands it out again.
    pub fn accept_root(mut self, root: &TrustedRoot) -> Advance {
        let before = self.state.name();
        let waits = matches!(self.state, State::Idle(_) | State::Fetched(_) | State::Ready(_));
        if waits {
            self.state = State::Idle(state::Idle { retry: None });
        }
        self.keep.next = None;
        self.keep.floors.accept_root(root.root(), self.build);
        self.keep.root = Some(root.digest());
        let to = self.state.name();
        let candidate = self.state.candidate().copied();
        let attempt = self.keep.attempts;
        let transition =
            (before != to).then_some(Transition { from: before, to, candidate, reason: None, verdict: None, attempt });
        Advance { transition, ..self.saved(Save::First) }
    }

    /// A time that head office signed online, in an answer to our nonce or in an assignment.
    pub fn accept_time(mut self, time: Seconds, now: Instant) -> Advance {
        let boot = self.keep.boot;
        if self.keep.floors.raise_time_online(time, boot, now) { self.saved(Save::Best) } else { self.unsaved() }
    }

    /// At enrolment and after each order.
    pub fn set_order_nonce(mut self, nonce: Nonce) -> Advance {
        self.keep.order_nonce = nonce;
        self.saved(Save::First)
    }

    /// What runs already becomes the boot default without a trial: the file that the gateway was started with, before
    /// another one takes its place. So the way back is in the store, whatever becomes of the file.
    pub fn adopt(mut self, config: Config) -> Advance {
        if self.keep.good.is_some() {
            return self.unsaved();
        }
        self.keep.good = Some(config);
        self.saved(Save::First)
    }

    /// Until when somebody has to confirm what is on trial.
    pub fn confirm_until(&self) -> Option<Instant> {
        match &self.state {
            State::Trial(trial) => trial.operator(),
            State::Idle(_)
            | State::Fetched(_)
            | State::Ready(_)
            | State::Applying(_)
            | State::Soak(_)
            | State::RollingBack(_)
            | State::Quarantine(_)
            | State::Override(_) => None,
        }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn keep(&self) -> &Keep {
        &self.keep
    }

    /// What should be in force now. The caller compares it with the kernel at the start and every minute.
    pub fn running(&self) -> Target {
        match &self.state {
            State::Applying(state::Applying { candidate, .. }) | State::Trial(state::Trial { candidate, .. }) => {
                Target::Config(candidate.config)
            }
            State::Idle(_)
            | State::Fetched(_)
            | State::Ready(_)
            | State::Soak(_)
            | State::RollingBack(_)
            | State::Quarantine(_)
            | State::Override(_) => self.boot_default(),
        }
    }

    /// What runs after a power cut.
    pub fn boot_default(&self) -> Target {
        Target::from(self.keep.good)
    }

    /// The newest content that head office wants here, as far as we know.
    pub fn wanted(&self) -> Option<Turn> {
        let candidate = self.keep.next.as_ref().or(self.state.candidate());
        candidate.map(|candidate| candidate.config.released).or(self.keep.good.map(|good| good.released))
    }

    /// When [`Event::Tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.state.deadline()
    }

    pub fn record(&self, now: Instant) -> Record {
        Record { state: self.state.saved(now), keep: self.keep.clone() }
    }

    /// What is quarantined, and why.
    pub fn quarantined(&self) -> Option<(Digest, Reason)> {
        match &self.state {
            State::Quarantine(state::Quarantine { candidate, reason, .. }) => {
                Some((candidate.config.resolved, *reason))
            }
            State::Idle(_)
            | State::Fetched(_)
            | State::Ready(_)
            | State::Applying(_)
            | State::Trial(_)
            | State::Soak(_)
            | State::RollingBack(_)
            | State::Override(_) => None,
        }
    }

    pub fn boot(&self) -> BootId {
        self.keep.boot
    }

    fn saved(self, save: Save) -> Advance {
        Advance { machine: self, save: Some(save), commands: Vec::new(), transition: None }
    }

    fn unsaved(self) -> Advance {
        Advance { machine: self, save: None, commands: Vec::new(), transition: None }
    }
}

/// A record that was read back at the start becomes a machine again: see `start.rs` for what each state does.
impl Machine {
    pub fn start(found: Option<Record>, boot: BootId, build: Seconds, now: Instant) -> Advance {
        start::start(found, boot, build, now)
    }
}
