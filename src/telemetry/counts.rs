//! Facts become figures: what has been counted since the daemon started. Pure; the daemon owns one [`Counts`], folds
//! every fact and event into it, and sends it in a snapshot.
//!
//! Lists stand in the order of the config: uplink, target and path numbers are indices.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::histogram::{Histogram, Scale};
use crate::config::model::{Family, Gateway, UplinkId};
use crate::control::protocol::Action;
use crate::control::status::DrillResult;
use crate::engine::action::{DrillStep, Fact, Switch};
use crate::engine::event::{Event, Link};
use crate::health::{Cause, State};
use crate::policy::{Reason, Suppressed};
use crate::probe::Outcome;
use crate::time::Instant;

/// Switches that wait for the kernel. One per path and family can be under way; the rest is for repeats.
const PENDING_SWITCHES: usize = 64;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    pub uplinks: Vec<UplinkCounts>,
    pub detection: Histogram,
    pub switch: Histogram,
    /// By [`Suppressed::ALL`].
    pub suppressed: [u64; 7],
    pub turn: Histogram,
    /// By [`Queue::ALL`].
    pub queue_dropped: [u64; 4],
    pub netlink_overruns: u64,
    /// By [`Repair::ALL`].
    pub kernel_repairs: [u64; 5],
    pub apply_errors: [u64; 5],
    /// By [`Action::ALL`].
    pub actions: [u64; 9],
    #[serde(skip)]
    pending: Vec<Pending>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UplinkCounts {
    /// To `up`, `degraded`, `down`: of the line, that is of the best of its families.
    pub state_changes: [u64; 3],
    /// That ended in `up`, in `down`.
    pub suspicions: [u64; 2],
    /// UTC seconds of the line's last change; 0: none yet, or the clock was not trusted.
    pub last_change: u64,
    /// By [`Cause::ALL`].
    pub outages: [u64; 8],
    pub outage_duration: Histogram,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    pub flows: Flows,
    pub probe_bytes: u64,
    /// Switches to this uplink, by [`TRIGGERS`].
    pub failovers: [u64; 4],
    /// By [`DrillResult::ALL`].
    pub drills: [u64; 4],
    pub drill_bytes: u64,
    /// UTC seconds; 0: none yet.
    pub drill_last_success: u64,
    pub targets: Vec<TargetCounts>,
    #[serde(skip)]
    line: Line,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetCounts {
    /// By [`Outcome::NAMES`].
    pub outcomes: [u64; 8],
    pub rtt: Histogram,
    /// UTC seconds; 0: none yet.
    pub last_success: u64,
}

/// What a switch did to running flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flows {
    pub reset: u64,
    pub nudged: u64,
    /// Found by the second look.
    pub stragglers: u64,
}

/// `trigger` of `causeway_failovers_total`.
pub const TRIGGERS: [&str; 4] = ["auto", "failback", "manual", "drill"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Queue {
    Events,
    Ledger,
    Control,
    Log,
}

impl Queue {
    pub const ALL: [Self; 4] = [Self::Events, Self::Ledger, Self::Control, Self::Log];

    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Ledger => "ledger",
            Self::Control => "control",
            Self::Log => "log",
        }
    }
}

/// What of ours somebody else changed, or the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Repair {
    Route,
    Rule,
    Nft,
    Conntrack,
    Service,
}

impl Repair {
    pub const ALL: [Self; 5] = [Self::Route, Self::Rule, Self::Nft, Self::Conntrack, Self::Service];

    pub fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Rule => "rule",
            Self::Nft => "nft",
            Self::Conntrack => "conntrack",
            Self::Service => "service",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Pending {
    serial: u64,
    to: Vec<UplinkId>,
    trigger: usize,
}

/// What is remembered of one uplink between facts.
#[derive(Clone, Debug, Default, PartialEq)]
struct Line {
    /// Settled states: a suspicion leaves the old one.
    settled: [Option<State>; 2],
    open: [Option<Instant>; 2],
    outage: Option<Instant>,
    /// The outage is not counted yet: this family's gateway is being asked.
    unplaced: Option<Family>,
    /// The device's own counters, which start again when it does.
    device_bytes: Option<(u64, u64)>,
    /// `sent + received` when a drill moved the traffic here.
    drill_from: Option<u64>,
}

impl Counts {
    /// All that the config makes possible, at 0.
    pub fn new(gateway: &Gateway) -> Self {
        Self::sized(gateway.uplinks.iter().map(|uplink| uplink.targets.len()))
    }

