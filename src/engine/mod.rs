//! The pure whole: events in, actions and facts out, time as an argument. No clock, no socket, no log, no randomness but
//! a seed. The daemon, the simulator and `causeway replay` run this same code.
//!
//! [`Engine::handle`] and [`Engine::poll`] are the two ways in; `next_action` and `next_fact` the two ways out;
//! [`Engine::deadline`] says when `poll` is due. Lines judge themselves (`health`), paths decide (`policy`); here they are
//! joined: common causes, orders, drills, flows that must end.

pub mod action;
mod common;
pub mod drill;
pub mod event;
mod orders;
mod reconfigure;
pub mod record;
mod switching;

use std::collections::VecDeque;
use std::time::Duration;

use action::{Action, Fact};
use common::{Groups, Member};
use drill::Drill;
use event::Event;
use switching::FlowsEnd;

use crate::config::model::{Family, Gateway, PathId, Target, TargetId, Uplink, UplinkId};
use crate::health::line::{Elsewhere, Line};
use crate::health::passive::Own;
use crate::health::quality::WINDOW;
use crate::health::target::Kind;
use crate::health::{Note, Output, State};
use crate::policy::path::PathState;
use crate::policy::{Selection, Suppressed};
use crate::probe::flight::IN_FLIGHT;
use crate::probe::{Outcome, ProbeId, ProbeRequest};
use crate::time::Instant;

/// Being late by less is what any scheduler does.
const STALL_LEAST: Duration = Duration::from_millis(20);
/// Actions or facts that wait for the driver after one turn: 64 uplinks of two families, each with a burst of its own.
const WAITING: usize = 4_096;
/// Two lines behind portals look like one broken server until one of them is asked again, at the latest after this.
const SUSPECT_AGAIN: Duration = Duration::from_secs(60);
/// How early a steady probe can be at the most: an eighth of a second's interval.
const EARLY_MOST: Duration = Duration::from_millis(125);

pub struct Engine {
    config: Gateway,
    lines: Vec<[Option<Line>; 2]>,
    /// When each line wants to be polled; two to an uplink.
    deadlines: Vec<Instant>,
    /// The first of them.
    first_deadline: Instant,
    paths: Vec<[PathState; 2]>,
    groups: Groups,
    /// `[uplink][family][target]` → number among all targets of the uplink.
    numbers: Vec<[Vec<TargetId>; 2]>,
    preferred: Option<(UplinkId, Option<Instant>)>,
    drill: Option<Drill>,
    locked: bool,
    minute: Option<u16>,
    usage: Vec<u64>,
    budget_told: Vec<u8>,
    stall_limit: Duration,
    last_turn: Instant,
    stale_until: Instant,
    stalled_until: Instant,
    policy_due: Instant,
    ends: Vec<FlowsEnd>,
    /// Lines that went down since the paths were last decided.
    died: Vec<(UplinkId, Family)>,
    /// Dead lines that a path left in this decision.
    left: Vec<(PathId, Family, UplinkId)>,
    retries: Vec<(Instant, PathId, Family)>,
    watched: Vec<Option<Duration>>,
    /// Last proof of life to decision, of the newest switch away from a dead line.
    detection: Option<(u64, Duration)>,
    serial: u64,
    actions: VecDeque<Action>,
    facts: VecDeque<(Instant, Fact)>,
    output: Output,
}

