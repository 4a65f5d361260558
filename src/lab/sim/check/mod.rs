//! The invariants of `docs/faults.md` that concern failover, held against the truth after every event. The first one
//! broken ends the run. `lines` judges verdicts, `paths` switches and time.

mod lines;
mod paths;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::kernel::Kernel;
use super::process::Process;
use super::wire::Wire;
use crate::config::model::{Family, Gateway, PathId, UplinkId};
use crate::engine::Engine;
use crate::engine::event::Command;
use crate::health::quality::WINDOW;
use crate::probe::flight::IN_FLIGHT;
use crate::time::Instant;

/// Queues are measured this often: what has outgrown its bound stays beyond it.
const BOUNDS_EVERY: u64 = 16;

/// What is promised. The text is what a violation prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// I1
    Usable,
    /// I2
    Holds,
    /// I3
    Kernel,
    /// I9
    Authentic,
    /// I10
    WallClock,
    /// I11
    LastUplink,
    /// I13
    Bounded,
    /// I14
    Adopted,
    /// F8, F17, G2
    Blame,
    Cause,
    Ledger,
    Orders,
    Budget,
    Heals,
    /// G3
    Repeats,
}

impl Rule {
    pub const ALL: [Self; 15] = [
        Self::Usable,
        Self::Holds,
        Self::Kernel,
        Self::Authentic,
        Self::WallClock,
        Self::LastUplink,
        Self::Bounded,
        Self::Adopted,
        Self::Blame,
        Self::Cause,
        Self::Ledger,
        Self::Orders,
        Self::Budget,
        Self::Heals,
        Self::Repeats,
    ];

    pub fn words(self) -> &'static str {
        match self {
            Self::Usable => "I1: traffic uses a usable uplink within detection and switch time",
            Self::Holds => "I2: never more switches than hold, probation and flap budget allow",
            Self::Kernel => "I3: the kernel holds what is wanted within a second",
            Self::Authentic => "I9: only authentic replies count",
            Self::WallClock => "I10: a change of the wall clock causes no switch",
            Self::LastUplink => {
                "I11: the last uplink is never withdrawn, no flow is ended without somewhere better to go"
            }
            Self::Bounded => "I13: every queue is at most its bound",
            Self::Adopted => "I14: a restart leaves forwarding alone",
            Self::Blame => "F8, F17, G2: a line that works is not called down",
            Self::Cause => "the cause that is told is the true one",
            Self::Ledger => "an outage is opened once, closed once, and ends after it began",
            Self::Orders => "what an operator ordered holds, and no longer than ordered",
            Self::Budget => "a spent metered line is used only if nothing better exists",
            Self::Heals => "F16: when all faults are over everything comes back by itself",
            Self::Repeats => "G3: the same seed gives the same events",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Violation {
    pub rule: Rule,
    pub at: Instant,
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.words(), self.text)
    }
}

/// What the checker may look at.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub now: Instant,
    pub config: &'a Gateway,
    pub engine: &'a Engine,
    pub wires: &'a [[Wire; 2]],
    pub kernel: &'a Kernel,
    pub hosts: &'a [f64; 32],
    pub noise: &'a [f64],
    pub traffic: f64,
    pub process: &'a Process,
}

impl Scene<'_> {
    fn wire(&self, uplink: UplinkId, family: Family) -> &Wire {
        &self.wires[uplink.index()][family.index()]
    }

    fn name(&self, uplink: UplinkId) -> &str {
        self.config.uplink(uplink).name.as_str()
    }
}

#[derive(Clone, Debug, Default)]
struct LineCheck {
    probation_since: Option<Instant>,
    up_since: Option<Instant>,
    degraded: bool,
    outage: Option<Instant>,
    /// Bytes of the plan, as last told.
    used: u64,
    spent_since: Option<Instant>,
}

#[derive(Clone, Debug, Default)]
struct PathCheck {
    switched: Option<Instant>,
    installed_at: Instant,
    differs_since: Option<Instant>,
    failbacks: VecDeque<Instant>,
}

