//! Switches, the kernel's state, and what must have happened by now.

use std::time::Duration;

use super::super::bounds::{self, Circumstances};
use super::super::wire::{Condition, Kind, Truth};
use super::{Check, Rule, Scene};
use crate::config::model::{FailbackWhen, Family, Otherwise, Path, PathId, UplinkId};
use crate::engine::action::{DrillRefusal, DrillStep, Switch};
use crate::engine::drill;
use crate::health::State;
use crate::policy::path::FIRST_CHOICE;
use crate::policy::{Reason, Selection};
use crate::time::Instant;

/// A switch that the kernel took or refused is right within this (I3).
const KERNEL: Duration = Duration::from_secs(1);
/// Returns to one uplink in an hour: each flap doubles probation and patience, from 10 s and no wait at all.
const FAILBACKS_AN_HOUR: usize = 14;
/// A process with 5 % of a core may be so much later (G21).
const STARVED: Duration = Duration::from_millis(1_500);
/// An uplink that is spent is left within this.
const BUDGET: Duration = Duration::from_secs(5);
/// A service cannot be told to be gone while its only server is in ill repute.
const UNSURE: Duration = Duration::from_secs(86_400);
/// A target in ill repute is remembered for so long after it is well again.
const BAD_TARGET: Duration = Duration::from_secs(300);

impl Check {
    /// A switch was decided.
    pub(crate) fn switch(&mut self, switch: &Switch, scene: &Scene<'_>) {
        let now = scene.now;
        let path = &scene.config.paths[switch.path.index()];
        if matches!(switch.reason, Reason::Down(_) | Reason::Degraded) {
            self.failovers += 1;
        }
        self.judge_order_of_things(switch, path, scene);
        self.judge_hold(switch, path, scene);
        if let Some(minute) = self.clock {
            let window = matches!(path.failback.when, FailbackWhen::Window { from, to } if is_in(minute, from, to));
            if switch.reason != Reason::Failback || !window {
                self.broken(Rule::WallClock, now, || format!("{switch:?} at minute {minute}"));
            }
        }
        if self.orders.locked {
            let allowed = matches!(switch.reason, Reason::Down(_) | Reason::Manual | Reason::Drill | Reason::Start)
                || switch.from == switch.to
                || switch.from.is_empty();
            if !allowed {
                self.broken(Rule::Orders, now, || format!("locked, but {:?} of path {}", switch.reason, path.name));
            }
        }
        let held = scene.kernel.installed(switch.path, switch.family);
        let works = |uplink: UplinkId| scene.wire(uplink, switch.family).is_good_for(Duration::from_secs(120), now);
        let leaves = held.uplinks().any(|uplink| !switch.to.contains(uplink) && works(uplink));
        let afresh = switch.reason == Reason::Start && !held.is_empty();
        // A daily window may open in these very seconds.
        let window = matches!(path.failback.when, FailbackWhen::Window { .. }) && switch.reason == Reason::Failback;
        let ordered = matches!(switch.reason, Reason::Manual | Reason::Drill | Reason::Budget);
        if now < self.still_until && !ordered && (leaves && !window || afresh) {
            self.broken(Rule::Adopted, now, || {
                format!("{:?} after a start took {:?} away from {held:?}", switch.reason, switch.to)
            });
        }
        if switch.from != switch.to {
            self.paths[switch.path.index()][switch.family.index()].switched = Some(now);
        }
    }

    fn judge_order_of_things(&mut self, switch: &Switch, path: &Path, scene: &Scene<'_>) {
        let now = scene.now;
        let family = switch.family;
        if switch.to.is_empty() && path.otherwise != Otherwise::Reject {
            self.broken(Rule::LastUplink, now, || format!("path {} is left without any uplink", path.name));
        }
        let profile = |uplink: UplinkId| &scene.config.uplink(uplink).profile;
        for uplink in &switch.dead {
            let glow = bounds::afterglow(profile(*uplink));
            let healthy = scene.wire(*uplink, family).is_good_for(glow * 2, now)
                && scene.engine.line(*uplink, family).is_some_and(|line| line.settled_state() == State::Up);
            if healthy || switch.to.contains(*uplink) || switch.to.is_empty() {
                self.broken(Rule::LastUplink, now, || {
                    format!("flows on {} are to end, the path uses {:?}", scene.name(*uplink), switch.to)
                });
            }
        }
    }

