//! Ledgers for tests.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::chain::Segment;
use super::record::{GENESIS, Id, Kind, Record, Stamp};
use crate::config::branch::Week;

pub(crate) const LEDGER: Id = Id(0x5eed);
pub(crate) const BOOT: Id = Id(0xb001);

pub(crate) fn paris() -> TimeZone {
    super::store::zone(Some("Europe/Paris"))
}

/// For folds.
pub(crate) fn zones(name: Option<&str>) -> TimeZone {
    name.map_or(TimeZone::UTC, |name| super::store::zone(Some(name)))
}

pub(crate) fn week(text: &str) -> Week {
    Week::read(text).expect("opening hours")
}

pub(crate) fn utc_ms(text: &str) -> u64 {
    let moment: Timestamp = text.parse().expect("a moment");
    u64::try_from(moment.as_millisecond()).expect("after 1970")
}

pub(crate) fn at(mono: u64, wall: Option<u64>) -> Stamp {
    Stamp { boot: BOOT, mono, wall }
}

/// A start, the config, then `wan1` up and down in turn, a minute apart.
pub(crate) fn month_of_records(count: usize) -> Vec<Record> {
    let wall = utc_ms("2026-10-01T00:00:00Z");
    let mut records = Vec::new();
    for index in 0..count {
        let mono = 60_000 * u64::try_from(index).expect("small");
        let stamp = at(mono, Some(wall + mono));
        let mut record = match index {
            0 => Record::new(stamp, Kind::Start),
            1 => Record::new(stamp, Kind::Config).with("site", "Lyon-Bellecour").with("timezone", "Europe/Paris"),
            2 => Record::new(stamp, Kind::Config).with("provider", "FibreCo"),
            _ => Record::new(stamp, Kind::State).with("silent_ms", 380).with("carrier", true),
        };
        if index >= 2 {
            record.uplink = Some("wan1".to_owned());
        }
        if index >= 3 {
            record.to = Some(if index % 2 == 1 { "up" } else { "down" }.to_owned());
        }
        records.push(record);
    }
    records
}

/// As the store would write it.
pub(crate) fn segment_of(records: &[Record]) -> Segment {
    let (mut hash, mut bytes) = (GENESIS, [&GENESIS[..], b"\n"].concat());
    for (seq, record) in (1..).zip(records) {
        let mut record = record.clone();
        (record.ledger, record.seq) = (LEDGER, seq);
        let (line, next) = record.line(&hash);
        bytes.extend(line);
        hash = next;
    }
    Segment { first: 1, bytes }
}
