//! Facts in sentences. [`describe`] tells what one fact says; [`Narrator`] joins those that only make sense together:
//! a switch with what came of it, a suspicion with the state before it. Pure.

use std::collections::BTreeMap;

use super::counts::Flows;
use super::events::{Kind, Line};
use super::words;
use crate::config::model::{Family, Gateway, PathId, TargetId, UplinkId};
use crate::control::status::{Evidence, SwitchReason, whole_ms};
use crate::engine::action::{DrillRefusal, DrillStep, Fact, Switch};
use crate::health::{Cause, State};
use crate::policy::{Reason, Selection, Suppressed};
use crate::time::Instant;

/// Switches that wait for the kernel: as many as there are paths and families, and some.
const PENDING_SWITCHES: usize = 64;

/// A switch that the kernel carried out; makes `Status::last_switch`.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub switch: Switch,
    pub detection_ms: Option<u64>,
    pub took_ms: u64,
    pub flows: Flows,
    pub at: Instant,
}

impl Told {
    pub fn reason(&self) -> SwitchReason {
        self.switch.reason.into()
    }
}

#[derive(Debug, Default)]
pub struct Narrator {
    pending: Vec<(Switch, Flows)>,
    /// The state before a suspicion.
    settled: BTreeMap<(UplinkId, Family), State>,
    last_switch: Option<Told>,
}

impl Narrator {
    /// Another config: `carried` says for each uplink which it was before.
    pub fn reconfigure(&mut self, carried: &[Option<UplinkId>]) {
        let old = std::mem::take(&mut self.settled);
        let under = |before: UplinkId| {
            (0..).zip(carried).find(|(_, carried)| **carried == Some(before)).map(|(index, _)| UplinkId(index))
        };
        self.settled =
            old.into_iter().filter_map(|((id, family), state)| Some(((under(id)?, family), state))).collect();
        self.pending.clear();
        // It names lines and a path by numbers that mean others now.
        if !(0..).zip(carried).all(|(index, old)| *old == Some(UplinkId(index))) {
            self.last_switch = None;
        }
    }

    pub fn last_switch(&self) -> Option<&Told> {
        self.last_switch.as_ref()
    }

    /// What the switch did to running flows; told before its [`Fact::Switched`], it becomes part of the sentence.
    pub fn flows(&mut self, serial: u64, flows: Flows) {
        if let Some((_, pending)) = self.pending.iter_mut().find(|(switch, _)| switch.serial == serial) {
            *pending = flows;
        }
    }

    pub fn tell(&mut self, fact: &Fact, gateway: &Gateway, now: Instant) -> Option<Line> {
        match fact {
            Fact::Transition { to: State::Suspect, uplink, family, from, .. } => {
                self.settled.insert((*uplink, *family), *from);
                None
            }
            Fact::Transition { from: State::Suspect, uplink, family, to, evidence } => {
                let from = self.settled.remove(&(*uplink, *family)).unwrap_or(State::Suspect);
                transition(*uplink, *family, from, *to, evidence, gateway)
            }
            Fact::Switch(switch) => {
                if self.pending.len() == PENDING_SWITCHES {
                    self.pending.remove(0);
                }
                self.pending.retain(|(pending, _)| pending.serial != switch.serial);
                self.pending.push(((**switch).clone(), Flows::default()));
                None
            }
            Fact::Switched { serial, detection, took, .. } => {
                let index = self.pending.iter().position(|(switch, _)| switch.serial == *serial)?;
                let (switch, flows) = self.pending.remove(index);
                let told =
                    Told { switch, detection_ms: detection.map(whole_ms), took_ms: whole_ms(*took), flows, at: now };
                let line = switched(&told, gateway);
                self.last_switch = Some(told);
                Some(line)
            }
            Fact::Transition { .. }
            | Fact::ProbeSettled { .. }
            | Fact::Suspicion { .. }
            | Fact::SwitchFailed { .. }
            | Fact::NotSwitched { .. }
            | Fact::OutageOpened { .. }
            | Fact::OutageClosed { .. }
            | Fact::TargetSuspect { .. }
            | Fact::Locked { .. }
            | Fact::Preferred { .. }
            | Fact::Drill { .. }
            | Fact::Stalled { .. }
            | Fact::Budget { .. } => describe(fact, gateway),
        }
    }
}

