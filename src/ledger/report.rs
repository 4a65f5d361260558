//! A month of a branch, from the ledger alone: how long each line worked, its outages, what was ours, and what nobody knows.
//! [`Report::of`] reckons; [`text`], [`html`] and [`csv`] write it down, JSON is the type itself.

pub mod csv;
pub mod html;
pub mod text;

use std::collections::BTreeMap;

use jiff::Zoned;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::chain::Checked;
use super::hours::{Hours, Zones};
use super::outages::{self, Outage};
use super::record::{Id, Kind, Record};
use super::timeline::{DEGRADED, DOWN, INTERNET_DOWN, INTERNET_STATES, LINE_STATES, PROBATION, Subject, Timeline, UP};

/// Fields are only added within a version.
pub const SCHEMA_VERSION: u16 = 1;

/// Of a year, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month {
    pub year: i16,
    pub month: i8,
}

impl Month {
    /// `2026-10`.
    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let digits = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(year, 4) || !digits(month, 2) {
            return None;
        }
        let (year, month) = (year.parse().ok()?, month.parse().ok()?);
        (1970..=9_998).contains(&year).then_some(())?;
        (1..=12).contains(&month).then_some(Self { year, month })
    }

    /// Its first moment and the first one after it, UTC ms, on the branch's clock.
    pub fn bounds(self, zone: &TimeZone) -> (u64, u64) {
        let next = if self.month == 12 { date(self.year + 1, 1, 1) } else { date(self.year, self.month + 1, 1) };
        let start = |day: Date| {
            let moment = day.to_zoned(zone.clone()).map_or(0, |zoned| zoned.timestamp().as_millisecond());
            u64::try_from(moment).unwrap_or(0)
        };
        (start(date(self.year, self.month, 1)), start(next))
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

/// All times are milliseconds, all moments UTC milliseconds.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Report {
    pub schema_version: u16,
    pub site: String,
    pub month: String,
    pub timezone: String,
    /// As in the config; absent: always open.
    pub hours: Option<String>,
    pub from: u64,
    pub to: u64,
    pub lines: Vec<LineReport>,
    /// The branch's own: whichever line carried it.
    pub internet: Times,
    /// Share of the measured time; absent: nothing was measured.
    pub internet_availability: Option<f64>,
    pub internet_availability_open: Option<f64>,
    pub outages: Vec<OutageReport>,
    pub own: Vec<OwnReport>,
    /// Records that the report is made of.
    pub first_seq: u64,
    pub last_seq: u64,
    /// Time that has no date, because the clock could not be believed until the box went off.
    pub undated_ms: u64,
    pub clock_steps: u64,
    pub receipts: u64,
    pub remarks: Vec<String>,
    #[serde(skip)]
    pub zone: TimeZone,
}

/// Milliseconds in each state; open, closed, unknown hours.
pub type Times = BTreeMap<&'static str, [u64; 3]>;

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LineReport {
    pub uplink: String,
    pub provider: Option<String>,
    pub circuit: Option<String>,
    pub medium: Option<String>,
    /// What was asked, and how often at rest.
    pub targets: Vec<String>,
    pub every_ms: Option<u64>,
    pub times: Times,
    pub measured_ms: u64,
    pub measured_open_ms: u64,
    pub outage_ms: u64,
    pub outage_open_ms: u64,
    /// Share of the measured time.
    pub availability: Option<f64>,
    pub availability_open: Option<f64>,
    pub promised: Option<f64>,
    pub unknown_ms: u64,
    pub off_ms: u64,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OutageReport {
    pub uplink: String,
    /// Absent: the whole line.
    pub family: Option<String>,
    /// Of the whole outage, also where it reaches beyond the month.
    pub began: u64,
    /// Absent: it goes on.
    pub ended: Option<u64>,
    pub lasted_ms: u64,
    /// Of it, within the month and in opening hours.
    pub open_ms: u64,
    pub unwatched_ms: u64,
    pub cause: Option<String>,
    pub flaps: u64,
    /// How it ended, if not by answers.
    pub cut: Option<String>,
    pub felt_ms: Option<u64>,
    /// Why it is not the customer's side, in words.
    pub why: String,
    pub evidence: Map<String, Value>,
    pub first_seq: u64,
    pub last_seq: u64,
}

/// The box's own: listed openly, charged to nobody.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OwnReport {
    pub reason: String,
    pub began: Option<u64>,
    pub ended: Option<u64>,
    pub ms: Option<u64>,
    pub seq: u64,
}