    /// Another config: who keeps name and targets goes on counting, others begin at 0. `carried` says for each uplink
    /// which it was before.
    pub fn reconfigure(&mut self, gateway: &Gateway, carried: &[Option<UplinkId>]) {
        let fresh = Self::new(gateway).uplinks;
        let old = std::mem::take(&mut self.uplinks);
        let carry = |(mut fresh, before): (UplinkCounts, &Option<UplinkId>)| {
            let Some(before) = before.and_then(|before| old.get(before.index())) else { return fresh };
            let targets = if fresh.targets.len() == before.targets.len() { &before.targets } else { &fresh.targets };
            let targets = targets.clone();
            fresh.clone_from(before);
            fresh.targets = targets;
            fresh
        };
        self.uplinks = fresh.into_iter().zip(carried).map(carry).collect();
    }

    /// The same from the number of targets of each uplink.
    pub fn sized(targets: impl IntoIterator<Item = usize>) -> Self {
        Self {
            uplinks: targets.into_iter().map(UplinkCounts::new).collect(),
            detection: Histogram::new(Scale::Switching),
            switch: Histogram::new(Scale::Switching),
            suppressed: [0; 7],
            turn: Histogram::new(Scale::Turn),
            queue_dropped: [0; 4],
            netlink_overruns: 0,
            kernel_repairs: [0; 5],
            apply_errors: [0; 5],
            actions: [0; 9],
            pending: Vec::new(),
        }
    }

    /// `wall_seconds`: UTC, `None` while the clock is not trusted.
    pub fn fold(&mut self, fact: &Fact, wall_seconds: Option<u64>) {
        match fact {
            Fact::Transition { uplink, family, to, .. } => {
                self.on(*uplink, |line| line.transition(*family, *to, wall_seconds));
            }
            Fact::ProbeSettled { uplink, target, outcome } => self.on(*uplink, |line| {
                if let Some(target) = line.targets.get_mut(target.index()) {
                    target.settle(*outcome, wall_seconds);
                }
            }),
            Fact::Suspicion { uplink, confirmed, .. } => {
                self.on(*uplink, |line| line.suspicions[usize::from(*confirmed)] += 1);
            }
            Fact::Switch(switch) => self.expect_switch(switch),
            Fact::Switched { serial, detection, took, .. } => self.switched(*serial, *detection, *took),
            Fact::NotSwitched { reason, .. } => self.suppressed[position(&Suppressed::ALL, *reason)] += 1,
            Fact::OutageOpened { uplink, family, since, cause } => {
                self.on(*uplink, |line| line.outage_opened(*family, *since, Some(*cause)));
            }
            Fact::OutageClosed { uplink, family, until, cause, .. } => {
                self.on(*uplink, |line| line.outage_closed(*family, *until, *cause));
            }
            Fact::Drill { uplink, step } => self.on(*uplink, |line| line.drill(step, wall_seconds)),
            Fact::SwitchFailed { .. }
            | Fact::TargetSuspect { .. }
            | Fact::Locked { .. }
            | Fact::Preferred { .. }
            | Fact::Stalled { .. }
            | Fact::Budget { .. } => {}
        }
    }

    /// What events say that no fact repeats: bytes.
    pub fn fold_event(&mut self, event: &Event) {
        match event {
            Event::Counters { uplink, received_bytes, sent_bytes, .. } => {
                self.on(*uplink, |line| line.device_bytes(*received_bytes, *sent_bytes));
            }
            Event::ProbeSent { probe, bytes, .. } => {
                self.on(probe.uplink, |line| line.probe_bytes += u64::from(*bytes));
            }
            Event::Link { uplink, link: Link::Missing } => self.on(*uplink, |line| line.line.device_bytes = None),
            Event::Link { link: Link::NoCarrier | Link::Up, .. }
            | Event::Address { .. }
            | Event::Gateway { .. }
            | Event::Neighbour { .. }
            | Event::ProbeUnsent { .. }
            | Event::EchoReply { .. }
            | Event::ProbeAnswered { .. }
            | Event::Switched { .. }
            | Event::SwitchFailed { .. }
            | Event::Usage { .. }
            | Event::LocalTime { .. }
            | Event::Command { .. } => {}
        }
    }

