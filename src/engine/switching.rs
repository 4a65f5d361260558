//! From lines to switches: the views that policy decides on, and what a decision asks of the kernel.

use std::time::Duration;

use super::Engine;
use super::action::{Action, DrillStep, Fact, Switch};
use crate::config::model::{FailbackFlows, Family, PathId, UplinkId};
use crate::health::{State, Verdict};
use crate::policy::choice::Rank;
use crate::policy::path::{Decision, LineView};
use crate::policy::{Reason, Selection};
use crate::time::Instant;

/// Running flows of a path on an uplink that are to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlowsEnd {
    pub at: Instant,
    pub uplink: UplinkId,
    pub family: Family,
    pub path: PathId,
}

/// Somebody's upload fills a queue for so long, on a line of any profile, and nobody is to be moved for it.
const FULL_QUEUE: Duration = Duration::from_secs(30);
/// The kernel refused a switch: ask again after this.
const RETRY: Duration = Duration::from_millis(100);

impl Engine {
    pub(super) fn decide_if_due(&mut self, now: Instant) {
        if self.policy_due <= now {
            self.policy_due = Instant::NEVER;
            self.decide(now);
        }
    }

    /// Apart, because each event asks whether it is due and few find it so.
    #[inline(never)]
    fn decide(&mut self, now: Instant) {
        let orders = self.orders(now);
        for family in Family::BOTH {
            if !self.config.uplinks.iter().any(|uplink| uplink.has(family)) {
                continue;
            }
            let views: Vec<Option<LineView>> =
                self.config.uplink_ids().map(|uplink| self.view(uplink, family, now)).collect();
            let mut switches = Vec::new();
            for id in self.config.path_ids() {
                let path = &self.config.paths[id.index()];
                let state = &mut self.paths[id.index()][family.index()];
                match state.decide(path, &views, &orders, now) {
                    Decision::Keep { suppressed, recheck } => {
                        let changed = state.suppressed != suppressed;
                        state.suppressed = suppressed;
                        self.policy_due = self.policy_due.min(recheck.max(now + Duration::from_millis(1)));
                        if let (true, Some(reason)) = (changed, suppressed) {
                            self.tell_suppressed(id, family, reason, now);
                        }
                    }
                    Decision::Switch { to, reason } => {
                        let from = std::mem::take(&mut state.selection);
                        state.handle_switch(to.clone(), reason, &orders, now);
                        switches.push((id, from, to, reason));
                    }
                }
            }
            self.switch_all(switches, family, &views, now);
        }
        self.end_flows_of_the_dead(now);
        self.update_use(now);
    }

    fn switch_all(
        &mut self,
        switches: Vec<(PathId, Selection, Selection, Reason)>,
        family: Family,
        views: &[Option<LineView>],
        now: Instant,
    ) {
        let rank = |uplink: UplinkId| views.get(uplink.index()).and_then(Option::as_ref).map(|view| view.rank);
        for (path, from, to, reason) in switches {
            let left = from.uplinks().filter(|uplink| !to.contains(*uplink) && !to.is_empty());
            let dead: Vec<UplinkId> =
                left.filter(|uplink| rank(*uplink).is_none_or(|rank| rank >= Rank::Loss)).collect();
            self.left.extend(dead.iter().map(|uplink| (path, family, *uplink)));
            self.serial += 1;
            let life = |uplink: UplinkId| views.get(uplink.index())?.as_ref()?.last_life;
            let last_life = from.uplinks().filter(|uplink| !to.contains(*uplink)).filter_map(life).max();
            if reason == Reason::Failback {
                self.plan_failback_flows(path, family, &from, &to, now);
            }
            if let (Reason::Down(_), Some(life)) = (reason, last_life) {
                self.detection = Some((self.serial, now.since(life)));
            }
            self.paths[path.index()][family.index()].unconfirmed = Some(self.serial);
            let switch = Switch { serial: self.serial, path, family, from, to, reason, dead, last_life, decided: now };
            let switch = Box::new(switch);
            self.tell(Fact::Switch(switch.clone()), now);
            self.actions.push_back(Action::Switch(switch));
        }
    }

