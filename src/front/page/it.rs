//! The technician's page: lines, why, config, the last events. In English, as the command line whose words it repeats.

use super::MOST_BYTES;
use super::facts::{Face, Facts, zoned};
use super::html::Html;
use crate::control::status::{DrillResult, FamilyStatus, Moment, Status, UplinkStatus};
use crate::health::Cause;
use crate::telemetry::{runbooks, words};

/// What the command's words may take of the page; two lines need a tenth of it.
const WHY_BYTES: usize = 4_000;
/// Lines of the table, before the rest is left to `causeway status`.
const LINES_BYTES: usize = 11_000;
/// At most; a page full of long ones shows fewer.
const EVENTS: usize = 50;
/// For what stands below the events, and the longest event.
const REST_BYTES: usize = 1_200;
const EVENT_BYTES: usize = 240;
const NAME_BYTES: usize = 120;
/// The longest has 1,200, and quotes grow.
const RUNBOOK_BYTES: usize = 1_600;

/// `why`: what `causeway why` prints.
pub fn page(facts: &Facts, why: &str) -> String {
    let mut html = Html::default();
    super::head(&mut html, "en");
    html.raw("<title>");
    headline(&mut html, facts);
    html.raw("</title>\n<header>");
    if let Some(status) = &facts.status {
        html.text(&status.site);
    }
    html.raw(" · technicians</header>\n<main class=\"it\">\n<h1>");
    headline(&mut html, facts);
    html.raw("</h1>\n");
    match &facts.status {
        Some(status) => body(&mut html, facts, status, why),
        None => {
            html.raw("<p>The daemon does not answer. Forwarding goes on without it. On the box: ");
            html.raw("<code>systemctl status causeway</code></p>\n");
            runbook(&mut html, Some(runbooks::NO_DAEMON));
        }
    }
    html.raw("</main>\n<footer><p>This page renews itself. <a href=\"/metrics\">Metrics</a></p></footer>\n");
    html.finish()
}

/// As `causeway status` begins, or that nothing can be said.
fn headline(html: &mut Html, facts: &Facts) {
    match (&facts.face, &facts.status) {
        (Face::Primary, _) => html.raw("On primary"),
        (Face::Backup, _) => html.raw("On backup"),
        (Face::Down, _) => html.raw("Down"),
        (Face::Service { .. }, _) => html.raw("A service does not answer"),
        (Face::CannotTell, None) => html.raw("Cannot tell: no daemon"),
        (Face::CannotTell, Some(_)) => html.raw("Cannot tell: no fresh evidence"),
    };
}

fn body(html: &mut Html, facts: &Facts, status: &Status, why: &str) {
    for warning in status.warnings.iter().take(4) {
        html.raw("<p class=\"not\">! ").text_cut(warning, EVENT_BYTES).raw("</p>\n");
    }
    lines(html, facts, status);
    html.raw("<h2>Why</h2>\n<pre>").text_cut(why, WHY_BYTES).raw("</pre>\n");
    // What was seen too long ago is no reason to do anything.
    runbook(html, runbooks::fitting(status).filter(|_| facts.face != Face::CannotTell));
    html.raw("<h2>This box</h2>\n<dl>\n");
    let config = &status.config;
    row(html, "Config", &format!("{} of {}, in force {}", config.digest, config.file, age(facts, config.applied)));
    row(html, "Version", &status.version);
    row(html, "Running for", &words::long(status.uptime_ms));
    let clock = status.wall_ms.and_then(|wall| zoned(wall, &facts.zone));
    row(
        html,
        "Clock",
        &clock.map_or_else(|| "not trusted".to_owned(), |now| now.strftime("%Y-%m-%d %H:%M:%S %Z").to_string()),
    );
    html.raw("</dl>\n");
    events(html, facts);
}

