//! `causeway why`: what was seen, what it is not, when it ends.

use schemars::JsonSchema;
use serde::Serialize;

use super::status::{because, hands, headline, switched};
use super::{View, names, paint_of, printable};
use crate::control::status::{
    DrillRunning, Evidence, FamilyStatus, Internet, Lock, PathFamily, PathStatus, Preference, SCHEMA_VERSION, Status,
    SwitchStatus, UplinkStatus,
};
use crate::health::{Cause, State, Verdict};
use crate::policy::Suppressed;
use crate::telemetry::{runbooks, words};

/// What `causeway why --json` prints: the figures behind the words.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Why<'a> {
    pub schema_version: u16,
    pub site: &'a str,
    pub internet: Internet,
    /// All, or those that list the uplink.
    pub paths: Vec<&'a PathStatus>,
    pub last_switch: Option<&'a SwitchStatus>,
    pub lock: Option<&'a Lock>,
    pub preference: Option<&'a Preference>,
    pub drill: Option<&'a DrillRunning>,
    /// The one asked for, or each that is not simply up.
    pub uplinks: Vec<WhyUplink<'a>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WhyUplink<'a> {
    #[serde(flatten)]
    pub uplink: &'a UplinkStatus,
    /// Other uplinks through which targets answer that are silent here: the line is at fault, not the targets.
    pub answered_through: Vec<&'a str>,
}

impl<'a> Why<'a> {
    /// Of all, or of one uplink.
    pub fn of(status: &'a Status, one: Option<&'a UplinkStatus>) -> Self {
        let lists = |path: &&PathStatus| one.is_none_or(|one| path.order.iter().any(|tier| tier.contains(&one.name)));
        let uplinks: Vec<&UplinkStatus> = match one {
            Some(one) => vec![one],
            None => status.uplinks.iter().filter(|uplink| is_odd(uplink)).collect(),
        };
        let answered_through = |uplink: &'a UplinkStatus| {
            let mut others: Vec<&str> =
                uplink.families.iter().flat_map(|line| answered_through(uplink, line, status)).collect();
            others.sort_unstable();
            others.dedup();
            others
        };
        Self {
            schema_version: SCHEMA_VERSION,
            site: &status.site,
            internet: status.internet,
            paths: status.paths.iter().filter(lists).collect(),
            last_switch: status.last_switch.as_ref(),
            lock: status.lock.as_ref(),
            preference: status.preference.as_ref(),
            drill: status.drill.as_ref(),
            uplinks: uplinks
                .into_iter()
                .map(|uplink| WhyUplink { uplink, answered_through: answered_through(uplink) })
                .collect(),
        }
    }
}

/// The paths, then each uplink that is not simply up.
pub fn all(status: &Status, view: &View) -> String {
    let mut text = headline(status, view);
    for path in &status.paths {
        for family in &path.families {
            text.push_str(&self::path(path, family, view));
        }
    }
    for line in hands(status, view) {
        text.push_str(&format!("{line}\n"));
    }
    if let Some(switch) = &status.last_switch {
        text.push_str(&format!("Last: {}\n", switched(switch, view)));
    }
    for odd in status.uplinks.iter().filter(|uplink| is_odd(uplink)) {
        text.push('\n');
        text.push_str(&uplink(odd, status, view));
    }
    if let Some(name) = runbooks::fitting(status) {
        text.push_str(&format!("\nRunbook: causeway runbook {name}\n"));
    }
    text
}

fn is_odd(uplink: &UplinkStatus) -> bool {
    uplink.families.iter().any(|line| line.state != State::Up)
}

pub fn uplink(uplink: &UplinkStatus, status: &Status, view: &View) -> String {
    let mut text = String::new();
    for line in &uplink.families {
        text.push_str(&family(uplink, line, status, view));
    }
    if uplink.families.is_empty() {
        text.push_str(&format!("{} has neither ipv4 nor ipv6 in the config.\n", uplink.name));
    }
    text
}