/// What to report on.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    pub month: Month,
    pub uplink: Option<&'a str>,
    /// Share of a month, where a contract says so.
    pub promised: Option<f64>,
    /// Of the daemon that runs: what is open lasts until then.
    pub now: Option<(Id, u64)>,
}

impl Report {
    pub fn of(checked: &Checked, scope: &Scope<'_>, zones: Zones<'_>) -> Self {
        let records = &checked.records;
        let place = records.iter().rev().find(|record| record.kind == Kind::Config && record.uplink.is_none());
        let timezone = place.and_then(|place| place.text("timezone"));
        let zone = zones(timezone);
        let (from, to) = scope.month.bounds(&zone);
        let sums = Sums::of(records, scope.now, (from, to), zones);
        let read = outages::read(records, scope.now);
        let hours = sums.hours.clone();
        let wanted = |line: &str| scope.uplink.is_none_or(|uplink| uplink == line);
        let mut rows: Vec<OutageReport> = Vec::new();
        for outage in read.lines.iter().filter(|outage| wanted(&outage.uplink)) {
            rows.extend(OutageReport::of(outage, (from, to), &hours));
        }
        let all = rows.clone();
        // One family's trouble within an outage of the whole line is that outage.
        rows.retain(|row| row.family.is_none() || !all.iter().any(|whole| whole.covers(row)));
        let mut lines: Vec<LineReport> = Vec::new();
        for (name, times) in sums.lines.iter().filter(|(name, _)| wanted(name)) {
            let config = records.iter().rev().find(|record| {
                record.kind == Kind::Config && record.uplink.as_ref() == Some(name) && record.to.is_none()
            });
            let outages = rows.iter().filter(|row| row.uplink == *name && row.family.is_none());
            lines.push(LineReport::of(name, times, config, outages, (from, to), scope.promised));
        }
        let own = read.off.iter().map(|off| OwnReport {
            reason: off.reason.clone(),
            began: off.began,
            ended: off.ended,
            ms: off.ms(),
            seq: off.seq,
        });
        let inside = |row: &OwnReport| {
            row.ended.or(row.began).is_none_or(|ended| ended > from)
                && row.began.or(row.ended).is_none_or(|began| began < to)
        };
        let internet = named(&INTERNET_STATES, &sums.internet);
        let (all, open) = internet_share(&sums.internet);
        let dated = |record: &&Record| record.dated().is_some_and(|wall| (from..to).contains(&wall));
        let mut remarks = checked.remarks.clone();
        if records.first().is_none_or(|first| first.dated().is_none_or(|wall| wall > from)) {
            remarks.push("the ledger begins within the month, or later".to_owned());
        }
        Self {
            schema_version: SCHEMA_VERSION,
            site: place.and_then(|place| place.text("site")).unwrap_or("?").to_owned(),
            month: scope.month.to_string(),
            timezone: timezone.map_or_else(|| zone.iana_name().unwrap_or("of the system").to_owned(), str::to_owned),
            hours: place.and_then(|place| place.text("hours")).map(str::to_owned),
            from,
            to,
            lines,
            internet,
            internet_availability: all,
            internet_availability_open: open,
            outages: rows,
            own: own.filter(inside).collect(),
            first_seq: records.iter().find(dated).map_or(0, |record| record.seq),
            last_seq: records.iter().rev().find(dated).map_or(0, |record| record.seq),
            undated_ms: sums.undated,
            clock_steps: count(records.iter().filter(|record| record.kind == Kind::Clock).filter(dated)),
            receipts: count(records.iter().filter(|record| record.kind == Kind::Receipt).filter(dated)),
            remarks,
            zone,
        }
    }

