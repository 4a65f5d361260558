//! What people and the plan ask of the choice: an uplink for a while, a lock, a drill, a budget that is used up.

use super::Engine;
use super::action::{DrillRefusal, DrillStep, Fact};
use super::drill::Drill;
use super::event::Command;
use crate::config::model::{Family, PathId, UplinkId};
use crate::health::State;
use crate::policy::path::Orders;
use crate::time::Instant;

/// Budget steps at which a person is told, in percent of the plan.
const BUDGET_STEPS: [u8; 4] = [50, 75, 90, 100];

impl Engine {
    pub(super) fn handle_command(&mut self, command: Command, by: String, now: Instant) {
        match command {
            Command::Use { uplink, for_time } => {
                self.abort_drill(now);
                let until = for_time.map(|time| now + time);
                self.preferred = Some((uplink, until));
                self.tell(Fact::Preferred { uplink: Some(uplink), until, by }, now);
            }
            Command::UseAutomatic => {
                self.abort_drill(now);
                self.preferred = None;
                self.tell(Fact::Preferred { uplink: None, until: None, by }, now);
            }
            Command::Lock | Command::Unlock => {
                self.locked = command == Command::Lock;
                self.tell(Fact::Locked { locked: self.locked, by }, now);
            }
            Command::Drill { uplink } => match self.refuse_drill(uplink) {
                Some(why) => self.tell(Fact::Drill { uplink, step: DrillStep::Refused { why } }, now),
                None => {
                    self.drill = Some(Drill { uplink, started: now, moved: None, before: self.preferred });
                    self.preferred = Some((uplink, None));
                    self.tell(Fact::Drill { uplink, step: DrillStep::Started }, now);
                }
            },
        }
        self.policy_due = now;
    }

    /// Why a drill of this uplink cannot start now.
    pub fn refuse_drill(&self, uplink: UplinkId) -> Option<DrillRefusal> {
        let lines = || Family::BOTH.into_iter().filter_map(move |family| self.line(uplink, family));
        let listed = |path: PathId| self.config.paths[path.index()].uplinks().any(|id| id == uplink);
        if self.drill.is_some() {
            Some(DrillRefusal::AlreadyRunning)
        } else if self.locked {
            Some(DrillRefusal::Locked)
        } else if !self.config.path_ids().any(listed) {
            Some(DrillRefusal::NoPath)
        } else if !lines().any(|line| line.settled_state() == State::Up) {
            Some(DrillRefusal::NotUp)
        } else if Family::BOTH.into_iter().any(|f| self.path(PathId::DEFAULT, f).selection.contains(uplink)) {
            Some(DrillRefusal::InUse)
        } else {
            None
        }
    }

    pub(super) fn abort_drill(&mut self, now: Instant) {
        if let Some(drill) = self.drill.take() {
            self.preferred = drill.before;
            self.tell(Fact::Drill { uplink: drill.uplink, step: DrillStep::Aborted }, now);
        }
    }

    pub(super) fn poll_orders(&mut self, now: Instant) {
        if self.drill.is_none()
            && let Some((_, Some(until))) = self.preferred
            && until <= now
        {
            self.preferred = None;
            self.tell(Fact::Preferred { uplink: None, until: None, by: "schedule".to_owned() }, now);
            self.policy_due = now;
        }
        let Some(drill) = &self.drill else { return };
        let (uplink, started, moved) = (drill.uplink, drill.started, drill.moved);
        let up = |family| self.line(uplink, family).is_none_or(|line| line.settled_state() == State::Up);
        let broken = moved.is_some() && !Family::BOTH.into_iter().any(up);
        if !broken && drill.due() > now {
            return;
        }
        let asked = |family| {
            let line = self.line(uplink, family)?;
            Some(line.last_life() >= moved && line.targets().iter().any(|t| t.last_reply >= moved))
        };
        let answered = Family::BOTH.into_iter().filter_map(asked).any(|answered| answered);
        let lasted = now.since(started);
        let passed = moved.is_some() && !broken && answered;
        let step = if passed { DrillStep::Passed { lasted } } else { DrillStep::Failed { lasted } };
        self.preferred = drill.before;
        self.drill = None;
        self.tell(Fact::Drill { uplink, step }, now);
        self.policy_due = now;
    }

    pub(super) fn handle_usage(&mut self, uplink: UplinkId, bytes: u64, now: Instant) {
        let Some(metered) = self.config.uplinks.get(uplink.index()).and_then(|uplink| uplink.metered) else { return };
        let before = std::mem::replace(&mut self.usage[uplink.index()], bytes);
        let percent = u8::try_from((u128::from(bytes) * 100 / u128::from(metered.plan.max(1))).min(255)).unwrap_or(255);
        let step = BUDGET_STEPS.into_iter().rev().find(|step| percent >= *step).unwrap_or(0);
        let told = std::mem::replace(&mut self.budget_told[uplink.index()], step);
        if step > told {
            self.tell(Fact::Budget { uplink, percent: step }, now);
        }
        let limit = metered.plan.saturating_sub(metered.reserve);
        if (before >= limit) != (bytes >= limit) {
            self.policy_due = now;
        }
    }

    pub(super) fn orders(&self, now: Instant) -> Orders {
        Orders {
            preferred: self.preferred.map(|(uplink, _)| uplink),
            drill: self.drill.is_some(),
            locked: self.locked,
            stale: now < self.stale_until,
            minute: self.minute,
        }
    }
}