fn path(path: &PathStatus, family: &PathFamily, view: &View) -> String {
    let uplinks: Vec<_> = family.uplinks.iter().map(|share| share.uplink.clone()).collect();
    let mut text = format!("path {} ({}) on {}", path.name, family.family, names(&uplinks));
    if let Some(reason) = family.reason {
        text.push_str(&format!(" {}, because {}", view.since_and_age(family.since), because(reason)));
    }
    text.push_str(".\n");
    if let Some(suppressed) = family.suppressed {
        text.push_str(&format!("  Stays there: {}.\n", stays(suppressed)));
    }
    if let Some(ms) = family.failback_in_ms {
        text.push_str(&format!("  Returns in {} at the earliest, if the better line stays stable.\n", words::long(ms)));
    }
    text
}

fn stays(reason: Suppressed) -> &'static str {
    match reason {
        Suppressed::NoTarget => "there is nowhere better to go",
        Suppressed::Hold => "the better line is not stable for long enough yet",
        Suppressed::Flap => "the better line flaps, so it is watched for longer",
        Suppressed::Lock => "an operator locked it",
        Suppressed::Budget => "the plan of the other line is used up",
        Suppressed::Boot => "just started; the first probes are still out",
        Suppressed::Stale => "the daemon was stalled; what it knows is old",
    }
}

fn family(uplink: &UplinkStatus, line: &FamilyStatus, status: &Status, view: &View) -> String {
    let state = view.paint(&line.state.name().to_uppercase(), paint_of(line.state));
    let name = format!("{} ({})", uplink.name, line.family);
    let mut text = format!("{name} {state} {}: {}.\n", view.since_and_age(line.since), seen(line));
    match line.state {
        State::Down => {
            text.push_str(&format!("  {}\n", local(line)));
            text.push_str(&targets_elsewhere(uplink, line, status));
            text.push_str(&format!("  {}\n", returns(line)));
        }
        State::Up | State::Degraded | State::Suspect | State::Probation | State::Unknown => {
            text.push_str(&targets(line));
        }
        State::Disabled => {}
    }
    if let (Some(outage), State::Up | State::Degraded) = (uplink.last_outage, line.state) {
        let lasted = words::fast(outage.lasted_ms);
        let cause = outage.cause.map_or("not known yet", Cause::name);
        text.push_str(&format!("  Last outage: {}, {lasted}, cause {cause}.\n", view.at(outage.began)));
    }
    text
}

fn seen(line: &FamilyStatus) -> String {
    let evidence = &line.evidence;
    match line.state {
        State::Down if evidence.verdict == Some(Verdict::Silent) => silence(evidence),
        State::Down => words::evidence(evidence),
        State::Suspect => {
            let life = line.last_life_ago_ms.map(|ms| format!("; last sign of life {} ago", words::fast(ms)));
            format!("a reply is overdue, all targets are asked again{}", life.unwrap_or_default())
        }
        State::Probation => line.recover_left_ms.map_or_else(
            || "it answers again, not yet for long enough".to_owned(),
            |ms| format!("it answers again; counts as up in {} if nothing is lost", words::long(ms)),
        ),
        State::Degraded => format!("it works, but {}", figures(line)),
        State::Up => figures(line),
        State::Unknown => {
            "no target was asked for long enough to tell; it is used only if nothing better exists".to_owned()
        }
        State::Disabled => "out of use by config".to_owned(),
    }
}

/// `silent for 0.38 s (limit 0.35 s), 7 probes unanswered at 3 of 3 targets: 9.9.9.9 icmp, …`
fn silence(evidence: &Evidence) -> String {
    let for_time = evidence.silent_ms.map(|ms| format!(" for {}", words::fast(ms))).unwrap_or_default();
    let limit = evidence.silence_limit_ms.map(|ms| format!(" (limit {})", words::fast(ms))).unwrap_or_default();
    let labels: Vec<_> = evidence.silent_targets.iter().map(|label| printable(label)).collect();
    let (unanswered, silent, targets) = (evidence.unanswered, labels.len(), evidence.targets);
    let which = if labels.is_empty() { String::new() } else { format!(": {}", labels.join(", ")) };
    format!("silent{for_time}{limit}, {unanswered} probes unanswered at {silent} of {targets} targets{which}")
}