    /// On the branch's clock.
    pub fn local(&self, wall: u64) -> Option<Zoned> {
        let stamp = jiff::Timestamp::from_millisecond(i64::try_from(wall).ok()?).ok()?;
        Some(stamp.to_zoned(self.zone.clone()))
    }
}

/// Time by state within the month.
struct Sums {
    lines: BTreeMap<String, [[u64; 3]; LINE_STATES.len()]>,
    internet: [[u64; 3]; INTERNET_STATES.len()],
    undated: u64,
    hours: Hours,
}

impl Sums {
    fn of(records: &[Record], now: Option<(Id, u64)>, month: (u64, u64), zones: Zones<'_>) -> Self {
        let mut sums =
            Self { lines: BTreeMap::new(), internet: Default::default(), undated: 0, hours: Hours::default() };
        let mut timeline = Timeline::new(true);
        let mut take = |span: super::timeline::Span<'_>| {
            let Some((from, to)) = span.dates else {
                sums.undated += if span.subject == Subject::Internet { span.ms } else { 0 };
                return;
            };
            let (from, to) = (from.max(month.0), to.min(month.1));
            let cell = match span.subject {
                Subject::Line(name) => &mut sums.lines.entry(name.to_owned()).or_default()[span.state],
                Subject::Internet => &mut sums.internet[span.state],
            };
            if from < to {
                let (open, closed) = span.hours.split(from, to);
                cell[0] += open;
                cell[1] += closed;
            }
        };
        for record in records {
            timeline.fold(record, zones, &mut take);
        }
        let last = records.last().map(|record| (record.boot, record.mono));
        let end = match (now, last) {
            (Some((boot, mono)), Some((last, _))) if boot == last => mono,
            (_, Some((_, mono))) => mono,
            (_, None) => 0,
        };
        timeline.advance(end, &|_| None, &mut take);
        timeline.end(&mut take);
        sums.hours = timeline.hours().clone();
        sums
    }
}

impl LineReport {
    fn of<'a>(
        name: &str,
        times: &[[u64; 3]; LINE_STATES.len()],
        config: Option<&Record>,
        outages: impl Iterator<Item = &'a OutageReport>,
        month: (u64, u64),
        promised: Option<f64>,
    ) -> Self {
        let sum = |states: &[usize], hours: std::ops::Range<usize>| -> u64 {
            states.iter().flat_map(|state| &times[*state][hours.clone()]).sum()
        };
        const MEASURED: [usize; 4] = [UP, DEGRADED, DOWN, PROBATION];
        let (measured, measured_open) = (sum(&MEASURED, 0..3), sum(&MEASURED, 0..1));
        let (mut outage, mut outage_open) = (0, 0);
        for row in outages {
            outage += row.within(month);
            outage_open += row.open_ms;
        }
        // An outage begins at the last proof of life: a moment of it was booked as `up` when it was.
        let (outage, outage_open) = (outage.min(measured), outage_open.min(measured_open));
        let text = |key| config.and_then(|config| config.text(key)).map(str::to_owned);
        let targets = config.and_then(|config| config.evidence.get("targets")?.as_array());
        Self {
            uplink: name.to_owned(),
            provider: text("provider"),
            circuit: text("circuit"),
            medium: text("medium"),
            targets: targets.into_iter().flatten().filter_map(|target| target.as_str().map(str::to_owned)).collect(),
            every_ms: config.and_then(|config| config.number("every_ms")),
            times: named(&LINE_STATES, times),
            measured_ms: measured,
            measured_open_ms: measured_open,
            outage_ms: outage,
            outage_open_ms: outage_open,
            availability: share(measured - outage, measured),
            availability_open: share(measured_open - outage_open, measured_open),
            promised,
            unknown_ms: sum(&[4], 0..3),
            off_ms: sum(&[6], 0..3),
        }
    }
}