    fn judge_hold(&mut self, switch: &Switch, path: &Path, scene: &Scene<'_>) {
        let now = scene.now;
        let held = &mut self.paths[switch.path.index()][switch.family.index()];
        let since = held.switched.map_or(Duration::MAX, |at| now.since(at));
        if switch.from == switch.to {
            return;
        }
        if switch.reason == Reason::Failback {
            while held.failbacks.front().is_some_and(|at| now.since(*at) > Duration::from_secs(3_600)) {
                held.failbacks.pop_front();
            }
            held.failbacks.push_back(now);
            if held.failbacks.len() > FAILBACKS_AN_HOUR * path.uplinks().count() {
                self.broken(Rule::Holds, now, || format!("path {} returned too often within an hour", path.name));
            }
            self.judge_failback(switch, path, scene);
        }
        let planned = matches!(
            switch.reason,
            Reason::Degraded | Reason::Failback | Reason::Share | Reason::Better | Reason::Budget
        );
        let booting = now.since(scene.process.started.max(self.began)) < Duration::from_secs(4);
        if planned && !booting && !switch.from.is_empty() && since < path.min_hold {
            self.broken(Rule::Holds, now, || {
                format!("path {}: {:?} only {since:?} after the switch before", path.name, switch.reason)
            });
        }
    }

    fn judge_failback(&mut self, switch: &Switch, path: &Path, scene: &Scene<'_>) {
        let now = scene.now;
        for uplink in switch.to.uplinks().filter(|uplink| !switch.from.contains(*uplink)) {
            let up = self.lines[uplink.index()][switch.family.index()].up_since;
            let needed = match path.failback.when {
                FailbackWhen::After(after) => after,
                FailbackWhen::Never => Duration::MAX,
                FailbackWhen::Window { .. } => Duration::ZERO,
            };
            // From one bad line to a less bad one there is nothing to wait for but the same.
            let state = scene.engine.line(uplink, switch.family).map(|line| line.settled_state());
            if state == Some(State::Up) && up.is_none_or(|up| now.since(up) < needed) {
                self.broken(Rule::Holds, now, || {
                    let name = scene.name(uplink);
                    format!("path {} returned to {name}, up since {up:?}, {needed:?} asked", path.name)
                });
            }
        }
    }

    pub(crate) fn end_flows(&mut self, uplink: UplinkId, family: Family, path: PathId, scene: &Scene<'_>) {
        let held = scene.kernel.installed(path, family);
        let alive = |id: UplinkId| {
            let line = scene.engine.line(id, family);
            line.is_some_and(|line| !matches!(line.settled_state(), State::Down | State::Disabled))
        };
        if held.contains(uplink) || !held.uplinks().any(alive) {
            self.broken(Rule::LastUplink, scene.now, || {
                format!("flows on {} end while the kernel routes by {held:?}", scene.name(uplink))
            });
        }
    }

    pub(super) fn preferred_ended(&mut self, scene: &Scene<'_>) {
        self.orders.preferred = None;
        self.orders.changed = scene.now;
    }

    pub(super) fn drill_step(&mut self, step: &DrillStep, scene: &Scene<'_>) {
        self.orders.changed = scene.now;
        match step {
            DrillStep::Refused { why: DrillRefusal::AlreadyRunning } => {}
            DrillStep::Refused { .. } | DrillStep::Passed { .. } | DrillStep::Failed { .. } | DrillStep::Aborted => {
                self.orders.drill = None;
            }
            DrillStep::Started | DrillStep::Moved => {}
        }
    }

    // --- what must be true by now

    /// All rules that time can break; says when to look again.
    pub(crate) fn recheck(&mut self, scene: &Scene<'_>) {
        let mut due = Instant::NEVER;
        for path in scene.config.path_ids() {
            for family in Family::BOTH {
                due = due.min(self.recheck_kernel(path, family, scene));
                due = due.min(self.recheck_usable(path, family, scene));
                due = due.min(self.recheck_budget(path, family, scene));
            }
        }
        due = due.min(self.recheck_orders(scene));
        self.due = due.max(scene.now + Duration::from_millis(1));
    }

    fn recheck_kernel(&mut self, id: PathId, family: Family, scene: &Scene<'_>) -> Instant {
        let now = scene.now;
        let (wanted, held) = (&scene.engine.path(id, family).selection, scene.kernel.installed(id, family));
        let check = &mut self.paths[id.index()][family.index()];
        if wanted == held || !scene.process.is_alive() {
            check.differs_since = None;
            return Instant::NEVER;
        }
        let since = *check.differs_since.get_or_insert(now);
        let limit = since.max(scene.kernel.settled_at()).max(scene.process.calm_since) + KERNEL;
        if now >= limit {
            let name = &scene.config.paths[id.index()].name;
            self.broken(Rule::Kernel, now, || format!("path {name} ({family}) wants {wanted:?}, kernel has {held:?}"));
        }
        limit
    }