/// One fact in a sentence; `None` for what is only counted, or told together with another.
pub fn describe(fact: &Fact, gateway: &Gateway) -> Option<Line> {
    match fact {
        Fact::Transition { uplink, family, from, to, evidence } => {
            transition(*uplink, *family, *from, *to, evidence, gateway)
        }
        Fact::ProbeSettled { .. } | Fact::Suspicion { .. } | Fact::Switch(_) | Fact::Switched { .. } => None,
        Fact::SwitchFailed { path, family, .. } => {
            let path = path_name(*path, gateway);
            Some(
                Line::new(Kind::ApplyFailed, format!("{path} ({family}) could not be switched; will be tried again"))
                    .with("PATH", path)
                    .with("FAMILY", family),
            )
        }
        Fact::NotSwitched { path, family, reason } => Some(not_switched(*path, *family, *reason, gateway)),
        Fact::OutageOpened { uplink, family, cause, .. } => {
            let name = uplink_name(*uplink, gateway);
            let message = format!("{name} ({family}) has an outage, cause: {}", cause.name());
            Some(
                Line::new(Kind::OutageOpened, message)
                    .with("UPLINK", name)
                    .with("FAMILY", family)
                    .with("CAUSE", cause.name()),
            )
        }
        Fact::OutageClosed { uplink, family, since, until, cause, flaps } => {
            let name = uplink_name(*uplink, gateway);
            let ms = whole_ms(until.since(*since));
            let flapped = match flaps {
                0 => String::new(),
                1 => ", came back once in between".to_owned(),
                flaps => format!(", came back {flaps} times in between"),
            };
            let message =
                format!("{name} ({family}) works again after {}, cause: {}{flapped}", words::fast(ms), cause.name());
            Some(
                Line::new(Kind::OutageClosed, message)
                    .with("UPLINK", name)
                    .with("FAMILY", family)
                    .with("CAUSE", cause.name())
                    .with("MS", ms),
            )
        }
        Fact::TargetSuspect { uplink, target, suspect } => Some(target_suspect(*uplink, *target, *suspect, gateway)),
        Fact::Locked { locked, by } => {
            let message =
                if *locked { "locked: paths leave a dead uplink only" } else { "unlocked: paths choose again" };
            Some(Line::new(Kind::LockChanged, format!("{message} (by {by})")).with("BY", by))
        }
        Fact::Preferred { uplink, until, by } => Some(preferred(*uplink, *until, by, gateway)),
        Fact::Drill { uplink, step } => drill(*uplink, step, gateway),
        Fact::Stalled { for_time } => {
            let ms = whole_ms(*for_time);
            let message = format!("the daemon did not run for {}; probes of that time are void", words::fast(ms));
            Some(Line::new(Kind::DaemonStalled, message).with("MS", ms))
        }
        Fact::Budget { uplink, percent } => {
            let name = uplink_name(*uplink, gateway);
            Some(
                Line::new(Kind::PlanStep, format!("{name} has used {percent}% of its plan"))
                    .with("UPLINK", name)
                    .with("PERCENT", percent),
            )
        }
    }
}

/// An outage whose place nobody can tell yet.
pub fn outage_somewhere(uplink: UplinkId, family: Family, gateway: &Gateway) -> Line {
    let name = uplink_name(uplink, gateway);
    Line::new(Kind::OutageOpened, format!("{name} ({family}) has an outage; its gateway is being asked where"))
        .with("UPLINK", name)
        .with("FAMILY", family)
}

