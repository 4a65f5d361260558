//! Records become outages as people speak of them: of a line, from the last proof of life to the first reply that stayed,
//! with what was seen; and the times the box itself was off.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::record::{Id, Kind, Record};

/// A moment of a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    pub boot: Id,
    pub mono: u64,
    /// UTC ms, if that boot's clock could ever be believed.
    pub wall: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Outage {
    pub uplink: String,
    /// `None`: the whole line.
    pub family: Option<String>,
    pub began: At,
    /// `None`: it goes on.
    pub ended: Option<At>,
    /// So far, without what nobody watched.
    pub ms: u64,
    /// Within it, the daemon was away.
    pub unwatched_ms: u64,
    /// `None`: not known yet.
    pub cause: Option<String>,
    /// Short returns within it.
    pub flaps: u64,
    /// How it ended, if not by answers: the box went off, the daemon was away, the line left the config.
    pub cut: Option<&'static str>,
    /// It was down when the daemon began to look.
    pub from_start: bool,
    pub evidence: Map<String, Value>,
    /// What the branch felt of it: until its traffic went another way, or until the internet was back. `None`: nothing.
    pub felt_ms: Option<u64>,
    /// First and last record.
    pub seq: (u64, u64),
}

/// The box was off.
#[derive(Clone, Debug, PartialEq)]
pub struct Off {
    /// UTC ms.
    pub began: Option<u64>,
    pub ended: Option<u64>,
    pub reason: String,
    pub seq: u64,
}

