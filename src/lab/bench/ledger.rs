//! How long a whole ledger takes to be believed: every record's hash and its JSON, as `outages` and `report` do.

use super::{Row, Unit};
use crate::lab::LabError;
use crate::lab::clock;
use crate::lab::error::Doing as _;
use crate::ledger::chain::{Segment, verify};
use crate::ledger::record::{GENESIS, Id, Kind, Record, Stamp};

/// As many as a ledger holds.
const RECORDS: u64 = 10_000;

pub(super) fn verified(runs: u32) -> Result<Vec<Row>, LabError> {
    let segment = full();
    let mut samples = Vec::new();
    for _ in 0..runs {
        let began = clock::now();
        verify(std::slice::from_ref(&segment)).map_err(std::io::Error::other).doing(|| "verify a ledger".to_owned())?;
        samples.push(clock::now().since(began).as_secs_f64());
    }
    Ok(vec![Row::new("10,000 ledger records verified", "-", 0.2, Unit::Seconds, samples)])
}

/// A line that goes down and up, with evidence as it is.
fn full() -> Segment {
    let (mut hash, mut bytes) = (GENESIS, [&GENESIS[..], b"\n"].concat());
    for seq in 1..=RECORDS {
        let stamp = Stamp { boot: Id(1), mono: seq * 60_000, wall: Some(1_790_000_000_000 + seq * 60_000) };
        let mut record = Record::new(stamp, Kind::State)
            .with("verdict", "silent")
            .with("silent_ms", 380)
            .with("unanswered", 7)
            .with("silent_targets", vec!["9.9.9.9 icmp", "1.1.1.1 dns", "192.0.2.7 tcp/443"])
            .with("targets", 3)
            .with("carrier", true)
            .with("gateway_answers", true);
        (record.ledger, record.seq) = (Id(7), seq);
        record.uplink = Some("wan1".to_owned());
        record.to = Some(if seq % 2 == 0 { "up" } else { "down" }.to_owned());
        let (line, next) = record.line(&hash);
        bytes.extend(line);
        hash = next;
    }
    Segment { first: 1, bytes }
}