#[derive(Clone, Debug, Default)]
struct OrdersCheck {
    locked: bool,
    preferred: Option<(UplinkId, Instant)>,
    drill: Option<Instant>,
    changed: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Check {
    violation: Option<Violation>,
    due: Instant,
    began: Instant,
    healed: Instant,
    /// While the wall clock is told: the minute.
    pub clock: Option<u16>,
    /// Nothing is told: what follows from facts cannot be judged, only what grows meanwhile.
    pub deaf: bool,
    lines: Vec<[LineCheck; 2]>,
    paths: Vec<[PathCheck; 2]>,
    orders: OrdersCheck,
    targets_changed: Instant,
    /// A restart with lines that all worked: nothing may move until.
    still_until: Instant,
    turns: u64,
    pub failovers: u64,
    /// Calls of down, by state of the wire, for the report.
    pub verdicts: u64,
}

impl Check {
    pub(super) fn new(config: &Gateway, now: Instant, healed: Instant) -> Self {
        Self {
            due: now,
            began: now,
            healed,
            lines: vec![Default::default(); config.uplinks.len()],
            paths: vec![Default::default(); config.paths.len()],
            ..Self::default()
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.violation.is_some()
    }

    pub(super) fn take(&mut self) -> Option<Violation> {
        self.violation.take()
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    fn broken(&mut self, rule: Rule, now: Instant, text: impl FnOnce() -> String) {
        if self.violation.is_none() && (!self.deaf || rule == Rule::Bounded) {
            self.violation = Some(Violation { rule, at: now, text: text() });
        }
    }

    // --- what the world tells

    pub(super) fn target_changed(&mut self, now: Instant) {
        self.targets_changed = now;
    }

    pub(super) fn installed(&mut self, path: PathId, family: Family, now: Instant) {
        self.paths[path.index()][family.index()].installed_at = now;
    }

    pub(super) fn usage(&mut self, uplink: UplinkId, bytes: u64, scene: &Scene<'_>) {
        let spent = scene.config.uplink(uplink).metered.is_some_and(|m| bytes >= m.plan.saturating_sub(m.reserve));
        for line in &mut self.lines[uplink.index()] {
            line.used = bytes;
            line.spent_since = if spent { line.spent_since.or(Some(scene.now)) } else { None };
        }
    }

    pub(super) fn used(&self, uplink: UplinkId) -> u64 {
        self.lines[uplink.index()][0].used
    }

    pub(super) fn order(&mut self, command: Command, now: Instant) {
        self.orders.changed = now;
        match command {
            Command::Lock => self.orders.locked = true,
            Command::Unlock => self.orders.locked = false,
            Command::Use { uplink, for_time } => {
                self.orders.preferred = Some((uplink, for_time.map_or(Instant::NEVER, |time| now + time)));
            }
            Command::UseAutomatic => self.orders.preferred = None,
            Command::Drill { .. } => self.orders.drill = self.orders.drill.or(Some(now)),
        }
    }

    /// The process is about to start again and adopt what the kernel has.
    pub(super) fn restarted(&mut self, scene: &Scene<'_>) {
        self.orders = OrdersCheck { changed: scene.now, ..OrdersCheck::default() };
        for line in self.lines.iter_mut().flatten() {
            *line = LineCheck { used: line.used, spent_since: line.spent_since, ..LineCheck::default() };
        }
        let steady = Duration::from_secs(120);
        let works = |uplink: UplinkId, family| {
            let wire = scene.wire(uplink, family);
            wire.is_good_for(steady, scene.now) && wire.slow <= 1.0 && scene.now.since(wire.slow_until) > steady
        };
        let all_work = scene.kernel.all().iter().all(|(_, family, held)| held.uplinks().all(|id| works(id, *family)));
        self.still_until = if all_work { scene.now + Duration::from_secs(5) } else { Instant::ORIGIN };
        for path in self.paths.iter_mut().flatten() {
            path.switched = None;
            path.differs_since = None;
        }
    }

    // --- cheap ones, after every event

    pub(super) fn bounds(&mut self, engine: &Engine, now: Instant) {
        self.turns = self.turns.wrapping_add(1);
        if !self.turns.is_multiple_of(BOUNDS_EVERY) {
            return;
        }
        if let Some((what, length, most)) = engine.over_bound() {
            self.broken(Rule::Bounded, now, || format!("{what} holds {length}, at most {most} are allowed"));
        }
    }

    /// The newest reply of every target.
    pub(super) fn lives(&self, engine: &Engine) -> Vec<Option<Instant>> {
        let lines = engine.config().uplink_ids().flat_map(|uplink| Family::BOTH.map(|family| (uplink, family)));
        let targets = lines.filter_map(|(uplink, family)| engine.line(uplink, family)).flat_map(|line| line.targets());
        targets.map(|target| target.last_reply).collect()
    }

    pub(super) fn forged(&mut self, before: Vec<Option<Instant>>, scene: &Scene<'_>) {
        if self.lives(scene.engine) != before {
            self.broken(Rule::Authentic, scene.now, || "a forged reply was taken for life".to_owned());
        }
    }
}

const _: () = assert!(IN_FLIGHT <= 1_024 && WINDOW <= 1_024, "I13 is stated with these bounds");