    fn plan_failback_flows(&mut self, path: PathId, family: Family, from: &Selection, to: &Selection, now: Instant) {
        let at = match self.config.paths[path.index()].failback.flows {
            FailbackFlows::Drain { at_most: None } => return,
            FailbackFlows::Drain { at_most: Some(time) } | FailbackFlows::Cut { grace: time } => now + time,
            // At once and all of the path, so that the flows of one client stay together.
            FailbackFlows::Together => now + RETRY,
        };
        for uplink in from.uplinks().filter(|uplink| !to.contains(*uplink)) {
            self.end_flows_at(at, uplink, family, path);
        }
    }

    /// A line died on which old flows may still run although no path sends new ones there (after a failback, or port
    /// forwards). They go only if there is a better one.
    fn end_flows_of_the_dead(&mut self, now: Instant) {
        for (uplink, family) in std::mem::take(&mut self.died) {
            let elsewhere = |path: &PathId| {
                // A path that just left it takes its flows along.
                !self.left.contains(&(*path, family, uplink)) && self.is_better_off(*path, family, uplink)
            };
            let paths: Vec<PathId> = self.config.path_ids().filter(elsewhere).collect();
            for path in paths {
                self.end_flows_at(now, uplink, family, path);
            }
        }
        self.left.clear();
        self.poll_ends(now);
    }

    /// The path sends its new flows through usable uplinks, and not through this one.
    fn is_better_off(&self, path: PathId, family: Family, without: UplinkId) -> bool {
        let selection = &self.paths[path.index()][family.index()].selection;
        let usable = |id: UplinkId| {
            self.line(id, family).is_some_and(|line| matches!(line.settled_state(), State::Up | State::Degraded))
        };
        !selection.contains(without) && selection.uplinks().any(usable)
    }

    fn end_flows_at(&mut self, at: Instant, uplink: UplinkId, family: Family, path: PathId) {
        let same = |end: &&mut FlowsEnd| (end.uplink, end.family, end.path) == (uplink, family, path);
        match self.ends.iter_mut().find(same) {
            Some(end) => end.at = end.at.min(at),
            None => self.ends.push(FlowsEnd { at, uplink, family, path }),
        }
    }

    pub(super) fn poll_ends(&mut self, now: Instant) {
        if !self.ends.is_empty() || !self.retries.is_empty() {
            self.end_what_is_due(now);
        }
    }

    fn end_what_is_due(&mut self, now: Instant) {
        if self.ends.iter().any(|end| end.at <= now) {
            let (due, later) = std::mem::take(&mut self.ends).into_iter().partition(|end| end.at <= now);
            self.ends = later;
            let due: Vec<FlowsEnd> = due;
            for FlowsEnd { uplink, family, path, .. } in due {
                if self.paths[path.index()][family.index()].unconfirmed.is_some() {
                    // The route first: flows that reconnect before it is changed would go where they came from.
                    self.end_flows_at(now + RETRY, uplink, family, path);
                } else if self.is_better_off(path, family, uplink) {
                    self.actions.push_back(Action::EndFlows { uplink, family, path });
                }
                // Else the path went back to that uplink meanwhile, so its flows are where they belong; or its uplinks
                // died and there is nowhere better for them.
            }
        }
        if self.retries.iter().any(|(at, ..)| *at <= now) {
            let (due, later) = std::mem::take(&mut self.retries).into_iter().partition(|(at, ..)| *at <= now);
            self.retries = later;
            let due: Vec<(Instant, PathId, Family)> = due;
            for (_, path, family) in due {
                self.ask_again(path, family, now);
            }
        }
    }

    pub(super) fn handle_switched(&mut self, path: PathId, family: Family, serial: u64, took: Duration, now: Instant) {
        let state = &mut self.paths[path.index()][family.index()];
        if state.unconfirmed.is_some_and(|newest| newest <= serial) {
            state.unconfirmed = None;
        }
        let state = &self.paths[path.index()][family.index()];
        let detection = match state.reason {
            Some(Reason::Down(_)) => self.detection.take().filter(|(s, _)| *s == serial).map(|(_, time)| time),
            Some(
                Reason::Start
                | Reason::Degraded
                | Reason::Failback
                | Reason::Share
                | Reason::Better
                | Reason::Manual
                | Reason::Drill
                | Reason::DrillEnd
                | Reason::Budget,
            )
            | None => None,
        };
        self.tell(Fact::Switched { serial, path, family, detection, took }, now);
        if let Some(drill) = self.drill.as_mut()
            && drill.moved.is_none()
            && self.paths[path.index()][family.index()].selection.contains(drill.uplink)
        {
            drill.moved = Some(now);
            let uplink = drill.uplink;
            self.tell(Fact::Drill { uplink, step: DrillStep::Moved }, now);
        }
    }

