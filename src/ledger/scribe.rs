//! Facts of the engine become records. Joins what belongs together: an outage with what was seen, families with the line
//! that they make, changes that come too fast for a record each. Pure; time comes in as a [`Stamp`].

mod flaps;
mod line;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use self::line::Line;
use super::clock::STEP;
use super::record::{Id, Kind, Record, Stamp};
use crate::config::branch::Place;
use crate::config::model::{Family, Gateway, PathId, UplinkId};
use crate::control::status::{Evidence, InternetState, whole_ms};
use crate::engine::action::{DrillStep, Fact};
use crate::health::{Cause, State};
use crate::policy::Suppressed;
use crate::telemetry::narrator::Told;
use crate::time::Instant;

/// What the box last knew of itself before this start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    pub last: Option<Stamp>,
    /// It ended in order.
    pub stopped: bool,
    /// UTC ms of the newest sign of life that has a date; that of `last`, if it has one.
    pub dated: Option<u64>,
}

#[derive(Debug, Default)]
pub struct Scribe {
    lines: Vec<(String, Line)>,
    internet: Option<InternetState>,
    reasons: BTreeMap<(PathId, Family), Suppressed>,
    /// Wall clock less monotonic clock when it was last written down.
    clock: Option<u64>,
    digest: Option<String>,
    mono: u64,
    out: Vec<Record>,
}

