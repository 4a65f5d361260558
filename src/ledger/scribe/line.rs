//! One line: the best of its families, what is in suspicion, its outages.

use serde_json::{Map, Value};

use super::flaps::Flaps;
use crate::config::model::Family;
use crate::health::{Cause, State};
use crate::ledger::record::{Kind, Record, Stamp};

/// Best first. A line works if anything works through it.
const ORDER: [State; 6] = [State::Up, State::Degraded, State::Probation, State::Down, State::Unknown, State::Disabled];

#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    has: [bool; 2],
    /// Of each family, the last that was no suspicion.
    settled: [Option<State>; 2],
    suspect: [bool; 2],
    /// The line's state as written.
    written: Option<State>,
    /// Since then the line's state depends on how a suspicion ends.
    withheld: Option<u64>,
    open: [Option<Outage>; 2],
    outage: Option<Outage>,
    flaps: Flaps,
}

#[derive(Clone, Debug)]
struct Outage {
    since: u64,
    cause: Option<Cause>,
    /// Written down, which is when the line is known to be down.
    told: bool,
}

impl Line {
    pub(super) fn configure(&mut self, has: [bool; 2]) {
        self.has = has;
        for (index, _) in has.iter().enumerate().filter(|(_, has)| !**has) {
            (self.settled[index], self.suspect[index], self.open[index]) = (None, false, None);
        }
    }

    pub(super) fn works(&self) -> bool {
        matches!(self.best(true), Some(State::Up | State::Degraded))
    }

    pub(super) fn limit(&self) -> Option<u64> {
        [self.withheld, self.flaps.since()].into_iter().flatten().min()
    }

    pub(super) fn disabled(&mut self, name: &str, at: Stamp) -> Vec<Record> {
        if self.written == Some(State::Disabled) {
            return Vec::new();
        }
        self.settled = self.has.map(|has| has.then_some(State::Disabled));
        let mut record = Record::new(at, Kind::State);
        record.uplink = Some(name.to_owned());
        record.from = self.written.replace(State::Disabled).map(|state| state.name().to_owned());
        record.to = Some(State::Disabled.name().to_owned());
        vec![record]
    }

    pub(super) fn transition(
        &mut self,
        name: &str,
        family: Family,
        to: State,
        cause: Option<&'static str>,
        seen: &Map<String, Value>,
        at: Stamp,
    ) -> Vec<Record> {
        let index = family.index();
        let mut records = Vec::new();
        if to == State::Suspect {
            self.suspect[index] = true;
        } else {
            self.suspect[index] = false;
            let before = self.settled[index].replace(to);
            if self.has == [true, true] && before != Some(to) {
                let mut record = state(name, before, to, cause, seen, at);
                record.family = Some(family.name().to_owned());
                records.push(record);
            }
        }
        let (best, worst) = (self.best(true), self.best(false));
        if best != worst {
            // Until it is settled nobody can say what this time was.
            self.withheld = self.withheld.or(Some(at.mono));
        } else {
            let since = self.withheld.take().unwrap_or(at.mono);
            if let Some(to) = best.filter(|to| self.written != Some(*to)) {
                let mut record = state(name, self.written.replace(to), to, cause, seen, at);
                record.since = (since < at.mono).then_some(since);
                records.push(record);
            }
        }
        let mut records = self.flaps.take(name, records, at);
        records.extend(self.tell_outages(name, seen, at));
        records
    }

    /// Told with what is seen a moment later.
    pub(super) fn outage_opened(&mut self, family: Family, since: u64, cause: Option<Cause>) {
        self.open[family.index()] = Some(Outage { since, cause, told: false });
    }

