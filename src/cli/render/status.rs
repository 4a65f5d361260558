//! `causeway status`: one screen that says how the branch is, and what to type next.

use super::{Paint, View, names, paint_of, printable};
use crate::cli::exit::Check;
use crate::control::status::{
    DrillResult, FamilyStatus, InternetState, PathStatus, Status, SwitchReason, SwitchStatus, UplinkStatus,
};
use crate::health::State;
use crate::telemetry::words;

pub fn text(status: &Status, view: &View) -> String {
    let mut text = headline(status, view);
    text.push_str(&table(status, view));
    for path in status.paths.iter().skip(1) {
        text.push_str(&format!("  {}\n", other_path(path)));
    }
    for line in hands(status, view) {
        text.push_str(&format!("{line}\n"));
    }
    for warning in &status.warnings {
        text.push_str(&format!("{} {}\n", view.paint("!", Paint::Bad), printable(warning)));
    }
    text.push_str(&last(status, view));
    text
}

/// One line for monitoring.
pub fn check(status: &Status, verdict: Check) -> String {
    let lines = status.uplinks.iter().flat_map(|uplink| uplink.families.iter().map(move |line| (uplink, line)));
    let odd: Vec<_> = lines
        .filter(|(_, line)| !matches!(line.state, State::Up | State::Disabled))
        .map(|(uplink, line)| format!("{} ({}) {}", uplink.name, line.family, line.state.name()))
        .collect();
    let carrier = status.paths.first().map(carriers).unwrap_or_default();
    let odd = if odd.is_empty() { "all uplinks up".to_owned() } else { odd.join(", ") };
    let state = status.internet.state.name();
    format!("{}: {} internet {state} on {carrier}; {odd}", verdict.word(), printable(&status.site))
}

/// What a person sees first: `ON BACKUP since 10:42 (33 min)`.
pub(crate) fn headline(status: &Status, view: &View) -> String {
    let (word, paint) = match status.internet.state {
        InternetState::Primary => ("ON PRIMARY", Paint::Good),
        InternetState::Backup => ("ON BACKUP", Paint::Doubtful),
        InternetState::Down => ("DOWN", Paint::Bad),
        InternetState::Unknown => ("UNKNOWN", Paint::Bold),
    };
    let site = view.paint(&printable(&status.site), Paint::Bold);
    let since = view.since_and_age(status.internet.since);
    format!("{site}   {} {since}   causeway {}\n", view.paint(word, paint), printable(&status.version))
}

struct Row {
    carries: bool,
    cells: [String; 6],
    note: String,
    state: State,
}

const HEAD: [&str; 6] = ["UPLINK", "PROVIDER", "STATE", "SINCE", "LOSS", "RTT p95"];
const STATE_CELL: usize = 2;

