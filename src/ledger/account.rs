//! Time in each state, split by opening hours, and boots by reason: sums over the ledger that outlive restarts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::hours::Zones;
use super::record::{Kind, Record};
use super::timeline::{INTERNET_STATES, LINE_STATES, Limit, Span, Subject, Timeline};

/// Names as in `causeway_boots_total{reason}`.
pub const BOOTS: [&str; 6] = ["power", "reboot", "update", "watchdog", "panic", "unknown"];

/// Milliseconds by state and by open, closed, unknown hours.
pub type LineTimes = [[u64; 3]; LINE_STATES.len()];
pub type InternetTimes = [[u64; 3]; INTERNET_STATES.len()];

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    timeline: Timeline,
    sums: Sums,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// By name: also of lines that the config has no more, until the ledger forgets them.
    pub lines: BTreeMap<String, LineTimes>,
    pub internet: InternetTimes,
    /// By [`BOOTS`].
    pub boots: [u64; BOOTS.len()],
}

impl Default for Account {
    fn default() -> Self {
        Self { timeline: Timeline::new(false), sums: Sums::default() }
    }
}

impl Account {
    pub fn fold(&mut self, record: &Record, zones: Zones<'_>) {
        if record.kind == Kind::Start && self.timeline.boot() != Some(record.boot) {
            let reason = record.cause.as_deref().unwrap_or("unknown");
            let index = BOOTS.iter().position(|known| *known == reason).unwrap_or(BOOTS.len() - 1);
            self.sums.boots[index] += 1;
        }
        let sums = &mut self.sums;
        self.timeline.fold(record, zones, &mut |span| sums.add(&span));
    }

    /// All that is certain by now.
    pub fn advance(&mut self, now: u64, limit: Limit<'_>) -> &Sums {
        let sums = &mut self.sums;
        self.timeline.advance(now, limit, &mut |span| sums.add(&span));
        &self.sums
    }

    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    /// After it was read back.
    pub fn resolve(&mut self, zones: Zones<'_>) {
        self.timeline.resolve(zones);
    }
}

impl Sums {
    fn add(&mut self, span: &Span<'_>) {
        let split = span.split();
        let times = match span.subject {
            Subject::Line(name) => match self.lines.get_mut(name) {
                Some(times) => &mut times[span.state],
                None => &mut self.lines.entry(name.to_owned()).or_default()[span.state],
            },
            Subject::Internet => &mut self.internet[span.state],
        };
        for (sum, part) in times.iter_mut().zip(split) {
            *sum = sum.saturating_add(part);
        }
    }
}
