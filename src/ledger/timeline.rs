//! Records become stretches of time: each line and the branch's internet, in one state, from then to then. The one fold
//! that counters and reports share, so that they cannot disagree. Pure.
//!
//! Lengths are measured on the monotonic clock. A stretch has dates once the wall clock of its boot can be believed;
//! until then it waits, and if the box goes off first it is given out without.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::hours::{Hours, Zones};
use super::record::{Id, Kind, Record};
use crate::config::branch::Week;

/// Stretches that wait for a date: a line that flaps all day on a box without a clock. Older ones go undated.
const WAITING: usize = 1_024;

pub const LINE_STATES: [&str; 7] = ["up", "degraded", "down", "probation", "unknown", "disabled", "off"];
pub const INTERNET_STATES: [&str; 5] = ["primary", "backup", "down", "unknown", "off"];

/// Of [`LINE_STATES`].
pub const UP: usize = 0;
pub const DEGRADED: usize = 1;
pub const DOWN: usize = 2;
pub const PROBATION: usize = 3;
const LINE_UNKNOWN: usize = 4;
const LINE_OFF: usize = 6;
/// Of [`INTERNET_STATES`].
pub const INTERNET_DOWN: usize = 2;
const INTERNET_UNKNOWN: usize = 3;
const INTERNET_OFF: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject<'a> {
    Line(&'a str),
    Internet,
}

/// One state for so long.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    pub subject: Subject<'a>,
    /// Index into [`LINE_STATES`] or [`INTERNET_STATES`].
    pub state: usize,
    pub ms: u64,
    /// UTC ms. `None`: nobody knows when.
    pub dates: Option<(u64, u64)>,
    /// In force then.
    pub hours: &'a Hours,
}

impl Span<'_> {
    /// Open, closed, unknown.
    pub fn split(&self) -> [u64; 3] {
        match self.dates {
            _ if self.hours.is_always() => [self.ms, 0, 0],
            Some((from, to)) => {
                let (open, closed) = self.hours.split(from, to);
                [open, closed, 0]
            }
            None => [0, 0, self.ms],
        }
    }
}