pub fn outage_placed(uplink: UplinkId, family: Family, cause: Cause, gateway: &Gateway) -> Line {
    let name = uplink_name(uplink, gateway);
    let place = match cause {
        Cause::Modem => "in the modem or the line to it: its gateway does not answer",
        Cause::Path => "beyond the modem, as far as can be told",
        Cause::Cable | Cause::Address | Cause::Gateway | Cause::Dns | Cause::Tcp | Cause::Portal => "elsewhere",
    };
    Line::new(Kind::OutageCause, format!("{name} ({family}): the outage is {place}, cause: {}", cause.name()))
        .with("UPLINK", name)
        .with("FAMILY", family)
        .with("CAUSE", cause.name())
}

/// `wan1 → lte0`, or `wan1 + wan2 → lte0`.
fn selection(selection: &Selection, gateway: &Gateway) -> String {
    if selection.is_empty() {
        return "nothing".to_owned();
    }
    selection.uplinks().map(|uplink| uplink_name(uplink, gateway)).collect::<Vec<_>>().join(" + ")
}

fn uplink_name(id: UplinkId, gateway: &Gateway) -> String {
    gateway.uplinks.get(id.index()).map_or_else(|| format!("uplink {}", id.0), |uplink| uplink.name.to_string())
}

fn path_name(id: PathId, gateway: &Gateway) -> String {
    gateway.paths.get(id.index()).map_or_else(|| format!("path {}", id.0), |path| path.name.to_string())
}

fn target_label(uplink: UplinkId, target: TargetId, gateway: &Gateway) -> String {
    gateway
        .uplinks
        .get(uplink.index())
        .and_then(|uplink| uplink.targets.get(target.index()))
        .map_or_else(|| format!("target {}", target.0), |target| target.label())
}

fn transition(
    uplink: UplinkId,
    family: Family,
    from: State,
    to: State,
    evidence: &crate::health::Evidence,
    gateway: &Gateway,
) -> Option<Line> {
    if from == to || to == State::Suspect {
        return None;
    }
    let name = uplink_name(uplink, gateway);
    let config = gateway.uplinks.get(uplink.index())?;
    let evidence = Evidence::of(evidence, config);
    let seen = match to {
        State::Probation => evidence
            .recover_after_ms
            .map(|ms| format!("answers again; counts as up after {} without a gap", words::long(ms)))
            .unwrap_or_default(),
        State::Up | State::Degraded | State::Suspect | State::Down | State::Unknown | State::Disabled => {
            words::evidence(&evidence)
        }
    };
    let colon = if seen.is_empty() { "" } else { ": " };
    let message = format!("{name} ({family}) {} → {}{colon}{seen}", from.name(), to.name());
    let mut line = Line::new(Kind::UplinkState, message)
        .with("UPLINK", name)
        .with("FAMILY", family)
        .with("FROM", from.name())
        .with("TO", to.name());
    if let Some(cause) = evidence.cause {
        line = line.with("CAUSE", cause.name());
    }
    if let Some(ms) = evidence.silent_ms {
        line = line.with("MS", ms);
    }
    Some(line)
}

fn switched(told: &Told, gateway: &Gateway) -> Line {
    let Switch { path, family, from, to, reason, serial, .. } = &told.switch;
    let path = path_name(*path, gateway);
    let (from, to) = (selection(from, gateway), selection(to, gateway));
    let noticed = told.detection_ms.map(|ms| format!(", noticed in {}", words::fast(ms))).unwrap_or_default();
    let why = match reason {
        Reason::Start => "first choice",
        Reason::Down(_) => "the old line is down",
        Reason::Degraded => "the old line is degraded",
        Reason::Failback => "the better line is stable again",
        Reason::Share => "lines that share changed",
        Reason::Better => "a better line works",
        Reason::Manual => "an operator said so",
        Reason::Drill => "drill",
        Reason::DrillEnd => "end of the drill",
        Reason::Budget => "budget",
    };
    let flows = match told.flows {
        Flows { reset: 0, nudged: 0, .. } => String::new(),
        Flows { reset, nudged, .. } => format!("; {reset} sessions reset, {nudged} nudged"),
    };
    let message = format!("{path} ({family}) {from} → {to} in {}{noticed}: {why}{flows}", words::fast(told.took_ms));
    let mut line = Line::new(Kind::PathSwitch, message)
        .with("PATH", path)
        .with("FAMILY", family)
        .with("FROM", from)
        .with("TO", to)
        .with("TRIGGER", reason.trigger())
        .with("SEQ", serial)
        .with("MS", told.took_ms);
    if let Some(ms) = told.detection_ms {
        line = line.with("DETECTION_MS", ms);
    }
    line
}