    fn recheck_usable(&mut self, id: PathId, family: Family, scene: &Scene<'_>) -> Instant {
        let path = &scene.config.paths[id.index()];
        let held = scene.kernel.installed(id, family);
        let floor = scene.process.calm_since.max(scene.kernel.settled_at());
        if !scene.process.is_alive() {
            return Instant::NEVER;
        }
        let mut worst: Option<(Instant, String)> = None;
        for uplink in held.uplinks() {
            let Truth::Bad(kind) = scene.wire(uplink, family).truth() else { continue };
            let Some(choice) = self.choice(path, family, kind, scene) else { continue };
            let installed = self.paths[id.index()][family.index()].installed_at;
            let began = scene.wire(uplink, family).since.max(installed).max(floor);
            let detection = self.detection(uplink, family, kind, scene);
            let limit = match kind {
                // Only a line that works can tell that it is not the server.
                Kind::Portal | Kind::Dns | Kind::Tcp => began.max(choice) + detection,
                Kind::Local | Kind::Silent | Kind::Loss => (began + detection).max(choice),
            } + bounds::SWITCH;
            if worst.as_ref().is_none_or(|(at, _)| limit < *at) {
                let condition = scene.wire(uplink, family).condition;
                let text = format!(
                    "path {} ({family}) still uses {}, which is {condition:?} since {:?} ({:?} in use); others {:?}",
                    path.name,
                    scene.name(uplink),
                    scene.now.since(scene.wire(uplink, family).since),
                    scene.now.since(installed),
                    path.uplinks()
                        .filter(|other| *other != uplink)
                        .map(|other| scene.wire(other, family))
                        .map(|wire| (
                            wire.condition,
                            scene.now.since(wire.since),
                            wire.last_fault.map(|(kind, _)| kind)
                        ))
                        .collect::<Vec<_>>(),
                );
                worst = Some((limit, text));
            }
        }
        if held.is_empty()
            && let Some(choice) = self.choice(path, family, Kind::Silent, scene)
        {
            worst = Some((choice.max(floor) + KERNEL, format!("path {} ({family}) uses nothing", path.name)));
        }
        let Some((limit, text)) = worst else { return Instant::NEVER };
        if scene.now >= limit {
            self.broken(Rule::Usable, scene.now, || text);
        }
        limit
    }

    /// When the first truly usable uplink of this path is a choice.
    fn choice(&self, path: &Path, family: Family, fault: Kind, scene: &Scene<'_>) -> Option<Instant> {
        let ready = path.uplinks().filter_map(|uplink| {
            let config = scene.config.uplink(uplink);
            let wire = scene.wire(uplink, family);
            if !config.has(family) || !config.enabled || wire.truth() != Truth::Good {
                return None;
            }
            let back = bounds::return_of(config, family, wire.last_fault.map(|(kind, _)| kind), fault);
            let compared = match fault {
                Kind::Portal | Kind::Dns | Kind::Tcp => {
                    let service = |kind| matches!(kind, Kind::Portal | Kind::Dns | Kind::Tcp);
                    let failed_too = wire.last_fault.is_some_and(|(kind, _)| service(kind));
                    bounds::comparison(config, family, wire.loss > 0.0, failed_too)
                }
                Kind::Local | Kind::Silent | Kind::Loss => Duration::ZERO,
            };
            let calm = wire.since.max(scene.process.calm_since).max(wire.faulty_until);
            Some(calm + back + compared)
        });
        ready.min()
    }

    fn detection(&self, uplink: UplinkId, family: Family, kind: Kind, scene: &Scene<'_>) -> Duration {
        if matches!(kind, Kind::Portal | Kind::Dns | Kind::Tcp) && self.targets_unsure(scene) {
            return UNSURE;
        }
        let wire = scene.wire(uplink, family);
        let one_way = wire.condition == Condition::NoWayOut && scene.traffic > 0.0;
        let circumstances = Circumstances {
            bad_target: self.targets_unsure(scene),
            fooled: scene.noise[uplink.index()] > 0.0 || one_way,
        };
        let starved = if scene.process.is_starved() { STARVED } else { Duration::ZERO };
        bounds::detection(scene.config.uplink(uplink), family, kind, circumstances) + starved
    }

    fn targets_unsure(&self, scene: &Scene<'_>) -> bool {
        scene.hosts.iter().any(|answers| *answers < 1.0) || scene.now.since(self.targets_changed) < BAD_TARGET
    }