    pub(super) fn handle_switch_failed(&mut self, path: PathId, family: Family, serial: u64, now: Instant) {
        self.tell(Fact::SwitchFailed { serial, path, family }, now);
        if !self.retries.iter().any(|(_, p, f)| (*p, *f) == (path, family)) {
            self.retries.push((now + RETRY, path, family));
        }
    }

    fn ask_again(&mut self, path: PathId, family: Family, now: Instant) {
        let state = &self.paths[path.index()][family.index()];
        let dead = self.config.uplink_ids().filter(|uplink| {
            let view = self.view(*uplink, family, now);
            !state.selection.contains(*uplink) && view.is_some_and(|view| view.rank >= Rank::Loss)
        });
        let switch = Switch {
            serial: self.serial + 1,
            path,
            family,
            from: state.selection.clone(),
            to: state.selection.clone(),
            reason: state.reason.unwrap_or(Reason::Start),
            dead: if state.selection.is_empty() { Vec::new() } else { dead.collect() },
            last_life: None,
            decided: now,
        };
        self.serial += 1;
        self.paths[path.index()][family.index()].unconfirmed = Some(self.serial);
        self.actions.push_back(Action::Switch(Box::new(switch)));
    }

    pub(super) fn view(&self, uplink: UplinkId, family: Family, now: Instant) -> Option<LineView> {
        let line = self.line(uplink, family)?;
        let config = self.config.uplink(uplink);
        let spent =
            config.metered.is_some_and(|metered| self.usage(uplink) >= metered.plan.saturating_sub(metered.reserve));
        let (mut rank, mut patience) = (Rank::Dead, Duration::ZERO);
        match line.settled_state() {
            State::Disabled => return None,
            State::Up => rank = Rank::Up,
            State::Degraded => {
                rank = Rank::Degraded;
                // The window remembers a full queue for as long again; a line that is lossy for sure is not waited for.
                let window = config.profile.quality_window;
                let slow = (window * 5 / 2).max(FULL_QUEUE + window * 3 / 2);
                patience = if line.is_lossy() { Duration::ZERO } else { slow };
            }
            State::Probation => rank = Rank::Probation,
            State::Unknown if !line.is_local_lost(now) => rank = Rank::Unknown,
            State::Down if line.verdict() == Some(Verdict::Loss) => rank = Rank::Loss,
            State::Unknown | State::Down | State::Suspect => {}
        }
        if spent && rank < Rank::OverBudget {
            rank = Rank::OverBudget;
        }
        let flaps = line.flaps();
        let base = config.profile.recover_after;
        Some(LineView {
            rank,
            weight: config.weight,
            since: line.settled_since(),
            patience,
            verdict: line.verdict(),
            last_life: line.last_life(),
            local_ok: line.is_local_ok(),
            flapping: flaps.is_flapping(now),
            back_off: flaps.recover_after(base, now).saturating_sub(base),
        })
    }

    /// Lines in use are probed faster and watched.
    pub(super) fn update_use(&mut self, now: Instant) {
        for uplink in self.config.uplink_ids() {
            for family in Family::BOTH {
                let used = self.paths.iter().any(|path| path[family.index()].selection.contains(uplink));
                if let Some(line) = self.lines[uplink.index()][family.index()].as_mut() {
                    line.set_in_use(used, now);
                    let deadline = line.deadline();
                    self.set_deadline(uplink, family, deadline);
                }
            }
            self.update_watch(uplink, now);
        }
    }

    pub(super) fn update_watch(&mut self, uplink: UplinkId, now: Instant) {
        let lines = self.lines[uplink.index()].iter().flatten();
        let every = lines.filter_map(|line| line.counters_every(now)).min();
        if std::mem::replace(&mut self.watched[uplink.index()], every) != every {
            self.actions.push_back(Action::WatchCounters { uplink, every });
        }
    }
}
