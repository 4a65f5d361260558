//! A line that changes more often than records are worth is told once a minute: how often, how long in each state, from
//! when to when. Exact in time, bounded in size.

use std::collections::BTreeMap;

use crate::ledger::record::{Kind, Record, Stamp};

/// Records of one line within a minute; a line that is merely bad makes a few.
pub(super) const MOST: u32 = 30;
const MINUTE_MS: u64 = 60_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Flaps {
    /// The minute that is counted: of the wall clock, if it can be believed, so that none spans a change of hours.
    minute: Option<u64>,
    records: u32,
    folded: Option<Folded>,
}

#[derive(Clone, Debug)]
struct Folded {
    from: Option<String>,
    state: String,
    since: u64,
    last: u64,
    count: u64,
    /// Milliseconds.
    states: BTreeMap<String, u64>,
}

impl Flaps {
    /// Since when it is folded: what came after is not written yet.
    pub(super) fn since(&self) -> Option<u64> {
        self.folded.as_ref().map(|folded| folded.last)
    }

    /// Lets records through, or keeps them.
    pub(super) fn take(&mut self, name: &str, records: Vec<Record>, at: Stamp) -> Vec<Record> {
        let mut out = self.tick(name, at);
        for record in records {
            self.records += 1;
            if self.records <= MOST {
                out.push(record);
            } else if record.family.is_none()
                && let Some(to) = record.to
            {
                let since = record.since.unwrap_or(record.mono);
                let folded = self.folded.get_or_insert_with(|| Folded {
                    from: record.from.clone(),
                    state: to.clone(),
                    since,
                    last: since,
                    count: 0,
                    states: BTreeMap::new(),
                });
                folded.change(to, since);
            }
        }
        out
    }

    pub(super) fn tick(&mut self, name: &str, now: Stamp) -> Vec<Record> {
        let minute = Some(now.wall.unwrap_or(now.mono) / MINUTE_MS);
        if self.minute == minute {
            return Vec::new();
        }
        self.minute = minute;
        self.end(name, now)
    }

    pub(super) fn end(&mut self, name: &str, now: Stamp) -> Vec<Record> {
        self.records = 0;
        self.folded.take().map(|folded| folded.record(name, now)).into_iter().collect()
    }
}

impl Folded {
    fn change(&mut self, to: String, at: u64) {
        let before = std::mem::replace(&mut self.state, to);
        let ms = at.saturating_sub(self.last);
        if ms > 0 {
            *self.states.entry(before).or_default() += ms;
        }
        self.last = self.last.max(at);
        self.count += 1;
    }

    fn record(self, name: &str, now: Stamp) -> Record {
        let states: serde_json::Map<_, _> = self.states.into_iter().map(|(state, ms)| (state, ms.into())).collect();
        let mut record = Record::new(now, Kind::Flaps).with("count", self.count).with("states", states);
        record.uplink = Some(name.to_owned());
        (record.from, record.to) = (self.from, Some(self.state));
        (record.since, record.until) = (Some(self.since), Some(self.last));
        record
    }
}