impl Scribe {
    /// What was written since the last call, in order.
    pub fn take(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.out)
    }

    /// What [`Self::take`] would take.
    pub fn peek(&self) -> &[Record] {
        &self.out
    }

    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// The first records of a run. `reason`: why the box booted, if it did.
    pub fn start(&mut self, before: Before, reason: &str, version: &str, more: Map<String, Value>, stamp: Stamp) {
        let mut record = Record::new(stamp, Kind::Start).with("version", version);
        record.evidence.extend(more);
        let anew = before.last.is_none_or(|last| last.boot != stamp.boot);
        if let Some(last) = before.last {
            let told = json!({ "boot": last.boot.to_string(), "mono": last.mono, "wall": last.wall });
            record.evidence.insert("last".to_owned(), told);
        }
        record.cause = Some(if anew { reason } else { "restart" }.to_owned());
        self.clock = stamp.wall.map(|wall| wall.wrapping_sub(stamp.mono));
        self.push(record);
        if let Some(last) = before.last.filter(|_| anew) {
            let mut off = Record::new(stamp, Kind::Off);
            off.cause = Some(reason.to_owned());
            let length = stamp.wall.zip(last.wall).and_then(|(now, then)| now.checked_sub(then));
            off = match length {
                Some(ms) => off.with("ms", ms),
                None => off.with("unknown", true),
            };
            self.push(off.with("last_wall", last.wall.map_or(Value::Null, Value::from)));
        }
    }

    pub fn stop(&mut self, stamp: Stamp) {
        self.fold_up(stamp);
        self.push(Record::new(stamp, Kind::Stop));
    }

    /// What a report needs of the config, at a start and with each change. `carried` says for each uplink which it was
    /// before; `known` names lines that the sums have.
    pub fn config(
        &mut self,
        config: &Gateway,
        place: &Place,
        digest: &str,
        carried: &[Option<UplinkId>],
        known: &[String],
        stamp: Stamp,
    ) {
        self.fold_up(stamp);
        self.digest = Some(digest.to_owned());
        let mut site = Record::new(stamp, Kind::Config).with("site", config.site.name.as_str());
        if let Some(timezone) = &place.timezone {
            site = site.with("timezone", timezone.as_str());
        }
        if let Some(hours) = &place.hours {
            site = site.with("hours", hours.to_string());
        }
        self.push(site);
        let mut old: Vec<Option<(String, Line)>> = std::mem::take(&mut self.lines).into_iter().map(Some).collect();
        for (uplink, carried) in config.uplinks.iter().zip(carried.iter().copied().chain(std::iter::repeat(None))) {
            let families: Vec<&str> =
                Family::BOTH.into_iter().filter(|family| uplink.has(*family)).map(Family::name).collect();
            let mut record = Record::new(stamp, Kind::Config)
                .with("families", families.clone())
                .with("medium", uplink.medium.name())
                .with("metered", uplink.metered.is_some())
                .with("targets", uplink.targets.iter().map(|target| target.label()).collect::<Vec<_>>())
                .with("every_ms", whole_ms(uplink.profile.interval));
            if let Some(provider) = &uplink.provider {
                record = record.with("provider", provider.as_str());
            }
            if let Some(circuit) = &uplink.circuit {
                record = record.with("circuit", circuit.as_str());
            }
            record.uplink = Some(uplink.name.to_string());
            self.push(record);
            let kept = carried.and_then(|old_id| old.get_mut(old_id.index())?.take());
            let mut line = kept.map(|(_, line)| line).unwrap_or_default();
            line.configure(Family::BOTH.map(|family| uplink.has(family)));
            self.lines.push((uplink.name.to_string(), line));
        }
        let gone = old.into_iter().flatten().map(|(name, _)| name).chain(known.iter().cloned());
        let mut gone: Vec<String> = gone.filter(|name| !self.lines.iter().any(|(known, _)| known == name)).collect();
        gone.sort_unstable();
        gone.dedup();
        for name in gone {
            let mut record = Record::new(stamp, Kind::Config);
            (record.uplink, record.to) = (Some(name), Some("removed".to_owned()));
            self.push(record);
        }
        for (index, uplink) in config.uplinks.iter().enumerate().filter(|(_, uplink)| !uplink.enabled) {
            let name = uplink.name.to_string();
            let records = self.lines[index].1.disabled(&name, stamp);
            self.out.extend(records);
        }
        self.reasons.clear();
    }

    /// `open`: where it broke is being asked. `told`: the switch that this fact completes. `at`: when it happened.
    pub fn tell(&mut self, fact: &Fact, open: bool, told: Option<&Told>, config: &Gateway, at: Stamp) {
        match fact {
            Fact::Transition { uplink, family, to, evidence, .. } => {
                let Some(uplink_config) = config.uplinks.get(uplink.index()) else { return };
                let mut seen = evidence_of(&Evidence::of(evidence, uplink_config));
                if *to == State::Down {
                    let others = self.works_but(*uplink);
                    if !others.is_empty() {
                        seen.insert("others_up".to_owned(), others.into());
                    }
                }
                let cause = evidence.cause.filter(|_| !open && *to == State::Down).map(Cause::name);
                let Some((name, line)) = self.lines.get_mut(uplink.index()) else { return };
                let records = line.transition(name, *family, *to, cause, &seen, at);
                self.extend(records);
            }
            Fact::OutageOpened { uplink, family, since, cause } => {
                if let Some((_, line)) = self.lines.get_mut(uplink.index()) {
                    line.outage_opened(*family, since.millis(), Some(*cause).filter(|_| !open));
                }
            }
            Fact::OutageClosed { uplink, family, until, cause, flaps, .. } => {
                let Some((name, line)) = self.lines.get_mut(uplink.index()) else { return };
                let records = line.outage_closed(name, *family, until.millis(), *cause, *flaps, at);
                self.extend(records);
            }
            Fact::Switched { path, family, .. } => {
                let Some(told) = told else { return };
                let record = switched(told, *path, *family, config, at);
                self.push(record);
                self.reasons.remove(&(*path, *family));
            }
            Fact::NotSwitched { path, family, reason } => {
                if self.reasons.insert((*path, *family), *reason) == Some(*reason) {
                    return;
                }
                let mut record = Record::new(at, Kind::NotSwitched).with("path", path_name(*path, config));
                (record.family, record.cause) = (Some(family.name().to_owned()), Some(reason.name().to_owned()));
                self.push(record);
            }
            Fact::Locked { locked, by } => {
                let mut record = Record::new(at, Kind::Lock);
                record.to = Some(if *locked { "locked" } else { "unlocked" }.to_owned());
                record.by = Some(by.clone());
                self.push(record);
            }
            Fact::Preferred { uplink, until, by } => {
                let mut record = Record::new(at, Kind::Lock);
                record.to = Some(if uplink.is_some() { "preferred" } else { "automatic" }.to_owned());
                record.uplink = uplink.and_then(|uplink| self.name(uplink));
                record.until = until.map(Instant::millis);
                record.by = Some(by.clone());
                self.push(record);
            }
            Fact::Drill { uplink, step } => {
                let (to, lasted) = match step {
                    DrillStep::Moved => return,
                    DrillStep::Started => ("started", None),
                    DrillStep::Refused { .. } => ("refused", None),
                    DrillStep::Passed { lasted } => ("passed", Some(*lasted)),
                    DrillStep::Failed { lasted } => ("failed", Some(*lasted)),
                    DrillStep::Aborted => ("aborted", None),
                };
                let mut record = Record::new(at, Kind::Drill);
                (record.uplink, record.to) = (self.name(*uplink), Some(to.to_owned()));
                if let Some(lasted) = lasted {
                    record = record.with("ms", whole_ms(lasted));
                }
                self.push(record);
            }
            // Counted, or told as part of another.
            Fact::ProbeSettled { .. }
            | Fact::Suspicion { .. }
            | Fact::Switch(_)
            | Fact::SwitchFailed { .. }
            | Fact::TargetSuspect { .. }
            | Fact::Stalled { .. }
            | Fact::Budget { .. } => {}
        }
    }

    /// Now it is known where an open outage is.
    pub fn placed(&mut self, uplink: UplinkId, family: Family, cause: Cause, at: Stamp) {
        let Some((name, line)) = self.lines.get_mut(uplink.index()) else { return };
        let records = line.placed(name, family, cause, at);
        self.extend(records);
    }

    pub fn internet(&mut self, state: InternetState, at: Stamp) {
        if self.internet == Some(state) {
            return;
        }
        let mut record = Record::new(at, Kind::State);
        record.from = self.internet.map(|state| state.name().to_owned());
        record.to = Some(state.name().to_owned());
        self.internet = Some(state);
        self.push(record);
    }

    /// Once a second: the clock, and lines that stopped flapping.
    pub fn tick(&mut self, now: Stamp) {
        let clock = now.wall.map(|wall| wall.wrapping_sub(now.mono));
        let stepped = match (self.clock, clock) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(then), Some(now)) => then.abs_diff(now) > STEP,
        };
        if stepped {
            let mut record = Record::new(now, Kind::Clock);
            if let (Some(then), Some(now)) = (self.clock, clock) {
                record = record.with("step_ms", i64::try_from(i128::from(now) - i128::from(then)).unwrap_or(0));
            }
            self.clock = clock;
            self.push(record);
        }
        for index in 0..self.lines.len() {
            let (name, line) = &mut self.lines[index];
            let records = line.tick(name, now);
            self.extend(records);
        }
    }

    /// How far this line's time is certain: not beyond the beginning of a suspicion.
    pub fn limit(&self, name: &str) -> Option<u64> {
        self.lines.iter().find(|(known, _)| known == name).and_then(|(_, line)| line.limit())
    }

    fn fold_up(&mut self, now: Stamp) {
        for index in 0..self.lines.len() {
            let (name, line) = &mut self.lines[index];
            let records = line.fold_up(name, now);
            self.extend(records);
        }
    }

    fn works_but(&self, uplink: UplinkId) -> Vec<String> {
        let others = self.lines.iter().enumerate().filter(|(index, _)| *index != uplink.index());
        others.filter(|(_, (_, line))| line.works()).map(|(_, (name, _))| name.clone()).collect()
    }

    fn name(&self, uplink: UplinkId) -> Option<String> {
        self.lines.get(uplink.index()).map(|(name, _)| name.clone())
    }

    fn extend(&mut self, records: Vec<Record>) {
        for record in records {
            self.push(record);
        }
    }

    /// Facts are as old as their events: records stand in the order of their times all the same.
    fn push(&mut self, mut record: Record) {
        if let Some(wall) = record.wall.as_mut() {
            *wall += self.mono.saturating_sub(record.mono);
        }
        record.mono = record.mono.max(self.mono);
        self.mono = record.mono;
        if record.kind == Kind::Config && record.uplink.is_none() {
            record.config.clone_from(&self.digest);
        }
        self.out.push(record);
    }
}

