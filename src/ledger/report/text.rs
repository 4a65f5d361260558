//! For a terminal: tables that can be read aloud.

use super::{LineReport, OutageReport, OwnReport, Report};
use crate::ledger::words::length;

/// `99.925 %`: enough places to tell a minute in a month.
pub fn percent(share: Option<f64>) -> String {
    match share {
        None => "not measured".to_owned(),
        Some(share) => {
            let percent = share * 100.0;
            // Something that is not all is not shown as all.
            let places = if percent < 100.0 && percent > 99.999 { 5 } else { 3 };
            let text = format!("{percent:.places$}");
            let text = text.trim_end_matches('0').trim_end_matches('.');
            format!("{text} %")
        }
    }
}

/// `causeway outages`.
pub fn outages(report: &Report) -> String {
    let mut rows =
        vec![["UPLINK", "BEGAN", "ENDED", "LASTED", "CAUSE", "OPEN HOURS", "BRANCH FELT"].map(str::to_owned)];
    let mut all: Vec<(u64, [String; 7])> = Vec::new();
    for outage in &report.outages {
        all.push((outage.began, row(report, outage)));
    }
    for own in &report.own {
        all.push((own.began.or(own.ended).unwrap_or(report.from), own_row(report, own)));
    }
    all.sort_by_key(|(began, _)| *began);
    let none = all.is_empty();
    rows.extend(all.into_iter().map(|(_, row)| row));
    let mut text = if none { format!("No outage in {}.\n", report.month) } else { table(&rows) };
    for line in &report.lines {
        text.push_str(&sentence(line));
    }
    text.push_str(&format!("Branch: {}", percent(report.internet_availability)));
    text.push_str(&format!(" (in opening hours {}).\n", percent(report.internet_availability_open)));
    text
}

/// `causeway report`.
pub fn report(report: &Report) -> String {
    let mut text = format!("{} · {} · {}\n\n", report.site, report.month, report.timezone);
    for line in &report.lines {
        let mut name = vec![line.uplink.clone()];
        name.extend(line.provider.clone());
        name.extend(line.circuit.as_ref().map(|circuit| format!("circuit {circuit}")));
        let own = report.outages.iter().filter(|outage| outage.uplink == line.uplink && outage.family.is_none());
        let number = own.clone().count();
        let plural = if number == 1 { "outage" } else { "outages" };
        text.push_str(&format!("{}: {} measured", name.join(" · "), percent(line.availability)));
        text.push_str(&verdict(line));
        text.push_str(&format!(".  {number} {plural}, {}.\n", length(line.outage_ms)));
        text.push_str(&format!("  In opening hours: {}.", percent(line.availability_open)));
        text.push_str(&format!("  Unknown: {}.\n", length(line.unknown_ms)));
        for outage in own {
            text.push_str(&format!("  {}  {}\n", when(report, outage.began, "%-d %b %H:%M:%S"), explained(outage)));
        }
    }
    text.push_str(&format!(
        "Branch: {} (in opening hours {}), whichever line carried it.\n",
        percent(report.internet_availability),
        percent(report.internet_availability_open)
    ));
    text.push_str(&format!("Ours, not counted: {}.\n", ours(report)));
    if report.undated_ms > 0 {
        text.push_str(&format!("Without a date, not counted: {}.\n", length(report.undated_ms)));
    }
    text.push_str(&format!(
        "Ledger {}–{} intact, {}.\n",
        report.first_seq,
        report.last_seq,
        if report.receipts == 0 {
            "no receipts from head office".to_owned()
        } else {
            format!("{} receipts", report.receipts)
        }
    ));
    for remark in &report.remarks {
        text.push_str(&format!("Note: {remark}.\n"));
    }
    text
}