    /// In place of its [`Fact::OutageOpened`] while nobody can say where it is. It is counted when that is known, at the
    /// latest when it is over: a counter cannot take back a cause.
    pub fn outage_opened_somewhere(&mut self, uplink: UplinkId, family: Family, since: Instant) {
        self.on(uplink, |line| line.outage_opened(family, since, None));
    }

    pub fn outage_placed(&mut self, uplink: UplinkId, family: Family, cause: Cause) {
        self.on(uplink, |line| {
            if line.line.unplaced == Some(family) {
                line.count_outage(cause);
            }
        });
    }

    pub fn flows(&mut self, uplink: UplinkId, flows: Flows) {
        self.on(uplink, |line| {
            line.flows.reset += flows.reset;
            line.flows.nudged += flows.nudged;
            line.flows.stragglers += flows.stragglers;
        });
    }

    pub fn turn_took(&mut self, took: Duration) {
        self.turn.observe(took);
    }

    pub fn dropped(&mut self, queue: Queue, count: u64) {
        self.queue_dropped[position(&Queue::ALL, queue)] += count;
    }

    pub fn netlink_overrun(&mut self) {
        self.netlink_overruns += 1;
    }

    pub fn repaired(&mut self, kind: Repair, count: u64) {
        self.kernel_repairs[position(&Repair::ALL, kind)] += count;
    }

    /// Somebody asked for it, whether it was done or refused.
    pub fn asked(&mut self, action: Action) {
        self.actions[position(&Action::ALL, action)] += 1;
    }

    pub fn apply_failed(&mut self, kind: Repair) {
        self.apply_errors[position(&Repair::ALL, kind)] += 1;
    }

    fn on(&mut self, uplink: UplinkId, change: impl FnOnce(&mut UplinkCounts)) {
        if let Some(line) = self.uplinks.get_mut(uplink.index()) {
            change(line);
        }
    }

    fn expect_switch(&mut self, switch: &Switch) {
        // The first choice after a start is no failover, nor is a change among those who share.
        if matches!(switch.reason, Reason::Start | Reason::Share) {
            return;
        }
        if self.pending.len() == PENDING_SWITCHES {
            self.pending.remove(0);
        }
        let joined: Vec<_> = switch.to.uplinks().filter(|uplink| !switch.from.contains(*uplink)).collect();
        let to = if joined.is_empty() { switch.to.uplinks().collect() } else { joined };
        let trigger = position(&TRIGGERS, switch.reason.trigger());
        self.pending.retain(|pending| pending.serial != switch.serial);
        self.pending.push(Pending { serial: switch.serial, to, trigger });
    }

    /// Counted when the kernel was read back right, not when it was decided.
    fn switched(&mut self, serial: u64, detection: Option<Duration>, took: Duration) {
        let Some(index) = self.pending.iter().position(|pending| pending.serial == serial) else { return };
        let Pending { to, trigger, .. } = self.pending.remove(index);
        for uplink in to {
            self.on(uplink, |line| line.failovers[trigger] += 1);
        }
        self.switch.observe(took);
        if let Some(detection) = detection {
            self.detection.observe(detection);
        }
    }
}

impl UplinkCounts {
    fn new(targets: usize) -> Self {
        Self {
            state_changes: [0; 3],
            suspicions: [0; 2],
            last_change: 0,
            outages: [0; 8],
            outage_duration: Histogram::new(Scale::Outage),
            received_bytes: 0,
            sent_bytes: 0,
            flows: Flows::default(),
            probe_bytes: 0,
            failovers: [0; 4],
            drills: [0; 4],
            drill_bytes: 0,
            drill_last_success: 0,
            targets: (0..targets).map(|_| TargetCounts::new()).collect(),
            line: Line::default(),
        }
    }