fn not_switched(path: PathId, family: Family, reason: Suppressed, gateway: &Gateway) -> Line {
    let path = path_name(path, gateway);
    let (kind, why) = match reason {
        Suppressed::Hold => (Kind::SwitchHeld, "the better line is not stable for long enough yet"),
        Suppressed::Flap => (Kind::SwitchHeld, "the better line flaps"),
        Suppressed::NoTarget => (Kind::SwitchSuppressed, "there is nowhere better to go"),
        Suppressed::Lock => (Kind::SwitchSuppressed, "an operator locked it"),
        Suppressed::Budget => (Kind::SwitchSuppressed, "the plan of the other line is used up"),
        Suppressed::Boot => (Kind::SwitchSuppressed, "just started; the first probes are still out"),
        Suppressed::Stale => (Kind::SwitchSuppressed, "the daemon was stalled; what it knows is old"),
    };
    Line::new(kind, format!("{path} ({family}) stays: {why}"))
        .with("PATH", path)
        .with("FAMILY", family)
        .with("REASON", reason.name())
}

fn target_suspect(uplink: UplinkId, target: TargetId, suspect: bool, gateway: &Gateway) -> Line {
    let label = target_label(uplink, target, gateway);
    let message = if suspect {
        format!("target {label} is silent on every uplink: it is left out, the lines are not blamed")
    } else {
        format!("target {label} answers again and counts again")
    };
    Line::new(Kind::TargetSuspect, message).with("UPLINK", uplink_name(uplink, gateway)).with("TARGET", label)
}

fn preferred(uplink: Option<UplinkId>, until: Option<Instant>, by: &str, gateway: &Gateway) -> Line {
    let Some(uplink) = uplink else {
        return Line::new(Kind::PreferenceChanged, format!("uplinks are chosen automatically again (by {by})"))
            .with("BY", by);
    };
    let name = uplink_name(uplink, gateway);
    let how_long = if until.is_some() { "for a time" } else { "until told otherwise" };
    Line::new(Kind::PreferenceChanged, format!("{name} is preferred {how_long} (by {by})"))
        .with("UPLINK", name)
        .with("BY", by)
}

fn drill(uplink: UplinkId, step: &DrillStep, gateway: &Gateway) -> Option<Line> {
    let name = uplink_name(uplink, gateway);
    let (kind, message, result) = match step {
        DrillStep::Started => (Kind::DrillStarted, format!("drill of {name} begins"), None),
        DrillStep::Moved => return None,
        DrillStep::Refused { why } => {
            let why = match why {
                DrillRefusal::NotUp => "it is not up",
                DrillRefusal::AlreadyRunning => "a drill is running",
                DrillRefusal::Locked => "switching is locked",
                DrillRefusal::InUse => "it already carries the traffic",
                DrillRefusal::NoPath => "no path lists it",
            };
            (Kind::DrillResult, format!("drill of {name} refused: {why}"), Some("refused"))
        }
        DrillStep::Passed { lasted } => {
            let message = format!("drill of {name} passed in {}", words::fast(whole_ms(*lasted)));
            (Kind::DrillResult, message, Some("passed"))
        }
        DrillStep::Failed { lasted } => {
            let message = format!("drill of {name} FAILED after {}", words::fast(whole_ms(*lasted)));
            (Kind::DrillResult, message, Some("failed"))
        }
        DrillStep::Aborted => (Kind::DrillResult, format!("drill of {name} was broken off"), Some("aborted")),
    };
    let line = Line::new(kind, message).with("UPLINK", name);
    Some(if let Some(result) = result { line.with("RESULT", result) } else { line })
}

#[cfg(test)]
#[path = "narrator_tests.rs"]
mod tests;
