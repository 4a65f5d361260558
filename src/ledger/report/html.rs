//! For paper and for the provider: one page without script or anything from elsewhere. Every string goes through
//! [`escape`].

use super::text::{ours, percent, verdict, when};
use super::{LineReport, OutageReport, Report};
use crate::ledger::words::length;

const STYLE: &str = "body{font:11pt/1.4 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#111;background:#fff}\
    table{border-collapse:collapse;width:100%;margin:1em 0}th,td{border:1px solid #999;padding:.3em .5em;text-align:left;\
    vertical-align:top}th{background:#eee}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:1.6em}\
    tr,h2{break-inside:avoid}@media print{body{margin:0;max-width:none}}";

pub fn page(report: &Report) -> String {
    let title = format!("{} – {}", escape(&report.site), escape(&report.month));
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>Internet lines of {title}</h1>\n"
    );
    let hours = report.hours.as_deref().unwrap_or("always open");
    text.push_str(&format!("<p>Times of {}; opening hours: {}.</p>\n", escape(&report.timezone), escape(hours)));
    text.push_str(
        "<table>\n<tr><th>Line</th><th>Provider, circuit</th><th>Available</th><th>In opening hours</th>\
         <th>Outages</th><th>Measured</th><th>Not measured</th></tr>\n",
    );
    for line in &report.lines {
        text.push_str(&line_row(report, line));
    }
    text.push_str("</table>\n");
    text.push_str(&format!(
        "<p>The branch, whichever line carried it: {} (in opening hours {}).</p>\n",
        percent(report.internet_availability),
        percent(report.internet_availability_open)
    ));
    text.push_str("<h2>Outages</h2>\n");
    if report.outages.is_empty() {
        text.push_str("<p>None.</p>\n");
    } else {
        text.push_str(
            "<table>\n<tr><th>Line</th><th>Began</th><th>Ended</th><th>Lasted</th><th>In opening hours</th><th>Cause</th>\
             <th>Branch felt</th><th>What was seen</th><th>Records</th></tr>\n",
        );
        for outage in &report.outages {
            text.push_str(&outage_row(report, outage));
        }
        text.push_str("</table>\n");
    }
    text.push_str("<h2>Ours, charged to nobody</h2>\n");
    text.push_str(&format!("<p>{}.</p>\n", escape(&ours(report))));
    text.push_str("<h2>What this rests on</h2>\n");
    text.push_str(&format!(
        "<p>Records {} to {} of the ledger, each with a hash over itself and the one before; all of them fit. \
         Receipts of head office: {}. Time without a date, because the clock could not be believed: {}; times the clock \
         was set: {}. False alarms are counted by the gateway and not in the ledger.</p>\n",
        report.first_seq,
        report.last_seq,
        report.receipts,
        length(report.undated_ms),
        report.clock_steps
    ));
    for remark in &report.remarks {
        text.push_str(&format!("<p>Note: {}.</p>\n", escape(remark)));
    }
    text.push_str("<h2>Method</h2>\n");
    for paragraph in method(report) {
        text.push_str(&format!("<p>{}</p>\n", escape(&paragraph)));
    }
    text.push_str("</body>\n</html>\n");
    text
}

/// The measuring point and its accuracy, a paragraph each.
pub fn method(report: &Report) -> Vec<String> {
    let mut text = vec![
        "Measured at the branch's gateway, on the line itself: every probe leaves through its own line, whichever line \
         carries the branch. A line works while answers come back. An outage begins at the last answer before it was found \
         dead and ends at the first answer of the return that lasted; short returns within it are part of it."
            .to_owned(),
        "A line counts as down when no answer came for the silence limit, from a quorum of independent targets; a target \
         that is silent on every line is left out. Lengths are measured on a clock that nobody sets and are exact to \
         10 ms; where a line is at rest, its beginning is exact to the interval of its probes."
            .to_owned(),
        "Available is the measured time without outages. Not measured, and charged to nobody: the gateway was off \
         (power, restart, update), or its software did not watch."
            .to_owned(),
        "The ledger proves that nothing was changed afterwards as far as head office has signed receipts for it. It does \
         not prove that the gateway measured right."
            .to_owned(),
    ];
    for line in &report.lines {
        let every = line.every_ms.map(length).unwrap_or_else(|| "?".to_owned());
        text.push(format!("{}: every {every} in use, asking {}.", line.uplink, line.targets.join(", ")));
    }
    text
}

fn line_row(report: &Report, line: &LineReport) -> String {
    let number = report.outages.iter().filter(|row| row.uplink == line.uplink && row.family.is_none()).count();
    let provider = [line.provider.as_deref(), line.circuit.as_deref()];
    let provider: Vec<&str> = provider.into_iter().flatten().collect();
    format!(
        "<tr><td>{}</td><td>{}</td><td>{}{}</td><td>{}</td><td>{number}, {}</td><td>{}</td><td>{}, off {}</td></tr>\n",
        escape(&line.uplink),
        escape(&provider.join(", ")),
        percent(line.availability),
        escape(&verdict(line)),
        percent(line.availability_open),
        length(line.outage_ms),
        length(line.measured_ms),
        length(line.unknown_ms),
        length(line.off_ms),
    )
}

fn outage_row(report: &Report, outage: &OutageReport) -> String {
    let both = |wall: u64| {
        let utc = jiff::Timestamp::from_millisecond(i64::try_from(wall).unwrap_or(0)).unwrap_or_default();
        format!("{} ({} UTC)", when(report, wall, "%-d %b %H:%M:%S"), utc.strftime("%H:%M:%S"))
    };
    let family = outage.family.as_ref().map(|family| format!(" ({family})")).unwrap_or_default();
    format!(
        "<tr><td>{}{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}–{}</td></tr>\n",
        escape(&outage.uplink),
        escape(&family),
        both(outage.began),
        outage.ended.map_or_else(|| "goes on".to_owned(), both),
        length(outage.lasted_ms),
        length(outage.open_ms),
        escape(outage.cause.as_deref().unwrap_or("not known")),
        outage.felt_ms.map_or_else(|| "nothing".to_owned(), length),
        escape(&outage.why),
        outage.first_seq,
        outage.last_seq,
    )
}

/// The one way of a string into the page.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out
}