/// `power 42m 28s, reboot 1m 02s`.
pub(super) fn ours(report: &Report) -> String {
    let mut sums: std::collections::BTreeMap<&str, (u64, usize)> = std::collections::BTreeMap::new();
    for own in &report.own {
        let sum = sums.entry(own.reason.as_str()).or_default();
        match own.ms {
            Some(ms) => sum.0 += ms,
            None => sum.1 += 1,
        }
    }
    let told = sums.iter().map(|(reason, (ms, unknown))| match unknown {
        0 => format!("{reason} {}", length(*ms)),
        unknown => format!("{reason} {} and {unknown} of unknown length", length(*ms)),
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() { "nothing".to_owned() } else { told.join(", ") }
}

pub(super) fn verdict(line: &LineReport) -> String {
    let (Some(promised), Some(measured)) = (line.promised, line.availability) else { return String::new() };
    let told = format!(", {} promised", percent(Some(promised)));
    if measured >= promised {
        return format!("{told}: kept");
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a month in ms"
    )]
    let missed = (line.outage_ms as f64 - line.measured_ms as f64 * (1.0 - promised)).max(0.0) as u64;
    format!("{told}: MISSED by {}", length(missed))
}

fn sentence(line: &LineReport) -> String {
    let promised = line.promised.map(|promised| format!(" (promised {})", percent(Some(promised)))).unwrap_or_default();
    let unknown =
        if line.unknown_ms > 0 { format!("  Not measured: {}.", length(line.unknown_ms)) } else { String::new() };
    format!("{}: {} of measured time{promised}.{unknown}\n", line.uplink, percent(line.availability))
}

fn row(report: &Report, outage: &OutageReport) -> [String; 7] {
    let family = outage.family.as_ref().map(|family| format!(" ({family})")).unwrap_or_default();
    [
        format!("{}{family}", outage.uplink),
        when(report, outage.began, "%-d %b %H:%M:%S"),
        ended(report, outage.began, outage.ended),
        length(outage.lasted_ms),
        outage.cause.clone().unwrap_or_else(|| "–".to_owned()),
        length(outage.open_ms),
        outage.felt_ms.map_or_else(|| "–".to_owned(), length),
    ]
}

fn own_row(report: &Report, own: &OwnReport) -> [String; 7] {
    let said = match own.reason.as_str() {
        "power" => "power cut at the branch, not the provider",
        "reboot" => "the box was restarted, not the provider",
        "update" => "an update of the box, not the provider",
        "watchdog" | "panic" => "the box failed, not the provider",
        _ => "the box was off, not the provider",
    };
    [
        "–".to_owned(),
        own.began.map_or_else(|| "?".to_owned(), |began| when(report, began, "%-d %b %H:%M:%S")),
        ended(report, own.began.unwrap_or(0), own.ended),
        own.ms.map_or_else(|| "?".to_owned(), length),
        "off".to_owned(),
        "–".to_owned(),
        said.to_owned(),
    ]
}

fn explained(outage: &OutageReport) -> String {
    let cause = outage.cause.as_deref().unwrap_or("not known");
    let open = if outage.ended.is_none() { ", goes on" } else { "" };
    let why = if outage.why.is_empty() { String::new() } else { format!(": {}", outage.why) };
    format!("{}{open}, cause {cause}{why}", length(outage.lasted_ms))
}

fn ended(report: &Report, began: u64, ended: Option<u64>) -> String {
    let Some(ended) = ended else { return "goes on".to_owned() };
    let same = report.local(began).map(|local| local.date()) == report.local(ended).map(|local| local.date());
    when(report, ended, if same { "%H:%M:%S" } else { "%-d %b %H:%M:%S" })
}

pub(super) fn when(report: &Report, wall: u64, format: &str) -> String {
    report.local(wall).map_or_else(|| "?".to_owned(), |local| local.strftime(format).to_string())
}

fn table(rows: &[[String; 7]]) -> String {
    let widths: Vec<usize> =
        (0..7).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())));
        text.push_str(cells.collect::<Vec<_>>().join("   ").trim_end());
        text.push('\n');
    }
    text
}
