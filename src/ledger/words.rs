//! Records in sentences, as `causeway events` and the report tell them.

use super::record::{Kind, Record};
use crate::telemetry::words;

/// `33m 31s`, `2h 05m`, `3d 04h`; below ten seconds with two places.
pub fn length(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..10 => format!("{}.{:02} s", seconds, ms % 1_000 / 10),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{minutes}m {:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// The name under which `events` shows it, and the sentence. `None`: part of another.
pub fn sentence(record: &Record) -> Option<(&'static str, String)> {
    let line = record.uplink.as_deref().unwrap_or_default();
    let family = record.family.as_deref().map(|family| format!(" ({family})")).unwrap_or_default();
    let (from, to) = (record.from.as_deref().unwrap_or("–"), record.to.as_deref().unwrap_or("–"));
    let by = record.by.as_deref().map(|by| format!(" (by {by})")).unwrap_or_default();
    let cause = record.cause.as_deref();
    Some(match record.kind {
        Kind::Start => {
            let why = match cause {
                Some("restart") | None => "again".to_owned(),
                Some(reason) => format!("after a boot, reason: {reason}"),
            };
            ("daemon.started", format!("began to watch {why}"))
        }
        Kind::Stop => ("daemon.stopped", "stopped in order".to_owned()),
        Kind::Off => {
            let how_long = record.number("ms").map_or_else(|| "nobody knows how long".to_owned(), length);
            ("power.lost", format!("the box was off, {how_long}; reason: {}", cause.unwrap_or("unknown")))
        }
        Kind::State if record.uplink.is_none() => ("internet.state", format!("internet {from} → {to}")),
        Kind::State => {
            let silent =
                record.number("silent_ms").map(|ms| format!(", silent {}", words::fast(ms))).unwrap_or_default();
            let cause = cause.map(|cause| format!(", cause: {cause}")).unwrap_or_default();
            ("uplink.state", format!("{line}{family} {from} → {to}{cause}{silent}"))
        }
        Kind::Switch => {
            let path = record.text("path").unwrap_or_default();
            let took = record.number("took_ms").map(|ms| format!(" in {}", words::fast(ms))).unwrap_or_default();
            ("path.switch", format!("{path}{family} {from} → {to}{took}"))
        }
        Kind::NotSwitched => {
            let path = record.text("path").unwrap_or_default();
            ("switch.held", format!("{path}{family} stays, reason: {}", cause.unwrap_or_default()))
        }
        Kind::OutageOpen => {
            ("outage.opened", format!("{line}{family} has an outage, cause: {}", cause.unwrap_or("being asked")))
        }
        Kind::OutageClose => {
            let ms = record.until.zip(record.since).map_or(0, |(until, since)| until.saturating_sub(since));
            ("outage.closed", format!("{line}{family} works again after {}", length(ms)))
        }
        Kind::Drill => ("drill.result", format!("drill of {line}: {to}")),
        Kind::Config if record.uplink.is_none() => ("config.applied", "config in force".to_owned()),
        Kind::Config | Kind::Other => return None,
        Kind::Update => ("update.done", "update".to_owned()),
        Kind::Clock => ("clock.trusted", "the clock was set".to_owned()),
        Kind::Lock if line.is_empty() => ("lock.changed", format!("{to}{by}")),
        Kind::Lock => ("preference.changed", format!("{line} is {to}{by}")),
        Kind::Flaps => {
            let count = record.number("count").unwrap_or(0);
            ("uplink.state", format!("{line} changed {count} times within a minute, now {to}"))
        }
        Kind::Pruned => ("ledger.pruned", "the oldest records were given up".to_owned()),
        Kind::Receipt => ("ledger.receipt", "head office has the ledger".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_as_people_say_them() {
        let said = [390, 9_999, 12_000, 2_011_000, 7_500_000, 273_600_000].map(length);
        assert_eq!(said, ["0.39 s", "9.99 s", "12 s", "33m 31s", "2h 05m", "3d 04h"]);
    }
}