fn table(status: &Status, view: &View) -> String {
    let rows: Vec<_> = status.uplinks.iter().flat_map(|uplink| rows(uplink, view)).collect();
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row.cells[column].chars().count());
            cells.chain([HEAD[column].len()]).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::from("  ");
    for (head, width) in HEAD.iter().zip(&widths) {
        text.push_str(&format!("{head:<width$}   "));
    }
    text.push_str("NOTE\n");
    for row in rows {
        let mut line = String::from(if row.carries { "> " } else { "  " });
        for (column, (cell, width)) in row.cells.iter().zip(&widths).enumerate() {
            // Padded first: colour has no width.
            let padded = format!("{cell:<width$}");
            let paint = if column == STATE_CELL { paint_of(row.state) } else { Paint::Plain };
            line.push_str(&view.paint(&padded, paint));
            line.push_str("   ");
        }
        line.push_str(&row.note);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// One for both families if they agree, else one each.
fn rows(uplink: &UplinkStatus, view: &View) -> Vec<Row> {
    match uplink.families.as_slice() {
        [v4, v6] if v4.state == v6.state => {
            let worse = if v6.loss > v4.loss { v6 } else { v4 };
            let carries = v4.carries.iter().chain(&v6.carries).next().is_some();
            vec![Row { carries, ..row(uplink, worse, uplink.name.clone(), view) }]
        }
        [one] => vec![row(uplink, one, uplink.name.clone(), view)],
        several => {
            several.iter().map(|line| row(uplink, line, format!("{} {}", uplink.name, line.family), view)).collect()
        }
    }
}

fn row(uplink: &UplinkStatus, line: &FamilyStatus, name: String, view: &View) -> Row {
    let dash = || "–".to_owned();
    let cells = [
        name,
        uplink.provider.as_deref().map_or_else(dash, printable),
        line.state.name().to_owned(),
        view.since(line.since),
        line.loss.map_or_else(dash, words::percent),
        line.rtt_p95_ms.map_or_else(dash, words::millis),
    ];
    Row { carries: !line.carries.is_empty(), cells, note: note(uplink, line, view), state: line.state }
}

fn note(uplink: &UplinkStatus, line: &FamilyStatus, view: &View) -> String {
    let mut notes = Vec::new();
    match line.state {
        State::Down => notes.push(words::evidence(&line.evidence)),
        State::Degraded => notes.push(words::evidence(&line.evidence)),
        State::Suspect => notes.push("a reply is overdue; asking again".to_owned()),
        State::Probation => notes.extend(
            line.recover_left_ms
                .map(|ms| format!("answers again; counts as up in {} if nothing is lost", words::long(ms))),
        ),
        State::Unknown => notes.push("not yet asked long enough".to_owned()),
        State::Disabled => notes.push("out of use by config".to_owned()),
        State::Up => {}
    }
    if let Some(plan) = uplink.plan {
        notes.push(format!("{} of {} used", words::bytes(plan.used_bytes), words::bytes(plan.limit_bytes)));
    }
    if let Some(drill) = &uplink.last_drill {
        let result = match drill.result {
            DrillResult::Passed => "passed",
            DrillResult::Failed => "FAILED",
            DrillResult::Aborted => "broken off",
            DrillResult::Refused => "refused",
        };
        notes.push(format!("drill {result} {}", view.at(drill.ended)));
    }
    let suspects: Vec<_> =
        line.targets.iter().filter(|target| target.suspect).map(|target| printable(&target.label)).collect();
    if !suspects.is_empty() {
        notes.push(format!("left out: {}", suspects.join(", ")));
    }
    notes.retain(|note| !note.is_empty());
    notes.join("; ")
}

fn other_path(path: &PathStatus) -> String {
    format!("path {} → {}", path.name, carriers(path))
}

/// `wan1`, or `wan1 (ipv4), lte0 (ipv6)` where the families differ.
pub(crate) fn carriers(path: &PathStatus) -> String {
    let of: Vec<_> = path
        .families
        .iter()
        .map(|family| {
            let uplinks: Vec<_> = family.uplinks.iter().map(|share| share.uplink.clone()).collect();
            (family.family, names(&uplinks))
        })
        .collect();
    match of.as_slice() {
        [] => names(&[]),
        [(_, first), rest @ ..] if rest.iter().all(|(_, other)| other == first) => first.clone(),
        several => several.iter().map(|(family, names)| format!("{names} ({family})")).collect::<Vec<_>>().join(", "),
    }
}

/// What people have set.
pub(crate) fn hands(status: &Status, view: &View) -> Vec<String> {
    let lock = status.lock.as_ref().map(|lock| {
        let (by, since) = (printable(&lock.by), view.since_and_age(lock.since));
        format!("Locked by {by} {since}: only a dead line is left.   End it: causeway unlock")
    });
    let preference = status.preference.as_ref().map(|preference| {
        let left = preference
            .left_ms
            .map_or_else(|| "until told otherwise".to_owned(), |ms| format!("for another {}", words::long(ms)));
        let by = printable(&preference.by);
        format!("{} is preferred {left} (by {by}).   End it: causeway use auto", preference.uplink)
    });
    let drill = status
        .drill
        .as_ref()
        .map(|drill| format!("Drill of {} under way {}.", drill.uplink, view.since_and_age(drill.since)));
    [lock, preference, drill].into_iter().flatten().collect()
}

fn last(status: &Status, view: &View) -> String {
    let last = status.last_switch.as_ref().map(|switch| format!("Last: {}", switched(switch, view)));
    let odd = status
        .uplinks
        .iter()
        .find(|uplink| uplink.families.iter().any(|line| !matches!(line.state, State::Up | State::Disabled)));
    let next = odd.map(|uplink| format!("Next: causeway why {}", uplink.name));
    let parts: Vec<_> = [last, next].into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { format!("{}\n", parts.join("   ")) }
}

/// `10:42:09 wan1 → lte0, noticed in 0.38 s, moved in 9 ms, 37 sessions told.`
pub(crate) fn switched(switch: &SwitchStatus, view: &View) -> String {
    let mut text = format!("{} {} → {}", view.at(switch.at), names(&switch.from), names(&switch.to));
    if let Some(ms) = switch.detection_ms {
        text.push_str(&format!(", noticed in {}", words::fast(ms)));
    }
    text.push_str(&format!(", moved in {}", words::fast(switch.took_ms)));
    match switch.flows_reset + switch.flows_nudged {
        0 => {}
        told => text.push_str(&format!(", {told} sessions told")),
    }
    text.push('.');
    text
}

/// In a sentence after `because`.
pub(crate) fn because(reason: SwitchReason) -> &'static str {
    match reason {
        SwitchReason::Start => "it was the best when the daemon started",
        SwitchReason::Down => "the line before it went down",
        SwitchReason::Degraded => "the line before it was degraded",
        SwitchReason::Failback => "the better line was stable again",
        SwitchReason::Share => "the lines that share changed",
        SwitchReason::Better => "it was better than the line before it",
        SwitchReason::Manual => "an operator said so",
        SwitchReason::Drill => "a drill proves it",
        SwitchReason::DrillEnd => "a drill ended",
        SwitchReason::Budget => "of the budget",
    }
}
