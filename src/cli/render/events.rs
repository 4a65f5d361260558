//! `causeway events`: a line an event, time first.

use std::collections::BTreeMap;

use super::{View, printable};
use crate::control::status::SCHEMA_VERSION;
use crate::telemetry::events::{EventLine, Level};

/// `10:42:09.382  uplink.state   wan1 up → down: …`, with the date if it was another day.
pub fn line(line: &EventLine, view: &View) -> String {
    format!("{}  {:<18}  {}\n", when(line, view), printable(&line.kind), printable(&line.message))
}

/// The same as JSON, on one line.
pub fn json(line: &EventLine) -> Result<String, serde_json::Error> {
    #[derive(serde::Serialize)]
    struct Versioned<'a> {
        schema_version: u16,
        seq: u64,
        wall_ms: Option<u64>,
        boot_ms: u64,
        kind: &'a str,
        level: Level,
        message: &'a str,
        fields: BTreeMap<&'a str, &'a str>,
    }
    let EventLine { seq, wall_ms, boot_ms, kind, level, message, fields } = line;
    serde_json::to_string(&Versioned {
        schema_version: SCHEMA_VERSION,
        seq: *seq,
        wall_ms: *wall_ms,
        boot_ms: *boot_ms,
        kind,
        level: *level,
        message,
        fields: fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
    })
}

fn when(line: &EventLine, view: &View) -> String {
    let Some(local) = line.wall_ms.and_then(|wall| view.local(wall)) else {
        // The clock was not trusted: time since the machine started.
        return format!("+{}.{:03}s", line.boot_ms / 1_000, line.boot_ms % 1_000);
    };
    let format = if view.today == Some(local.date()) { "%H:%M:%S%.3f" } else { "%-d %b %H:%M:%S%.3f" };
    local.strftime(format).to_string()
}