impl Off {
    pub fn ms(&self) -> Option<u64> {
        self.ended?.checked_sub(self.began?)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outages {
    pub lines: Vec<Outage>,
    pub off: Vec<Off>,
}

/// When the wall clock of a boot could be believed: its anchors, in order.
#[derive(Debug, Default)]
pub struct Dates(BTreeMap<Id, Vec<(u64, u64)>>);

impl Dates {
    pub fn of(records: &[Record]) -> Self {
        let mut dates = Self::default();
        for record in records.iter().filter(|record| matches!(record.kind, Kind::Start | Kind::Clock)) {
            if let Some(wall) = record.dated() {
                dates.0.entry(record.boot).or_default().push((record.mono, wall));
            }
        }
        dates
    }

    /// UTC ms: by the last anchor before, or the first one after.
    pub fn wall(&self, boot: Id, mono: u64) -> Option<u64> {
        let anchors = self.0.get(&boot)?;
        let (at, wall) = anchors.iter().rev().find(|(at, _)| *at <= mono).or(anchors.first())?;
        if mono >= *at { Some(wall.saturating_add(mono - at)) } else { wall.checked_sub(at - mono) }
    }

    fn at(&self, boot: Id, mono: u64) -> At {
        At { boot, mono, wall: self.wall(boot, mono) }
    }
}

/// One that is being read.
#[derive(Debug)]
struct Row {
    outage: Outage,
    /// The last time it answered again.
    reply: Option<u64>,
    /// The daemon went away: last proof of life, and when it was back.
    away: Option<(u64, u64)>,
}

/// `now`: of the newest boot; what is open lasts until then.
pub fn read(records: &[Record], now: Option<(Id, u64)>) -> Outages {
    let dates = Dates::of(records);
    let mut found = Outages::default();
    let mut open: BTreeMap<(String, Option<String>), Row> = BTreeMap::new();
    let mut felt = Felt::default();
    let mut boot = None;
    let mut newest = now;
    for record in records {
        if newest.is_none_or(|(boot, mono)| boot != record.boot || mono < record.mono) {
            newest = Some((record.boot, record.mono));
        }
        felt.follow(record);
        match record.kind {
            Kind::Start => {
                started(record, boot == Some(record.boot), &mut open, &dates, &mut found);
                boot = Some(record.boot);
            }
            Kind::Off => {
                let from_wall = record.evidence.get("last_wall").and_then(Value::as_u64);
                let ended = dates.wall(record.boot, record.mono);
                let reason = record.cause.clone().unwrap_or_else(|| "unknown".to_owned());
                // A clock that went backwards says nothing about how long it was.
                let began = from_wall.filter(|from| ended.is_none_or(|ended| ended >= *from));
                found.off.push(Off { began, ended, reason, seq: record.seq });
            }
            Kind::State | Kind::Flaps => {
                let (Some(line), Some(to)) = (&record.uplink, &record.to) else { continue };
                let key = (line.clone(), record.family.clone());
                let since = if record.kind == Kind::Flaps { record.until } else { record.since };
                changed(record, key, to, since.unwrap_or(record.mono), &mut open, &dates, &mut found);
            }
            Kind::OutageOpen => {
                let (Some(line), Some(since)) = (&record.uplink, record.since) else { continue };
                let row = open
                    .entry((line.clone(), record.family.clone()))
                    .or_insert_with(|| Row::new(record, since, false, &dates));
                row.outage.began = dates.at(record.boot, since.min(row.outage.began.mono));
                row.outage.from_start = false;
                row.outage.cause = record.cause.clone().or(row.outage.cause.take());
                row.outage.evidence.extend(record.evidence.clone());
                row.outage.seq.1 = record.seq;
            }
            Kind::OutageClose => {
                let Some(line) = &record.uplink else { continue };
                if let Some(mut row) = open.remove(&(line.clone(), record.family.clone())) {
                    row.outage.cause = record.cause.clone().or(row.outage.cause.take());
                    row.outage.flaps = record.number("flaps").unwrap_or(0);
                    row.outage.seq.1 = record.seq;
                    found.lines.push(row.close(record.until.unwrap_or(record.mono), None, &dates));
                }
            }
            Kind::Config if record.to.as_deref() == Some("removed") => {
                let gone: Vec<_> =
                    open.keys().filter(|(line, _)| Some(line) == record.uplink.as_ref()).cloned().collect();
                for key in gone {
                    if let Some(row) = open.remove(&key) {
                        found.lines.push(row.close(record.mono, Some("the line left the config"), &dates));
                    }
                }
            }
            Kind::Stop
            | Kind::Switch
            | Kind::NotSwitched
            | Kind::Drill
            | Kind::Config
            | Kind::Update
            | Kind::Clock
            | Kind::Lock
            | Kind::Pruned
            | Kind::Receipt
            | Kind::Other => {}
        }
    }
    let end = newest.map_or(0, |(_, mono)| mono);
    for row in open.into_values() {
        let mut outage = row.close(end, None, &dates);
        outage.ended = None;
        found.lines.push(outage);
    }
    for outage in &mut found.lines {
        outage.felt_ms = felt.of(outage, end);
    }
    found.lines.sort_by_key(|outage| (outage.seq.0, outage.family.is_some()));
    found
}

impl Row {
    fn new(record: &Record, began: u64, from_start: bool, dates: &Dates) -> Self {
        let outage = Outage {
            uplink: record.uplink.clone().unwrap_or_default(),
            family: record.family.clone(),
            began: dates.at(record.boot, began),
            ended: None,
            ms: 0,
            unwatched_ms: 0,
            cause: record.cause.clone(),
            flaps: 0,
            cut: None,
            from_start,
            evidence: record.evidence.clone(),
            felt_ms: None,
            seq: (record.seq, record.seq),
        };
        Self { outage, reply: None, away: None }
    }

    fn close(mut self, at: u64, cut: Option<&'static str>, dates: &Dates) -> Outage {
        let began = self.outage.began;
        let at = at.max(began.mono);
        self.outage.ended = Some(dates.at(began.boot, at));
        self.outage.cut = cut;
        self.outage.ms = (at - began.mono).saturating_sub(self.outage.unwatched_ms);
        self.outage
    }
}

type Open = BTreeMap<(String, Option<String>), Row>;

/// What was open is proved until the last proof of life, no longer.
fn started(record: &Record, same_boot: bool, open: &mut Open, dates: &Dates, found: &mut Outages) {
    let last = record.evidence.get("last");
    let last = last.and_then(|last| last.get("mono")?.as_u64());
    if same_boot {
        for row in open.values_mut() {
            row.away = Some((last.unwrap_or(record.mono), record.mono));
        }
        return;
    }
    for row in std::mem::take(open).into_values() {
        let at = last.unwrap_or(row.outage.began.mono);
        found.lines.push(row.close(at, Some("the box went off"), dates));
    }
}

fn changed(
    record: &Record,
    key: (String, Option<String>),
    to: &str,
    since: u64,
    open: &mut Open,
    dates: &Dates,
    found: &mut Outages,
) {
    match (to, open.get_mut(&key)) {
        // Of one family only what the engine calls an outage is one.
        ("down", None) if key.1.is_none() => {
            open.insert(
                key,
                Row::new(record, since, record.from.as_deref().is_none_or(|from| from == "unknown"), dates),
            );
        }
        ("down" | "probation", Some(row)) => {
            if let Some((last, back)) = row.away.take() {
                let away = since.max(back).saturating_sub(last);
                row.outage.unwatched_ms = row.outage.unwatched_ms.saturating_add(away);
            }
            row.reply = (to == "probation").then_some(since);
            row.outage.seq.1 = record.seq;
            if to == "down" && row.outage.cause.is_none() {
                row.outage.cause.clone_from(&record.cause);
            }
        }
        ("up" | "degraded" | "disabled", Some(_)) => {
            if let Some(mut row) = open.remove(&key) {
                row.outage.seq.1 = record.seq;
                let closed = match (row.away, row.reply) {
                    (Some((last, _)), _) => row.close(last, Some("the daemon was away"), dates),
                    (None, Some(reply)) => row.close(reply, None, dates),
                    (None, None) => row.close(since, None, dates),
                };
                found.lines.push(closed);
            }
        }
        _ => {}
    }
}

/// When the branch had no internet, and what switches took.
#[derive(Debug, Default)]
struct Felt {
    /// Boot, from, to.
    down: Vec<(Id, u64, Option<u64>)>,
    /// Boot, when, from which lines, how long.
    switches: Vec<(Id, u64, Vec<String>, u64)>,
}

impl Felt {
    fn follow(&mut self, record: &Record) {
        match record.kind {
            Kind::State if record.uplink.is_none() => {
                if let Some(last) = self.down.last_mut().filter(|last| last.2.is_none()) {
                    last.2 = Some(record.mono);
                }
                if record.to.as_deref() == Some("down") {
                    self.down.push((record.boot, record.mono, None));
                }
            }
            Kind::Start => {
                if let Some(last) = self.down.last_mut().filter(|last| last.2.is_none()) {
                    let known = record.evidence.get("last").and_then(|last| last.get("mono")?.as_u64());
                    last.2 = Some(known.unwrap_or(last.1).max(last.1));
                }
            }
            Kind::Switch if record.text("path") == Some("default") => {
                let dead = record.evidence.get("dead").and_then(Value::as_array);
                let dead = dead.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect();
                let took =
                    record.number("detection_ms").unwrap_or(0).saturating_add(record.number("took_ms").unwrap_or(0));
                self.switches.push((record.boot, record.mono, dead, took));
            }
            Kind::State
            | Kind::Stop
            | Kind::Off
            | Kind::Switch
            | Kind::NotSwitched
            | Kind::OutageOpen
            | Kind::OutageClose
            | Kind::Drill
            | Kind::Config
            | Kind::Update
            | Kind::Clock
            | Kind::Lock
            | Kind::Flaps
            | Kind::Pruned
            | Kind::Receipt
            | Kind::Other => {}
        }
    }

    fn of(&self, outage: &Outage, now: u64) -> Option<u64> {
        if outage.family.is_some() {
            return None;
        }
        let (boot, began) = (outage.began.boot, outage.began.mono);
        let ended = outage.ended.map_or(now, |ended| ended.mono);
        let down = self
            .down
            .iter()
            .filter(|(other, from, to)| *other == boot && *from <= ended && to.unwrap_or(u64::MAX) >= began);
        let mut total = None;
        for (_, from, to) in down {
            // The first began when the line fell silent, which was noticed later.
            let from = if total.is_none() { began } else { *from };
            total = Some(to.unwrap_or(now).saturating_sub(from).saturating_add(total.unwrap_or(0)));
        }
        let moved = self.switches.iter().filter(|(other, at, dead, _)| {
            *other == boot && (began..=ended).contains(at) && dead.contains(&outage.uplink)
        });
        total.or(moved.map(|(_, _, _, took)| *took).max())
    }
}

#[cfg(test)]
#[path = "outages_tests.rs"]
mod tests;
