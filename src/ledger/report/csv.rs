//! The outages as a table for a spreadsheet (RFC 4180): UTC and local times, milliseconds.

use super::Report;

pub fn outages(report: &Report) -> String {
    let mut text =
        "uplink,family,began_utc,ended_utc,began_local,ended_local,lasted_ms,open_hours_ms,unwatched_ms,cause,\
                    flaps,branch_felt_ms,end,why,first_record,last_record\r\n"
            .to_owned();
    let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    for outage in &report.outages {
        let ended = outage.ended;
        let cells = [
            outage.uplink.clone(),
            outage.family.clone().unwrap_or_default(),
            utc(Some(outage.began)),
            utc(ended),
            local(report, Some(outage.began)),
            local(report, ended),
            outage.lasted_ms.to_string(),
            outage.open_ms.to_string(),
            outage.unwatched_ms.to_string(),
            outage.cause.clone().unwrap_or_default(),
            outage.flaps.to_string(),
            number(outage.felt_ms),
            match (&outage.cut, ended) {
                (Some(cut), _) => cut.clone(),
                (None, Some(_)) => "answers".to_owned(),
                (None, None) => "goes on".to_owned(),
            },
            outage.why.clone(),
            outage.first_seq.to_string(),
            outage.last_seq.to_string(),
        ];
        text.push_str(&line(&cells));
    }
    for own in &report.own {
        let mut cells: [String; 16] = Default::default();
        (cells[2], cells[3]) = (utc(own.began), utc(own.ended));
        (cells[4], cells[5]) = (local(report, own.began), local(report, own.ended));
        cells[6] = number(own.ms);
        (cells[9], cells[13]) = ("off".to_owned(), format!("the box was off, reason: {}", own.reason));
        (cells[14], cells[15]) = (own.seq.to_string(), own.seq.to_string());
        text.push_str(&line(&cells));
    }
    text
}

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
    format!("{}\r\n", cells.join(","))
}

/// A cell that begins like a formula is text all the same.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

fn utc(wall: Option<u64>) -> String {
    let stamp = wall.and_then(|wall| jiff::Timestamp::from_millisecond(i64::try_from(wall).ok()?).ok());
    stamp.map(|stamp| stamp.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()).unwrap_or_default()
}

fn local(report: &Report, wall: Option<u64>) -> String {
    let local = wall.and_then(|wall| report.local(wall));
    local.map(|local| local.strftime("%Y-%m-%d %H:%M:%S%:z").to_string()).unwrap_or_default()
}