/// What to do, as `causeway runbook` prints it: who reads this may have no shell on the box, and no internet.
fn runbook(html: &mut Html, name: Option<&'static str>) {
    let Some(text) = name.and_then(runbooks::find) else { return };
    let (title, text) = text.split_once("\n\n").unwrap_or(("", text));
    html.raw("<h2>Runbook: ").text(title.trim_start_matches("# ")).raw("</h2>\n<pre>");
    html.text_cut(text, RUNBOOK_BYTES).raw("</pre>\n");
}

fn lines(html: &mut Html, facts: &Facts, status: &Status) {
    html.raw("<h2>Lines</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Lines\"><table>\n<tr><th>Line</th><th>State</th><th>Since</th><th>Cause</th>");
    html.raw("<th>Loss</th><th>RTT p50</th><th>p95</th><th>Jitter</th><th>Provider</th><th>Circuit</th><th>Drill</th></tr>\n");
    let all = status.uplinks.iter().flat_map(|uplink| uplink.families.iter().map(move |line| (uplink, line)));
    let mut left = 0;
    for (uplink, family) in all {
        if html.len() < LINES_BYTES {
            line(html, facts, uplink, family);
        } else {
            left += 1;
        }
    }
    html.raw("</table></div>\n");
    if left > 0 {
        html.raw("<p>And ").number(left).raw(" more: <code>causeway status</code></p>\n");
    }
}

fn line(html: &mut Html, facts: &Facts, uplink: &UplinkStatus, line: &FamilyStatus) {
    let dash = || "–".to_owned();
    let figure = |value: Option<f32>| value.map_or_else(dash, words::millis);
    html.raw("<tr><th>").text_cut(&uplink.name, NAME_BYTES).raw(" <small>").text(line.family.name());
    if !line.carries.is_empty() {
        html.raw(", in use");
    }
    html.raw("</small></th><td>").text(line.state.name());
    let cells = [
        age(facts, line.since),
        line.evidence.cause.map_or_else(dash, |cause| Cause::name(cause).to_owned()),
        line.loss.map_or_else(dash, words::percent),
        figure(line.rtt_p50_ms),
        figure(line.rtt_p95_ms),
        figure(line.jitter_ms),
        uplink.provider.clone().unwrap_or_else(dash),
        uplink.circuit.clone().unwrap_or_else(dash),
        uplink
            .last_drill
            .as_ref()
            .map_or_else(dash, |drill| format!("{} {}", DrillResult::name(drill.result), age(facts, drill.ended))),
    ];
    for cell in &cells {
        html.raw("</td><td>").text_cut(cell, NAME_BYTES);
    }
    html.raw("</td></tr>\n");
}

/// Newest first.
fn events(html: &mut Html, facts: &Facts) {
    html.raw("<h2>Events</h2>\n");
    if facts.events.is_empty() {
        html.raw("<p>None in the last day.</p>\n");
        return;
    }
    html.raw("<ol class=\"events\">\n");
    for event in facts.events.iter().rev().take(EVENTS) {
        if html.len() + EVENT_BYTES + NAME_BYTES + REST_BYTES > MOST_BYTES {
            break;
        }
        let at = event.wall_ms.and_then(|wall| zoned(wall, &facts.zone));
        let at =
            at.map_or_else(|| format!("+{} s", event.boot_ms / 1_000), |at| at.strftime("%m-%d %H:%M:%S").to_string());
        html.raw("<li><time>").text(&at).raw("</time> ").text_cut(&event.message, EVENT_BYTES).raw("</li>\n");
    }
    html.raw("</ol>\n<p>More: <code>causeway events</code></p>\n");
}

fn age(facts: &Facts, moment: Moment) -> String {
    facts.clock(moment).unwrap_or_else(|| format!("{} ago", words::long(moment.ago_ms)))
}

fn row(html: &mut Html, name: &'static str, value: &str) {
    html.raw("<dt>").raw(name).raw("</dt><dd>").text(value).raw("</dd>\n");
}