impl Engine {
    /// `adopted` is what the kernel's path tables hold already; a path that is not named starts empty.
    pub fn new(config: Gateway, seed: u64, adopted: &[(PathId, Family, Selection)], now: Instant) -> Self {
        let lines: Vec<[Option<Line>; 2]> = config
            .uplinks
            .iter()
            .zip(0u64..)
            .map(|(uplink, n)| {
                let families = u32::from(uplink.has(Family::V4)) + u32::from(uplink.has(Family::V6));
                Family::BOTH.map(|family| {
                    let targets: Vec<&Target> = uplink.targets.iter().filter(|t| t.family == family).collect();
                    let seed = seed ^ (n * 2 + family.index() as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let metered = uplink.metered.is_some();
                    uplink
                        .has(family)
                        .then(|| Line::new(&uplink.profile, &targets, metered, families, uplink.enabled, seed, now))
                })
            })
            .collect();
        let found = |path, family| {
            let held = adopted.iter().find(|(p, f, _)| (*p, *f) == (path, family));
            held.map_or_else(Selection::default, |(_, _, selection)| selection.clone())
        };
        let paths =
            config.path_ids().map(|path| Family::BOTH.map(|family| PathState::new(found(path, family), now))).collect();
        let shortest = config.uplinks.iter().map(|uplink| uplink.profile.interval).min().unwrap_or(STALL_LEAST);
        let count = config.uplinks.len();
        let mut engine = Self {
            groups: Groups::new(&config),
            numbers: config.uplinks.iter().map(|uplink| Family::BOTH.map(|family| numbers(uplink, family))).collect(),
            deadlines: vec![now; count * 2],
            first_deadline: now,
            lines,
            paths,
            preferred: None,
            drill: None,
            locked: false,
            minute: None,
            usage: vec![0; count],
            budget_told: vec![0; count],
            stall_limit: (shortest / 4).max(STALL_LEAST),
            last_turn: now,
            stale_until: Instant::ORIGIN,
            stalled_until: Instant::ORIGIN,
            policy_due: now,
            ends: Vec::new(),
            died: Vec::new(),
            left: Vec::new(),
            retries: Vec::new(),
            watched: vec![None; count],
            detection: None,
            serial: 0,
            actions: VecDeque::new(),
            facts: VecDeque::new(),
            output: Output::default(),
            config,
        };
        engine.update_use(now);
        engine
    }

    // --- what is known

    pub fn config(&self) -> &Gateway {
        &self.config
    }

    pub fn line(&self, uplink: UplinkId, family: Family) -> Option<&Line> {
        self.lines.get(uplink.index())?[family.index()].as_ref()
    }

    pub fn path(&self, path: PathId, family: Family) -> &PathState {
        &self.paths[path.index()][family.index()]
    }

    pub fn is_locked(&self) -> bool {
        self.locked
    }

    pub fn preferred(&self) -> Option<(UplinkId, Option<Instant>)> {
        self.preferred
    }

    pub fn drilled(&self) -> Option<UplinkId> {
        self.drill.as_ref().map(|drill| drill.uplink)
    }

    pub fn usage(&self, uplink: UplinkId) -> u64 {
        self.usage.get(uplink.index()).copied().unwrap_or(0)
    }

    /// The configured target behind a target number of one family.
    pub fn target(&self, uplink: UplinkId, family: Family, target: TargetId) -> Option<&Target> {
        self.config.uplinks.get(uplink.index())?.targets.iter().filter(|t| t.family == family).nth(target.index())
    }

    /// The first thing here that has grown beyond its bound: what, how long, how long at the most. Never anything.
    pub fn over_bound(&self) -> Option<(&'static str, usize, usize)> {
        let paths = self.paths.len() * 2;
        let own = [
            ("actions", self.actions.len(), WAITING),
            ("facts", self.facts.len(), WAITING),
            ("ends of flows", self.ends.len(), paths * self.lines.len()),
            ("retries", self.retries.len(), paths),
        ];
        let over = |(_, length, most): &(&str, usize, usize)| length > most;
        let flight = || {
            let lines = self.lines.iter().flatten().flatten();
            lines.map(|line| ("probes in flight", line.in_flight(), IN_FLIGHT)).find(over)
        };
        let window = || {
            let settled = |line: &Line| usize::try_from(line.quality().settled()).unwrap_or(usize::MAX);
            let lines = self.lines.iter().flatten().flatten();
            lines.map(|line| ("quality window", settled(line), WINDOW)).find(over)
        };
        own.into_iter().find(over).or_else(flight).or_else(window)
    }

    // --- what comes in

    pub fn handle(&mut self, event: Event, now: Instant) {
        self.notice_stall(now);
        match event {
            Event::Link { uplink, link } => {
                for family in Family::BOTH {
                    self.with_line(uplink, family, now, |line, out| line.handle_link(link, now, out));
                }
            }
            Event::Address { uplink, family, address } => {
                self.with_line(uplink, family, now, |line, out| line.handle_address(address, now, out));
            }
            Event::Gateway { uplink, family, gateway } => {
                self.with_line(uplink, family, now, |line, out| line.handle_gateway(gateway, now, out));
            }
            Event::Neighbour { uplink, family, reachable } => {
                self.with_line(uplink, family, now, |line, _| line.handle_gateway_asked(reachable));
            }
            Event::Counters { uplink, received, sent, received_bytes: _, sent_bytes: _ } => {
                let mut own = Own::default();
                for line in self.lines.get_mut(uplink.index()).into_iter().flatten().flatten() {
                    let Own { received, sent } = line.take_own();
                    own = Own { received: own.received + received, sent: own.sent + sent };
                }
                for family in Family::BOTH {
                    self.with_line(uplink, family, now, |line, out| {
                        line.handle_counters(received, sent, own, now, out)
                    });
                }
                self.update_watch(uplink, now);
            }
            Event::ProbeSent { probe, at, bytes: _ } => {
                self.with_line(probe.uplink, probe.family, now, |line, _| line.handle_sent(probe.sequence, at));
            }
            Event::ProbeUnsent { probe, reason: _ } => {
                self.with_line(probe.uplink, probe.family, now, |line, out| line.handle_unsent(probe.sequence, out));
            }
            Event::EchoReply { uplink, family, from, sequence, cookie, received } => {
                self.with_line(uplink, family, now, |line, out| {
                    line.handle_echo(sequence, cookie, from, received, now, out);
                });
            }
            Event::ProbeAnswered { probe, answer, received } => {
                self.with_line(probe.uplink, probe.family, now, |line, out| {
                    line.handle_answer(probe.sequence, answer, received, now, out);
                });
            }
            Event::Switched { path, family, serial, took } => self.handle_switched(path, family, serial, took, now),
            Event::SwitchFailed { path, family, serial } => self.handle_switch_failed(path, family, serial, now),
            Event::Usage { uplink, bytes } => self.handle_usage(uplink, bytes, now),
            Event::LocalTime { minute } => {
                if self.minute.replace(minute) != Some(minute) {
                    self.policy_due = now;
                }
            }
            Event::Command { command, by } => self.handle_command(command, by, now),
        }
        self.decide_if_due(now);
    }

    /// Everything that is due by time.
    pub fn poll(&mut self, now: Instant) {
        self.notice_stall(now);
        if self.first_deadline <= now {
            for index in 0..self.deadlines.len() {
                if self.deadlines[index] <= now {
                    let (uplink, family) = line_at(index);
                    self.with_line(uplink, family, now, |line, out| line.poll(now, out));
                }
            }
            // The processor is awake: what would wake it again in a moment is done now.
            let soon = now + EARLY_MOST;
            if self.first_deadline <= soon {
                self.poll_early(soon, now);
            }
        }
        self.poll_orders(now);
        self.poll_ends(now);
        self.decide_if_due(now);
    }

    fn poll_early(&mut self, soon: Instant, now: Instant) {
        for index in 0..self.deadlines.len() {
            if self.deadlines[index] > soon {
                continue;
            }
            let (uplink, family) = line_at(index);
            if self.line(uplink, family).is_some_and(|line| line.is_nearly_due(now)) {
                self.with_line(uplink, family, now, |line, out| line.poll_early(now, out));
            }
        }
    }

    /// Whether `poll` may hold against a line what was not answered. Whoever polls takes first what has arrived.
    pub fn judges_silence(&self, now: Instant) -> bool {
        self.lines.iter().flatten().flatten().any(|line| line.judges_silence(now))
    }

    /// When `poll` has something to do.
    pub fn deadline(&self) -> Instant {
        let preferred = self.preferred.and_then(|(_, until)| until).unwrap_or(Instant::NEVER);
        let drill = self.drill.as_ref().map_or(Instant::NEVER, Drill::due);
        let ends = self.ends.iter().map(|end| end.at).min().unwrap_or(Instant::NEVER);
        let retries = self.retries.iter().map(|(at, ..)| *at).min().unwrap_or(Instant::NEVER);
        self.first_deadline.min(self.policy_due).min(preferred).min(drill).min(ends).min(retries)
    }

    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub fn next_fact(&mut self) -> Option<(Instant, Fact)> {
        self.facts.pop_front()
    }

    // --- lines

    fn with_line(&mut self, uplink: UplinkId, family: Family, now: Instant, act: impl FnOnce(&mut Line, &mut Output)) {
        let Some(line) = self.lines.get_mut(uplink.index()).and_then(|line| line[family.index()].as_mut()) else {
            self.set_deadline(uplink, family, Instant::NEVER);
            return;
        };
        act(line, &mut self.output);
        let (deadline, patience) = (line.deadline(), line.settle_after());
        self.set_deadline(uplink, family, deadline);
        if self.output.is_empty() {
            return;
        }
        for index in 0..self.output.probes.len() {
            let (target, sequence, cookie) = self.output.probes[index];
            let target = self.site_target(uplink, family, target);
            let probe = ProbeId { uplink, family, target, sequence };
            // The edge may forget a probe when the line has settled it.
            self.actions.push_back(Action::Probe(ProbeRequest { probe, cookie, patience }));
        }
        self.output.probes.clear();
        if self.output.notes.is_empty() {
            return;
        }
        // A note may make other lines act, which tell of themselves.
        let mut notes = std::mem::take(&mut self.output.notes);
        for note in notes.drain(..) {
            self.handle_note(uplink, family, note, now);
        }
        self.output.notes = notes;
    }

    fn set_deadline(&mut self, uplink: UplinkId, family: Family, deadline: Instant) {
        let Some(slot) = self.deadlines.get_mut(uplink.index() * 2 + family.index()) else { return };
        let before = std::mem::replace(slot, deadline);
        if deadline <= self.first_deadline {
            self.first_deadline = deadline;
        } else if before == self.first_deadline {
            self.first_deadline = self.deadlines.iter().copied().min().unwrap_or(Instant::NEVER);
        }
    }

    fn handle_note(&mut self, uplink: UplinkId, family: Family, note: Note, now: Instant) {
        match note {
            Note::Settled { target, outcome } => {
                self.compare_lines(uplink, family, target, outcome, now);
                let target = self.site_target(uplink, family, target);
                self.tell(Fact::ProbeSettled { uplink, target, outcome }, now);
            }
            Note::Transition { from, to, mut evidence } => {
                for target in evidence.silent_targets.iter_mut().chain(&mut evidence.suspect_targets) {
                    *target = self.site_target(uplink, family, *target);
                }
                // A suspicion, and a suspicion that was none, change nothing for the paths.
                if to != State::Suspect && (from != State::Suspect || to == State::Down || to == State::Degraded) {
                    self.policy_due = now;
                }
                if to == State::Down {
                    self.died.push((uplink, family));
                }
                self.tell(Fact::Transition { uplink, family, from, to, evidence }, now);
                self.update_watch(uplink, now);
            }
            Note::Reassess => self.policy_due = now,
            Note::Suspicion { confirmed } => self.tell(Fact::Suspicion { uplink, family, confirmed }, now),
            Note::OutageOpened { since, cause } => {
                self.tell(Fact::OutageOpened { uplink, family, since, cause }, now);
            }
            Note::OutageClosed { since, until, cause, flaps } => {
                self.tell(Fact::OutageClosed { uplink, family, since, until, cause, flaps }, now);
            }
        }
    }

    /// What this outcome says about the target itself, seen over all lines.
    fn compare_lines(&mut self, uplink: UplinkId, family: Family, target: TargetId, outcome: Outcome, now: Instant) {
        if matches!(outcome, Outcome::Unsent | Outcome::Void) {
            return;
        }
        let Some(line) = self.lines[uplink.index()][family.index()].as_ref() else { return };
        let failed_in_row = line.targets().get(target.index()).map_or(0, |target| target.failed_in_row);
        let Some(group) = self.groups.handle_settled(uplink, family, target, failed_in_row) else { return };
        let (mut asked, mut failing, mut troubled) = (0, 0, false);
        for member in &group.members {
            let Some(line) = self.lines[member.uplink.index()][member.family.index()].as_ref() else { continue };
            let failed = line.targets().get(member.target.index()).map_or(0, |target| target.failed_in_row);
            troubled |= failed > 0;
            let others = || line.targets().iter().enumerate().filter(|(n, _)| *n != member.target.index());
            // A line on which nothing answers says nothing about a target.
            if !line.is_local_ok() || !others().any(|(_, other)| other.failed_in_row == 0 && other.last_reply.is_some())
            {
                continue;
            }
            asked += 1;
            failing += u32::from(failed >= common::FAILED_AFTER);
        }
        let suspect = if group.suspect { failed_in_row > 0 } else { asked > 1 && failing == asked };
        let changed = std::mem::replace(&mut group.suspect, suspect) != suspect;
        group.troubled = troubled;
        let members = group.members.clone();
        for member in &members {
            let (elsewhere, newest) = self.known_elsewhere(*member, &members);
            if let Some(line) = self.lines[member.uplink.index()][member.family.index()].as_mut() {
                line.set_elsewhere(member.target, elsewhere, newest);
                line.set_suspect_target(member.target, suspect);
            }
            if changed {
                let target = self.site_target(member.uplink, member.family, member.target);
                self.tell(Fact::TargetSuspect { uplink: member.uplink, target, suspect }, now);
            }
        }
        if failed_in_row > 0 {
            self.ask_elsewhere(Member { uplink, family, target }, &members, suspect, now);
        }
    }

    /// How this target does through the other lines, and its newest answer there.
    fn known_elsewhere(&self, of: Member, members: &[Member]) -> (Elsewhere, Option<(Instant, Instant)>) {
        let others = members.iter().filter(|other| **other != of);
        let targets =
            others.filter_map(|other| self.line(other.uplink, other.family)?.targets().get(other.target.index()));
        let (mut elsewhere, mut newest) = (Elsewhere::NotAsked, None);
        for target in targets {
            if let (Some(received), 0) = (target.last_reply, target.failed_in_row) {
                elsewhere = Elsewhere::Answers;
                newest = newest.max(Some((target.answered_up_to, received)));
            } else if target.failed_in_row > 0 && elsewhere == Elsewhere::NotAsked {
                elsewhere = Elsewhere::Fails;
            }
        }
        (elsewhere, newest)
    }

    /// A service fails here: the lines that have not asked it since are asked to, so that a broken server is told from a
    /// broken line soon, even by a standby that asks once in two minutes.
    fn ask_elsewhere(&mut self, of: Member, members: &[Member], suspect: bool, now: Instant) {
        let Some(line) = self.line(of.uplink, of.family) else { return };
        let failing = line.targets().get(of.target.index()).filter(|t| t.kind != Kind::Icmp);
        let failing = failing.and_then(|target| target.compare_since());
        let Some(first) = failing.filter(|_| line.state() != State::Down) else { return };
        // Of a target that seems to fail everywhere it is enough to hear now and then.
        let since = if suspect { now - SUSPECT_AGAIN } else { first };
        for other in members.iter().filter(|other| **other != of) {
            self.with_line(other.uplink, other.family, now, |line, _| line.ask_since(other.target, since, now));
        }
    }

    /// The number of a family's target among all targets of the uplink, as config, facts and labels use it.
    pub fn site_target(&self, uplink: UplinkId, family: Family, target: TargetId) -> TargetId {
        let numbers = &self.numbers[uplink.index()][family.index()];
        numbers.get(target.index()).copied().unwrap_or(target)
    }

    /// `poll` was due long ago: our own process did not run. What waited meanwhile says nothing about the lines.
    fn notice_stall(&mut self, now: Instant) {
        // Whoever was here a moment ago was not away.
        if now >= std::mem::replace(&mut self.last_turn, now) + self.stall_limit {
            self.notice_gap(now);
        }
    }

    /// Apart, because each event comes by and hardly any was late.
    #[cold]
    fn notice_gap(&mut self, now: Instant) {
        // What was noticed once is not noticed again by the events that waited with it.
        let late = now.since(self.deadline().max(self.stalled_until));
        if late < self.stall_limit {
            return;
        }
        self.stalled_until = now;
        for line in self.lines.iter_mut().flatten().flatten() {
            line.handle_stall(late);
        }
        self.stale_until = now + Duration::from_millis(500);
        self.tell(Fact::Stalled { for_time: late }, now);
    }

    fn tell(&mut self, fact: Fact, now: Instant) {
        self.facts.push_back((now, fact));
    }

    fn tell_suppressed(&mut self, path: PathId, family: Family, reason: Suppressed, now: Instant) {
        self.tell(Fact::NotSwitched { path, family, reason }, now);
    }
}

fn line_at(index: usize) -> (UplinkId, Family) {
    (UplinkId(u8::try_from(index / 2).unwrap_or(u8::MAX)), Family::BOTH[index % 2])
}

fn numbers(uplink: &Uplink, family: Family) -> Vec<TargetId> {
    let targets = (0u8..).map(TargetId).zip(&uplink.targets);
    targets.filter(|(_, target)| target.family == family).map(|(number, _)| number).collect()
}

#[cfg(test)]
mod tests;