fn figures(line: &FamilyStatus) -> String {
    let parts = [
        line.loss.map(|loss| format!("loss {}", words::percent(loss))),
        line.rtt_p50_ms.map(|ms| format!("RTT {}", words::millis(ms))),
        line.rtt_p95_ms.map(|ms| format!("p95 {}", words::millis(ms))),
        line.jitter_ms.map(|ms| format!("jitter {}", words::millis(ms))),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "nothing measured yet".to_owned() } else { parts.join(", ") }
}

/// Where it broke, seen from the box outwards.
fn local(line: &FamilyStatus) -> String {
    let evidence = &line.evidence;
    let gateway = line
        .gateway
        .as_deref()
        .map_or_else(|| "gateway".to_owned(), |address| format!("gateway {}", printable(address)));
    match evidence.cause {
        Some(Cause::Cable) => "Is it plugged in at both ends, has the modem power?".to_owned(),
        Some(Cause::Address) => "The provider gave none, or its modem is still starting.".to_owned(),
        Some(Cause::Gateway) => "There is an address, but nowhere to send to.".to_owned(),
        Some(Cause::Modem) => {
            format!("Cable in, address kept, but {gateway} is silent  →  the modem or the line to it.")
        }
        Some(Cause::Path | Cause::Dns | Cause::Tcp | Cause::Portal) | None => match evidence.gateway_answers {
            Some(true) => {
                format!("Not local: cable in, address kept, {gateway} answers  →  the fault is beyond the modem.")
            }
            Some(false) => format!("Cable in, address kept, {gateway} is silent."),
            None => format!("Cable in, address kept; whether {gateway} answers is not known."),
        },
    }
}

/// The strongest argument that the line is at fault: the same targets answer through another.
fn targets_elsewhere(uplink: &UplinkStatus, line: &FamilyStatus, status: &Status) -> String {
    let others: Vec<&str> = answered_through(uplink, line, status).collect();
    if others.is_empty() {
        return String::new();
    }
    format!("  Not the targets: the same ones answer through {}.\n", others.join(", "))
}

fn answered_through<'a>(
    uplink: &'a UplinkStatus,
    line: &'a FamilyStatus,
    status: &'a Status,
) -> impl Iterator<Item = &'a str> {
    let answered = |other: &&UplinkStatus| {
        let mut targets = other.families.iter().flat_map(|line| &line.targets);
        targets.any(|target| {
            line.evidence.silent_targets.contains(&target.label) && target.outcome.as_deref() == Some("reply")
        })
    };
    let others = status.uplinks.iter().filter(|other| other.name != uplink.name);
    others.filter(answered).map(|other| other.name.as_str())
}

fn returns(line: &FamilyStatus) -> String {
    line.evidence.recover_after_ms.map_or_else(
        || "Returns when: its targets answer again without a gap.".to_owned(),
        |ms| format!("Returns when: its targets answer for {} without a gap.", words::long(ms)),
    )
}

fn targets(line: &FamilyStatus) -> String {
    let mut text = String::new();
    for target in &line.targets {
        let outcome = target.outcome.as_deref().unwrap_or("not asked yet");
        let rtt = target.rtt_ms.map(|ms| format!(" in {}", words::millis(ms))).unwrap_or_default();
        let ago = target.settled_ago_ms.map(|ms| format!(", {} ago", words::fast(ms))).unwrap_or_default();
        let suspect = if target.suspect { "; silent everywhere, so left out" } else { "" };
        text.push_str(&format!("  {}: {}{rtt}{ago}{suspect}\n", printable(&target.label), printable(outcome)));
    }
    text
}