impl OutageReport {
    /// `None`: not in this month, or nobody knows when.
    fn of(outage: &Outage, month: (u64, u64), hours: &Hours) -> Option<Self> {
        let began = outage.began.wall?;
        let ended = outage.ended.map(|ended| ended.wall.unwrap_or(began));
        // Lengths are of the monotonic clock, whatever the wall clock did meanwhile.
        let until = began.saturating_add(outage.ms).saturating_add(outage.unwatched_ms);
        if began >= month.1 || until <= month.0 {
            return None;
        }
        Some(Self {
            uplink: outage.uplink.clone(),
            family: outage.family.clone(),
            began,
            ended,
            lasted_ms: outage.ms,
            open_ms: hours.open_ms(began.max(month.0), until.min(month.1)).saturating_sub(outage.unwatched_ms),
            unwatched_ms: outage.unwatched_ms,
            cause: outage.cause.clone(),
            flaps: outage.flaps,
            cut: outage.cut.map(str::to_owned),
            felt_ms: outage.felt_ms,
            why: why(outage),
            evidence: outage.evidence.clone(),
            first_seq: outage.seq.0,
            last_seq: outage.seq.1,
        })
    }

    fn within(&self, month: (u64, u64)) -> u64 {
        let until = self.end();
        until.min(month.1).saturating_sub(self.began.max(month.0)).saturating_sub(self.unwatched_ms)
    }

    fn end(&self) -> u64 {
        self.began.saturating_add(self.lasted_ms).saturating_add(self.unwatched_ms)
    }

    fn covers(&self, part: &Self) -> bool {
        // The last family that fails makes the line's outage, so it begins later than the first one's.
        self.family.is_none() && self.uplink == part.uplink && self.began < part.end() && part.began < self.end()
    }
}

/// What was seen, and that it was not the customer's side.
fn why(outage: &Outage) -> String {
    let seen = &outage.evidence;
    let flag = |key: &str| seen.get(key).and_then(Value::as_bool);
    let mut said = Vec::new();
    if let (Some(count), Some(targets)) = (list(seen, "silent_targets"), seen.get("targets").and_then(Value::as_u64)) {
        said.push(format!("{} of {targets} targets silent: {}", count.len(), count.join(", ")));
    }
    if let Some(probes) = seen.get("unanswered").and_then(Value::as_u64) {
        said.push(format!("{probes} probes unanswered"));
    }
    match flag("carrier") {
        Some(true) => said.push("cable in".to_owned()),
        Some(false) => said.push("no signal on the cable".to_owned()),
        None => {}
    }
    if flag("address") == Some(true) {
        said.push("address kept".to_owned());
    }
    match flag("gateway_answers") {
        Some(true) => said.push("the provider's gateway answers: the fault is beyond the modem".to_owned()),
        Some(false) => said.push("the gateway does not answer: the fault is in the modem or the line to it".to_owned()),
        None => {}
    }
    if let Some(others) = list(seen, "others_up") {
        said.push(format!("the same targets answer through {}", others.join(", ")));
    }
    if outage.from_start {
        said.push("it was down when the daemon began to look".to_owned());
    }
    if outage.unwatched_ms > 0 {
        said.push(format!("not watched for {} of it", super::words::length(outage.unwatched_ms)));
    }
    if let Some(cut) = outage.cut {
        said.push(format!("its end is not known: {cut}"));
    }
    said.join("; ")
}

fn list(seen: &Map<String, Value>, key: &str) -> Option<Vec<String>> {
    let list = seen.get(key)?.as_array()?;
    let list: Vec<String> = list.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect();
    (!list.is_empty()).then_some(list)
}

/// All hours, open hours.
fn internet_share(times: &[[u64; 3]; INTERNET_STATES.len()]) -> (Option<f64>, Option<f64>) {
    let of = |hours: std::ops::Range<usize>| {
        let sum = |state: usize| -> u64 { times[state][hours.clone()].iter().sum() };
        let (worked, down) = (sum(0) + sum(1), sum(INTERNET_DOWN));
        share(worked, worked + down)
    };
    (of(0..3), of(0..1))
}

#[expect(clippy::cast_precision_loss, reason = "a month has 2.7e9 milliseconds, exact in a float")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn named<const N: usize>(names: &[&'static str; N], times: &[[u64; 3]; N]) -> Times {
    names.iter().copied().zip(times.iter().copied()).collect()
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