/// Takes what the timeline gives out.
pub type Out<'a> = &'a mut dyn FnMut(Span<'_>);

/// How far a line may be told: what is in suspicion is not known yet. Milliseconds of the monotonic clock.
pub type Limit<'a> = &'a dyn Fn(&str) -> Option<u64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    state: usize,
    since: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    /// `None`: the internet.
    line: Option<String>,
    state: usize,
    from: u64,
    to: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Anchor {
    mono: u64,
    wall: u64,
}

/// The box was off since then; until when is known once the clock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Gap {
    from_wall: u64,
    until_mono: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timeline {
    /// Also wait for dates where the hours do not depend on them: a report asks when, a counter does not.
    patient: bool,
    boot: Option<Id>,
    lines: BTreeMap<String, Open>,
    internet: Open,
    anchor: Option<Anchor>,
    timezone: Option<String>,
    week: Option<String>,
    #[serde(skip)]
    hours: Hours,
    waiting: Vec<Waiting>,
    gap: Option<Gap>,
}

impl Timeline {
    pub fn new(patient: bool) -> Self {
        Self {
            patient,
            boot: None,
            lines: BTreeMap::new(),
            internet: Open { state: INTERNET_UNKNOWN, since: 0 },
            anchor: None,
            timezone: None,
            week: None,
            hours: Hours::default(),
            waiting: Vec::new(),
            gap: None,
        }
    }

    /// After it was read back: the zone itself is not kept.
    pub fn resolve(&mut self, zones: Zones<'_>) {
        self.hours = Hours::new(zones(self.timezone.as_deref()), self.week.as_deref().and_then(Week::read));
    }

    pub fn hours(&self) -> &Hours {
        &self.hours
    }

    pub fn boot(&self) -> Option<Id> {
        self.boot
    }

    /// Now, or then, of this boot, if the clock could be believed.
    pub fn wall(&self, mono: u64) -> Option<u64> {
        self.anchor.map(|anchor| anchor.wall(mono))
    }

    pub fn fold(&mut self, record: &Record, zones: Zones<'_>, out: Out<'_>) {
        match record.kind {
            Kind::Start => self.start(record, out),
            Kind::State if record.family.is_some() => {}
            Kind::State => {
                let since = record.since.unwrap_or(record.mono);
                match (&record.uplink, &record.to) {
                    (Some(line), Some(to)) => {
                        let state = index(&LINE_STATES, to).unwrap_or(LINE_UNKNOWN);
                        self.change(line, state, since, out);
                    }
                    (None, Some(to)) => {
                        let state = index(&INTERNET_STATES, to).unwrap_or(INTERNET_UNKNOWN);
                        let before = std::mem::replace(&mut self.internet, Open { state, since });
                        self.put(None, before.state, before.since, since, out);
                        self.internet.since = since.max(before.since);
                    }
                    (_, None) => {}
                }
            }
            Kind::Flaps => self.flaps(record, out),
            Kind::Clock => {
                self.advance(record.mono, &|_| None, out);
                self.set_clock(record, out);
            }
            Kind::Config => self.config(record, zones, out),
            Kind::Stop
            | Kind::Off
            | Kind::Switch
            | Kind::NotSwitched
            | Kind::OutageOpen
            | Kind::OutageClose
            | Kind::Drill
            | Kind::Update
            | Kind::Lock
            | Kind::Pruned
            | Kind::Receipt
            | Kind::Other => {}
        }
    }

    /// Gives out all up to `now`, as far as it is certain.
    pub fn advance(&mut self, now: u64, limit: Limit<'_>, out: Out<'_>) {
        let names: Vec<String> = self.lines.keys().cloned().collect();
        for name in &names {
            let until = limit(name).map_or(now, |limit| limit.min(now));
            if let Some(open) = self.lines.get(name).copied().filter(|open| open.since < until) {
                self.lines.insert(name.clone(), Open { since: until, ..open });
                self.put(Some(name), open.state, open.since, until, out);
            }
        }
        let open = self.internet;
        if open.since < now {
            self.internet.since = now;
            self.put(None, open.state, open.since, now, out);
        }
    }

    /// The ledger ends here: what waits for a date will not get one.
    pub fn end(&mut self, out: Out<'_>) {
        for wait in std::mem::take(&mut self.waiting) {
            let subject = wait.line.as_deref().map_or(Subject::Internet, Subject::Line);
            out(Span { subject, state: wait.state, ms: wait.to - wait.from, dates: None, hours: &self.hours });
        }
    }

    fn start(&mut self, record: &Record, out: Out<'_>) {
        let last = record.evidence.get("last");
        let number = |key: &str| last.and_then(|last| last.get(key)).and_then(serde_json::Value::as_u64);
        let boot = last.and_then(|last| last.get("boot")?.as_str()?.parse::<Id>().ok());
        if let (Some(mono), true) = (number("mono"), boot.is_some() && boot == self.boot) {
            self.advance(mono, &|_| None, out);
        }
        if self.boot == Some(record.boot) {
            // The daemon alone was away: nobody looked.
            self.unknown_since(None);
            self.advance(record.mono, &|_| None, out);
        } else {
            self.end(out);
            self.boot = Some(record.boot);
            self.anchor = None;
            self.gap = number("wall").map(|from_wall| Gap { from_wall, until_mono: record.mono });
            self.unknown_since(Some(record.mono));
        }
        self.set_clock(record, out);
    }

    fn unknown_since(&mut self, since: Option<u64>) {
        for open in self.lines.values_mut() {
            *open = Open { state: LINE_UNKNOWN, since: since.unwrap_or(open.since) };
        }
        self.internet = Open { state: INTERNET_UNKNOWN, since: since.unwrap_or(self.internet.since) };
    }

    fn set_clock(&mut self, record: &Record, out: Out<'_>) {
        let Some(wall) = record.dated() else { return };
        let anchor = Anchor { mono: record.mono, wall };
        self.anchor = Some(anchor);
        for wait in std::mem::take(&mut self.waiting) {
            let subject = wait.line.as_deref().map_or(Subject::Internet, Subject::Line);
            let dates = Some((anchor.wall(wait.from), anchor.wall(wait.to)));
            out(Span { subject, state: wait.state, ms: wait.to - wait.from, dates, hours: &self.hours });
        }
        if let Some(Gap { from_wall, until_mono }) = self.gap.take() {
            // A clock that went backwards says nothing about how long it was.
            let until = anchor.wall(until_mono);
            let Some(ms) = until.checked_sub(from_wall) else { return };
            let dates = Some((from_wall, until));
            for name in self.lines.keys() {
                out(Span { subject: Subject::Line(name), state: LINE_OFF, ms, dates, hours: &self.hours });
            }
            out(Span { subject: Subject::Internet, state: INTERNET_OFF, ms, dates, hours: &self.hours });
        }
    }

    fn config(&mut self, record: &Record, zones: Zones<'_>, out: Out<'_>) {
        match &record.uplink {
            Some(line) if record.to.as_deref() == Some("removed") => {
                if let Some(open) = self.lines.remove(line) {
                    self.put(Some(line), open.state, open.since, record.mono, out);
                }
            }
            Some(line) => {
                let open = Open { state: LINE_UNKNOWN, since: record.mono };
                self.lines.entry(line.clone()).or_insert(open);
            }
            None => {
                let text = |key| record.text(key).map(str::to_owned);
                let (timezone, week) = (text("timezone"), text("hours"));
                if (&timezone, &week) != (&self.timezone, &self.week) {
                    // What was until now belongs to the old hours; what waits for a date has them no more.
                    self.advance(record.mono, &|_| None, out);
                    self.end(out);
                    (self.timezone, self.week) = (timezone, week);
                }
                self.resolve(zones);
            }
        }
    }

    fn change(&mut self, line: &str, state: usize, since: u64, out: Out<'_>) {
        let before = self.lines.get(line).copied();
        let since = before.map_or(since, |before| before.since.max(since));
        self.lines.insert(line.to_owned(), Open { state, since });
        if let Some(before) = before {
            self.put(Some(line), before.state, before.since, since, out);
        }
    }

    /// Many changes in one record: the time in each state, between the first and the last of them.
    fn flaps(&mut self, record: &Record, out: Out<'_>) {
        let (Some(line), Some(since), Some(until)) = (&record.uplink, record.since, record.until) else { return };
        let states = record.evidence.get("states").and_then(serde_json::Value::as_object);
        self.change(line, LINE_UNKNOWN, since, out);
        let mut from = since;
        for (state, ms) in states.into_iter().flatten() {
            let ms = ms.as_u64().unwrap_or(0).min(until.saturating_sub(from));
            self.put(Some(line), index(&LINE_STATES, state).unwrap_or(LINE_UNKNOWN), from, from + ms, out);
            from += ms;
        }
        let state = record.to.as_deref().and_then(|to| index(&LINE_STATES, to)).unwrap_or(LINE_UNKNOWN);
        self.lines.insert(line.clone(), Open { state, since: from.max(since) });
    }

    fn put(&mut self, line: Option<&str>, state: usize, from: u64, to: u64, out: Out<'_>) {
        if to <= from {
            return;
        }
        let subject = line.map_or(Subject::Internet, Subject::Line);
        let ms = to - from;
        if let Some(anchor) = self.anchor {
            let dates = Some((anchor.wall(from), anchor.wall(to)));
            out(Span { subject, state, ms, dates, hours: &self.hours });
        } else if self.hours.is_always() && !self.patient {
            out(Span { subject, state, ms, dates: None, hours: &self.hours });
        } else {
            let same = |wait: &&mut Waiting| wait.line.as_deref() == line && wait.state == state && wait.to == from;
            if let Some(wait) = self.waiting.iter_mut().rev().find(same) {
                wait.to = to;
                return;
            }
            if self.waiting.len() == WAITING {
                let oldest = self.waiting.remove(0);
                let subject = oldest.line.as_deref().map_or(Subject::Internet, Subject::Line);
                let ms = oldest.to - oldest.from;
                out(Span { subject, state: oldest.state, ms, dates: None, hours: &self.hours });
            }
            self.waiting.push(Waiting { line: line.map(str::to_owned), state, from, to });
        }
    }
}

impl Anchor {
    fn wall(self, mono: u64) -> u64 {
        if mono >= self.mono {
            self.wall.saturating_add(mono - self.mono)
        } else {
            self.wall.saturating_sub(self.mono - mono)
        }
    }
}

fn index(names: &[&str], name: &str) -> Option<usize> {
    names.iter().position(|known| *known == name)
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