    fn transition(&mut self, family: Family, to: State, wall_seconds: Option<u64>) {
        if to == State::Suspect {
            return;
        }
        let before = self.line.best();
        self.line.settled[family.index()] = Some(to);
        let after = self.line.best();
        if before == after {
            return;
        }
        self.last_change = wall_seconds.unwrap_or(self.last_change);
        match after {
            Some(State::Up) => self.state_changes[0] += 1,
            Some(State::Degraded) => self.state_changes[1] += 1,
            Some(State::Down) => self.state_changes[2] += 1,
            Some(State::Suspect | State::Probation | State::Unknown | State::Disabled) | None => {}
        }
    }

    /// An outage of the line opens when no family works any more; the last that fails gives the cause.
    fn outage_opened(&mut self, family: Family, since: Instant, cause: Option<Cause>) {
        self.line.open[family.index()] = Some(since);
        let works = Family::BOTH.iter().any(|family| {
            self.line.open[family.index()].is_none()
                && matches!(self.line.settled[family.index()], Some(State::Up | State::Degraded))
        });
        if !works && self.line.outage.is_none() {
            self.line.outage = self.line.open.iter().flatten().max().copied();
            match cause {
                Some(cause) => self.count_outage(cause),
                None => self.line.unplaced = Some(family),
            }
        }
    }

    fn count_outage(&mut self, cause: Cause) {
        self.line.unplaced = None;
        self.outages[position(&Cause::ALL, cause)] += 1;
    }

    fn outage_closed(&mut self, family: Family, until: Instant, cause: Cause) {
        self.line.open[family.index()] = None;
        if let Some(since) = self.line.outage.take() {
            self.outage_duration.observe(until.since(since));
            if self.line.unplaced.is_some() {
                self.count_outage(cause);
            }
        }
    }

    fn drill(&mut self, step: &DrillStep, wall_seconds: Option<u64>) {
        let carried = self.received_bytes + self.sent_bytes;
        let result = match step {
            DrillStep::Started => {
                self.line.drill_from = Some(carried);
                return;
            }
            DrillStep::Moved => return,
            DrillStep::Refused { .. } => DrillResult::Refused,
            DrillStep::Passed { .. } => DrillResult::Passed,
            DrillStep::Failed { .. } => DrillResult::Failed,
            DrillStep::Aborted => DrillResult::Aborted,
        };
        self.drills[position(&DrillResult::ALL, result)] += 1;
        if result == DrillResult::Passed {
            self.drill_last_success = wall_seconds.unwrap_or(self.drill_last_success);
        }
        // A refusal says nothing about a drill that is under way.
        if result != DrillResult::Refused
            && let Some(from) = self.line.drill_from.take()
        {
            self.drill_bytes += carried.saturating_sub(from);
        }
    }

    fn device_bytes(&mut self, received: u64, sent: u64) {
        // The first reading is a starting point: what the device carried before is not ours to count.
        let (before_received, before_sent) = self.line.device_bytes.unwrap_or((received, sent));
        self.received_bytes += received.checked_sub(before_received).unwrap_or(received);
        self.sent_bytes += sent.checked_sub(before_sent).unwrap_or(sent);
        self.line.device_bytes = Some((received, sent));
    }
}

impl TargetCounts {
    fn new() -> Self {
        Self { outcomes: [0; 8], rtt: Histogram::new(Scale::Rtt), last_success: 0 }
    }

    fn settle(&mut self, outcome: Outcome, wall_seconds: Option<u64>) {
        self.outcomes[outcome.index()] += 1;
        match outcome {
            Outcome::Reply { rtt } | Outcome::Late { rtt } => {
                self.rtt.observe(rtt);
                self.last_success = wall_seconds.unwrap_or(self.last_success);
            }
            Outcome::Silent
            | Outcome::Refused
            | Outcome::Unreachable
            | Outcome::Wrong(_)
            | Outcome::Unsent
            | Outcome::Void => {}
        }
    }
}

impl Line {
    fn best(&self) -> Option<State> {
        let order = [State::Up, State::Degraded, State::Probation, State::Down, State::Unknown, State::Disabled];
        order.into_iter().find(|state| self.settled.contains(&Some(*state)))
    }
}

/// `all` lists every value, so there always is one.
fn position<T: PartialEq>(all: &[T], value: T) -> usize {
    all.iter().position(|other| *other == value).unwrap_or(0)
}

#[cfg(test)]
#[path = "counts_tests.rs"]
mod tests;