    pub(super) fn outage_closed(
        &mut self,
        name: &str,
        family: Family,
        until: u64,
        cause: Cause,
        flaps: u32,
        at: Stamp,
    ) -> Vec<Record> {
        let closed = |outage: Outage, family: Option<Family>| {
            let mut record = Record::new(at, Kind::OutageClose).with("flaps", flaps);
            record.uplink = Some(name.to_owned());
            record.family = family.map(|family| family.name().to_owned());
            record.cause = Some(outage.cause.unwrap_or(cause).name().to_owned());
            (record.since, record.until) = (Some(outage.since), Some(until.max(outage.since)));
            record
        };
        let mut records = Vec::new();
        if let Some(outage) = self.open[family.index()].take().filter(|outage| outage.told && self.has == [true, true])
        {
            records.push(closed(outage, Some(family)));
        }
        if let Some(outage) = self.outage.take() {
            records.push(closed(outage, None));
        }
        records
    }

    pub(super) fn placed(&mut self, name: &str, family: Family, cause: Cause, at: Stamp) -> Vec<Record> {
        let mut records = Vec::new();
        let both = self.has == [true, true];
        if let Some(outage) = self.open[family.index()].as_mut().filter(|outage| outage.cause.is_none()) {
            outage.cause = Some(cause);
            if outage.told && both {
                records.push(opened(name, Some(family), outage, &Map::new(), at));
            }
        }
        if let Some(outage) = self.outage.as_mut().filter(|outage| outage.cause.is_none()) {
            outage.cause = Some(cause);
            records.push(opened(name, None, outage, &Map::new(), at));
        }
        records
    }

    pub(super) fn tick(&mut self, name: &str, now: Stamp) -> Vec<Record> {
        self.flaps.tick(name, now)
    }

    pub(super) fn fold_up(&mut self, name: &str, now: Stamp) -> Vec<Record> {
        self.flaps.end(name, now)
    }

    /// An outage of the line opens when no family works any more; the last that fails gives the cause.
    fn tell_outages(&mut self, name: &str, seen: &Map<String, Value>, at: Stamp) -> Vec<Record> {
        let mut records = Vec::new();
        let mut fresh = false;
        for family in Family::BOTH {
            let index = family.index();
            let down = self.settled[index] == Some(State::Down);
            if let Some(outage) = self.open[index].as_mut().filter(|outage| down && !outage.told) {
                outage.told = true;
                fresh = true;
                if self.has == [true, true] {
                    records.push(opened(name, Some(family), outage, seen, at));
                }
            }
        }
        let works = (0..2).any(|index| {
            self.open[index].is_none() && matches!(self.settled[index], Some(State::Up | State::Degraded))
        });
        if fresh && !works && self.outage.is_none() {
            let last = self.open.iter().flatten().filter(|outage| outage.told).max_by_key(|outage| outage.since);
            if let Some(outage) = last.cloned() {
                records.push(opened(name, None, &outage, seen, at));
                self.outage = Some(outage);
            }
        }
        records
    }

    /// Of the families, with suspicions that come to nothing, or all to the worst.
    fn best(&self, hopeful: bool) -> Option<State> {
        let of = |index: usize| {
            let settled = self.settled[index];
            if self.suspect[index] && !hopeful { settled.map(|_| State::Down) } else { settled }
        };
        let families = [of(0), of(1)];
        ORDER.into_iter().find(|state| families.contains(&Some(*state)))
    }
}

fn state(
    name: &str,
    from: Option<State>,
    to: State,
    cause: Option<&'static str>,
    seen: &Map<String, Value>,
    at: Stamp,
) -> Record {
    let mut record = Record::new(at, Kind::State);
    record.uplink = Some(name.to_owned());
    record.from = from.map(|state| state.name().to_owned());
    record.to = Some(to.name().to_owned());
    record.cause = cause.map(str::to_owned);
    record.evidence = seen.clone();
    record
}

fn opened(name: &str, family: Option<Family>, outage: &Outage, seen: &Map<String, Value>, at: Stamp) -> Record {
    let mut record = Record::new(at, Kind::OutageOpen);
    record.uplink = Some(name.to_owned());
    record.family = family.map(|family| family.name().to_owned());
    record.cause = outage.cause.map(|cause| cause.name().to_owned());
    record.since = Some(outage.since);
    record.evidence = seen.clone();
    record
}