fn switched(told: &Told, path: PathId, family: Family, config: &Gateway, at: Stamp) -> Record {
    let name = |uplink: UplinkId| config.uplinks.get(uplink.index()).map_or("?", |uplink| uplink.name.as_str());
    let names = |selection: &crate::policy::Selection| {
        let names: Vec<&str> = selection.uplinks().map(name).collect();
        (!names.is_empty()).then(|| names.join(" + "))
    };
    let dead: Vec<&str> = told.switch.dead.iter().map(|uplink| name(*uplink)).collect();
    let mut record = Record::new(at, Kind::Switch)
        .with("path", path_name(path, config))
        .with("trigger", told.switch.reason.trigger())
        .with("took_ms", told.took_ms)
        .with("reset", told.flows.reset)
        .with("nudged", told.flows.nudged);
    if let Some(ms) = told.detection_ms {
        record = record.with("detection_ms", ms);
    }
    if !dead.is_empty() {
        record = record.with("dead", dead);
    }
    record.family = Some(family.name().to_owned());
    (record.from, record.to) = (names(&told.switch.from), names(&told.switch.to));
    record
}

fn path_name(path: PathId, config: &Gateway) -> String {
    config.paths.get(path.index()).map_or_else(|| format!("path {}", path.0), |path| path.name.to_string())
}

/// What was seen, without what was not.
fn evidence_of(seen: &Evidence) -> Map<String, Value> {
    let Ok(Value::Object(all)) = serde_json::to_value(seen) else { return Map::new() };
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Bool(_) | Value::String(_) | Value::Object(_) => false,
    };
    all.into_iter().filter(|(key, value)| key != "cause" && !empty(value)).collect()
}

/// For tests and tools that have no boot id.
pub fn stamp(boot: Id, mono: u64, wall: Option<u64>) -> Stamp {
    Stamp { boot, mono, wall }
}

#[cfg(test)]
#[path = "scribe_tests.rs"]
mod tests;