    fn recheck_budget(&mut self, id: PathId, family: Family, scene: &Scene<'_>) -> Instant {
        let path = &scene.config.paths[id.index()];
        let held = scene.kernel.installed(id, family);
        let orders = &self.orders;
        if orders.locked || orders.preferred.is_some() || orders.drill.is_some() || !scene.process.is_alive() {
            return Instant::NEVER;
        }
        let line = |uplink: UplinkId| &self.lines[uplink.index()][family.index()];
        let Some(spent) = held.uplinks().filter_map(|uplink| line(uplink).spent_since).max() else {
            return Instant::NEVER;
        };
        let better = path.uplinks().filter(|uplink| line(*uplink).spent_since.is_none());
        let up = better.filter_map(|uplink| line(uplink).up_since).min();
        let Some(up) = up else { return Instant::NEVER };
        let installed = self.paths[id.index()][family.index()].installed_at;
        let floor = scene.process.calm_since.max(scene.kernel.settled_at()).max(orders.changed);
        // A start keeps a choice that the budget made until its lines are known again.
        let started = scene.process.started + FIRST_CHOICE;
        let limit = spent.max(up).max(installed).max(floor).max(started) + BUDGET;
        if scene.now >= limit {
            self.broken(Rule::Budget, scene.now, || format!("path {} goes on with {held:?}", path.name));
        }
        limit
    }

    fn recheck_orders(&mut self, scene: &Scene<'_>) -> Instant {
        let slack = Duration::from_secs(3);
        let mut due = Instant::NEVER;
        if !scene.process.is_alive() {
            return due;
        }
        if let Some((uplink, until)) = self.orders.preferred
            && until < Instant::NEVER
            && self.orders.drill.is_none()
        {
            let limit = until.max(scene.process.calm_since).max(self.orders.changed) + slack;
            if scene.now >= limit {
                self.broken(Rule::Orders, scene.now, || format!("{} is used for longer than told", scene.name(uplink)));
            }
            due = due.min(limit);
        }
        if let Some(began) = self.orders.drill {
            let limit = began.max(scene.process.calm_since) + drill::LASTS + slack * 2;
            if scene.now >= limit {
                self.broken(Rule::Orders, scene.now, || "a drill does not end".to_owned());
            }
            due = due.min(limit);
        }
        due
    }

    // --- after all faults

    pub(crate) fn heals(&mut self, scene: &Scene<'_>) {
        let states: Vec<String> = scene
            .config
            .uplink_ids()
            .flat_map(|uplink| Family::BOTH.map(|family| (uplink, family)))
            .filter_map(|(uplink, family)| {
                let line = scene.engine.line(uplink, family)?;
                Some(format!("{} ({family}) {}", scene.name(uplink), line.state().name()))
            })
            .collect();
        let paths: Vec<String> = scene
            .config
            .path_ids()
            .flat_map(|path| Family::BOTH.map(|family| (path, family)))
            .map(|(path, family)| {
                let state = scene.engine.path(path, family);
                format!("{:?} ({:?})", state.selection.0, state.suppressed)
            })
            .collect();
        let after = scene.now.since(self.healed);
        self.broken(Rule::Heals, scene.now, || format!("{after:?} after all faults were over: {states:?}, {paths:?}"));
    }

    /// Everything is up and each path uses what it should.
    pub(crate) fn converged(&self, scene: &Scene<'_>) -> bool {
        let state = |uplink, family| scene.engine.line(uplink, family).map(|line| line.settled_state());
        Family::BOTH.into_iter().all(|family| {
            let up = |uplink: UplinkId| matches!(state(uplink, family), None | Some(State::Up | State::Disabled));
            scene.config.uplink_ids().all(up)
                && scene.config.path_ids().all(|id| {
                    let path = &scene.config.paths[id.index()];
                    let held = scene.kernel.installed(id, family);
                    let known = |uplink: &UplinkId| matches!(state(*uplink, family), Some(State::Up));
                    let first = path.tiers.iter().find(|tier| tier.iter().any(known));
                    let wanted = first.map_or_else(Selection::default, |tier| {
                        let uplinks = tier.iter().copied().filter(known);
                        Selection(uplinks.map(|uplink| (uplink, scene.config.uplink(uplink).weight)).collect())
                    });
                    let settled = *held == wanted || (path.failback.when == FailbackWhen::Never && !held.is_empty());
                    settled && *held == scene.engine.path(id, family).selection
                })
        })
    }
}

fn is_in(minute: u16, from: u16, to: u16) -> bool {
    if from <= to { (from..to).contains(&minute) } else { minute >= from || minute < to }
}
