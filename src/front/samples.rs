//! Which series a metric has and what they say, from one snapshot. Pure. A metric that is in the catalogue and not here
//! does not compile.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::series::Budget;
use crate::control::protocol::Action;
use crate::control::snapshot::{ConfigFigures, FETCHES, Hardware, LedgerFigures, Process, Snapshot, Storage};
use crate::control::status::{DrillResult, InternetState, Status, TargetStatus, UplinkStatus};
use crate::health::{Cause, State};
use crate::ledger::account::BOOTS;
use crate::ledger::hours;
use crate::ledger::timeline::{INTERNET_STATES, LINE_STATES};
use crate::policy::Suppressed;
use crate::probe::Outcome;
use crate::telemetry::catalogue::Metric;
use crate::telemetry::counts::{Counts, Queue, Repair, TRIGGERS, TargetCounts, UplinkCounts};
use crate::telemetry::histogram::Histogram;
use crate::trust::machine::Class;

/// All that a page is made of.
#[derive(Clone, Debug)]
pub struct Page {
    /// `None`: the daemon did not answer.
    pub snapshot: Option<Snapshot>,
    pub process: Process,
    pub storage: Option<Storage>,
    pub web: Web,
}

/// What `front` counts itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Web {
    /// For the status page, the technician's, `/metrics`, anything else.
    pub requests: [u64; 4],
    pub connections: u64,
    /// Too many, too slow, for another host.
    pub refused: [u64; 3],
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// In the order of the metric's labels.
    pub labels: Vec<Cow<'a, str>>,
    pub value: Value<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Count(u64),
    Number(f64),
    Histogram(&'a Histogram),
    Info,
}

/// The series of one metric; none if nothing of the kind is configured or was measured. `budget` is told, not kept to.
pub fn samples<'a>(metric: Metric, page: &'a Page, budget: &Budget) -> Vec<Sample<'a>> {
    match metric {
        Metric::UplinkInfo => uplinks(page, |_, uplink, _| vec![uplink_info(uplink)]),
        Metric::UplinkState => uplinks(page, |_, uplink, _| uplink_states(uplink)),
        Metric::UplinkStateChanges => {
            uplinks(page, |_, uplink, counts| each(uplink, ["up", "degraded", "down"], &counts.state_changes))
        }
        Metric::UplinkSuspicions => uplinks(page, |_, uplink, counts| each(uplink, ["up", "down"], &counts.suspicions)),
        Metric::UplinkLastChange => uplinks(page, |_, uplink, counts| one(uplink, number(counts.last_change))),
        Metric::UplinkCarrier => uplinks(page, |_, uplink, _| maybe(uplink, uplink.carrier.map(truth))),
        Metric::UplinkOutages => {
            uplinks(page, |_, uplink, counts| each(uplink, Cause::ALL.map(Cause::name), &counts.outages))
        }
        Metric::UplinkOutageDuration => {
            uplinks(page, |_, uplink, counts| one(uplink, Value::Histogram(&counts.outage_duration)))
        }
        Metric::UplinkReceiveBytes => {
            uplinks(page, |_, uplink, counts| one(uplink, Value::Count(counts.received_bytes)))
        }
        Metric::UplinkTransmitBytes => uplinks(page, |_, uplink, counts| one(uplink, Value::Count(counts.sent_bytes))),
        Metric::UplinkFlowsReset => uplinks(page, |_, uplink, counts| one(uplink, Value::Count(counts.flows.reset))),
        Metric::UplinkNudges => uplinks(page, |_, uplink, counts| one(uplink, Value::Count(counts.flows.nudged))),
        Metric::UplinkStragglers => {
            uplinks(page, |_, uplink, counts| one(uplink, Value::Count(counts.flows.stragglers)))
        }
        Metric::UplinkPlanUsed => {
            uplinks(page, |_, uplink, _| maybe(uplink, uplink.plan.map(|plan| number(plan.used_bytes))))
        }
        Metric::UplinkPlanLimit => {
            uplinks(page, |_, uplink, _| maybe(uplink, uplink.plan.map(|plan| number(plan.limit_bytes))))
        }
        Metric::UplinkPlanEnd => {
            uplinks(page, |_, uplink, _| maybe(uplink, uplink.plan.map(|plan| seconds(plan.ends_wall_ms))))
        }
        Metric::UplinkProbeBytes => uplinks(page, |_, uplink, counts| one(uplink, Value::Count(counts.probe_bytes))),
        Metric::UplinkJitter => uplinks(page, |_, uplink, _| {
            let jitter = uplink.line().and_then(|line| line.jitter_ms);
            maybe(uplink, jitter.map(|ms| Value::Number((f64::from(ms) * 1_000.0).round() / 1e6)))
        }),
        Metric::TargetInfo => targets(page, |target, _| {
            vec![target.sample([target.status.kind.as_str(), &target.status.address], Value::Info)]
        }),
        Metric::ProbeOutcomes => targets(page, |target, counts| {
            let pairs = Outcome::NAMES.into_iter().zip(counts.outcomes);
            pairs.map(|(outcome, count)| target.sample([outcome], Value::Count(count))).collect()
        }),
        Metric::ProbeRtt => targets(page, |target, counts| vec![target.sample([], Value::Histogram(&counts.rtt))]),
        Metric::ProbeLastSuccess => {
            targets(page, |target, counts| vec![target.sample([], number(counts.last_success))])
        }
        Metric::TargetSuspect => target_suspects(page),
        Metric::InternetIs => whole(page, |status, _| {
            InternetState::ALL.map(|state| sample([state.name()], truth(status.internet.state == state))).to_vec()
        }),
        Metric::PathUplink => whole(page, |status, _| path_uplinks(status)),
        Metric::Failovers => uplinks(page, |_, uplink, counts| each(uplink, TRIGGERS, &counts.failovers)),
        Metric::FailoverDetection => whole(page, |_, counts| vec![sample([], Value::Histogram(&counts.detection))]),
        Metric::FailoverSwitch => whole(page, |_, counts| vec![sample([], Value::Histogram(&counts.switch))]),
        Metric::FailoverSuppressed => {
            whole(page, |_, counts| by_name(Suppressed::ALL.map(Suppressed::name), &counts.suppressed))
        }
        Metric::FailbackEarliest => whole(page, |status, _| failbacks(status)),
        Metric::DrillRuns => {
            uplinks(page, |_, uplink, counts| each(uplink, DrillResult::ALL.map(DrillResult::name), &counts.drills))
        }
        Metric::DrillBytes => uplinks(page, |_, uplink, counts| one(uplink, Value::Count(counts.drill_bytes))),
        Metric::DrillRunning => uplinks(page, |status, uplink, _| {
            one(uplink, truth(status.drill.as_ref().is_some_and(|drill| drill.uplink == uplink.name)))
        }),
        Metric::DrillLastSuccess => uplinks(page, |_, uplink, counts| one(uplink, number(counts.drill_last_success))),
        Metric::BuildInfo => vec![sample([crate::VERSION], Value::Info)],
        Metric::FirmwareInfo => {
            let firmware = page.snapshot.as_ref().and_then(|snapshot| snapshot.hardware.firmware.as_ref());
            let info = firmware.map(|it| sample([it.version.as_str(), it.slot.name()], Value::Info));
            info.into_iter().collect()
        }
        Metric::DaemonUp => vec![sample([], truth(page.snapshot.is_some()))],
        Metric::ProcessCpu => processes(page, |process| Value::Number(process.cpu_seconds)),
        Metric::ProcessResident => processes(page, |process| number(process.resident_bytes)),
        Metric::ProcessStart => processes(page, |process| Value::Number(process.start_timestamp_seconds)),
        Metric::ProcessSandboxed => processes(page, |process| truth(process.sandboxed)),
        Metric::EngineTurn => whole(page, |_, counts| vec![sample([], Value::Histogram(&counts.turn))]),
        Metric::QueueDropped => whole(page, |_, counts| by_name(Queue::ALL.map(Queue::name), &counts.queue_dropped)),
        Metric::NetlinkOverruns => whole(page, |_, counts| vec![sample([], Value::Count(counts.netlink_overruns))]),
        Metric::KernelRepairs => {
            whole(page, |_, counts| by_name(Repair::ALL.map(Repair::name), &counts.kernel_repairs))
        }
        Metric::ApplyErrors => whole(page, |_, counts| by_name(Repair::ALL.map(Repair::name), &counts.apply_errors)),
        Metric::MemoryAvailable => hardware(page, |it| it.memory_available_bytes.map(number)),
        Metric::Temperature => hardware(page, |it| it.temperature_celsius.map(Value::Number)),
        Metric::StorageSize => data(page, |it| it.size_bytes),
        Metric::StorageUsed => data(page, |it| it.used_bytes),
        Metric::StorageWear => hardware(page, |it| it.storage_wear_ratio.map(Value::Number)),
        Metric::ClockTrusted => whole(page, |status, _| vec![sample([], truth(status.wall_ms.is_some()))]),
        Metric::Series => whole(page, |_, _| vec![sample([], number(budget.shown))]),
        Metric::SeriesWithheld => whole(page, |_, _| vec![sample([], number(budget.left_out))]),
        Metric::ConfigInfo => config(page, |status, config| {
            let standard = config.standard.map_or_else(String::new, |seq| seq.to_string());
            let labels = vec![Cow::Owned(standard), Cow::Borrowed(status.config.digest.as_str())];
            vec![Sample { labels, value: Value::Info }]
        }),
        Metric::ConfigInTrial => config(page, |_, config| vec![sample([], truth(config.in_trial))]),
        Metric::ConfigFetches => config(page, |_, config| by_name(FETCHES, &config.fetches)),
        Metric::ConfigLastFetch => config(page, |_, config| vec![sample([], number(config.last_fetch))]),
        Metric::ConfigRollbacks => {
            config(page, |_, config| by_name(Class::ROLLBACKS.map(Class::label), &config.rollbacks))
        }
        Metric::ConfigDrift => config(page, |_, config| vec![sample([], number(config.drift))]),
        Metric::AuditEvents => whole(page, |_, counts| by_name(Action::ALL.map(Action::name), &counts.actions)),
        Metric::ConfigApplied => whole(page, |status, _| vec![sample([], seconds(status.config.applied.wall_ms))]),
        Metric::WebRequests => by_name(["staff", "it", "metrics", "other"], &page.web.requests),
        Metric::WebConnections => vec![sample([], number(page.web.connections))],
        Metric::WebRefused => by_name(["full", "slow", "host"], &page.web.refused),
        Metric::UplinkStateSeconds => line_times(page),
        Metric::InternetStateSeconds => ledger(page, |ledger| {
            times(&INTERNET_STATES, &ledger.internet, |state, hours| sample([state, hours], UNSET))
        }),
        Metric::Boots => ledger(page, |ledger| by_name(BOOTS, &ledger.boots)),
        Metric::LedgerSeq => ledger(page, |ledger| vec![sample([], number(ledger.seq))]),
        Metric::LedgerUnsent => ledger(page, |ledger| vec![sample([], number(ledger.unsent))]),
        Metric::LedgerStalled => ledger(page, |ledger| vec![sample([], truth(ledger.stalled))]),
        Metric::LedgerErrors => ledger(page, |ledger| by_name(["write", "torn", "broken", "pruned"], &ledger.errors)),
    }
}

/// Filled in by [`times`].
const UNSET: Value<'static> = Value::Number(0.0);

fn ledger<'a>(page: &'a Page, of: impl Fn(&'a LedgerFigures) -> Vec<Sample<'a>>) -> Vec<Sample<'a>> {
    page.snapshot.as_ref().map(|snapshot| of(&snapshot.ledger)).unwrap_or_default()
}

fn line_times(page: &Page) -> Vec<Sample<'_>> {
    let Some(snapshot) = &page.snapshot else { return Vec::new() };
    let mut series = Vec::new();
    for (uplink, sums) in snapshot.status.uplinks.iter().zip(&snapshot.ledger.lines) {
        series.extend(times(&LINE_STATES, sums, |state, hours| sample([uplink.name.as_str(), state, hours], UNSET)));
    }
    series
}

/// Seconds by state and hours.
fn times<'a, const N: usize>(
    states: &[&'static str; N],
    sums: &[[u64; 3]; N],
    of: impl Fn(&'static str, &'static str) -> Sample<'a>,
) -> Vec<Sample<'a>> {
    let cells =
        states.iter().zip(sums).flat_map(|(state, sums)| hours::NAMES.iter().zip(sums).map(move |cell| (*state, cell)));
    cells.map(|(state, (hours, ms))| Sample { value: thousandths(*ms), ..of(state, hours) }).collect()
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of 285,000 years are exact in a float")]
fn thousandths<'a>(ms: u64) -> Value<'a> {
    Value::Number(ms as f64 / 1e3)
}

fn config<'a>(page: &'a Page, of: impl Fn(&'a Status, &'a ConfigFigures) -> Vec<Sample<'a>>) -> Vec<Sample<'a>> {
    page.snapshot.as_ref().map(|snapshot| of(&snapshot.status, &snapshot.config)).unwrap_or_default()
}

fn hardware<'a>(page: &'a Page, of: impl Fn(&'a Hardware) -> Option<Value<'a>>) -> Vec<Sample<'a>> {
    let value = page.snapshot.as_ref().and_then(|snapshot| of(&snapshot.hardware));
    value.into_iter().map(|value| sample([], value)).collect()
}

fn data(page: &Page, of: impl Fn(&Storage) -> u64) -> Vec<Sample<'_>> {
    page.storage.iter().map(|storage| sample(["data"], number(of(storage)))).collect()
}

fn whole<'a>(page: &'a Page, of: impl Fn(&'a Status, &'a Counts) -> Vec<Sample<'a>>) -> Vec<Sample<'a>> {
    page.snapshot.as_ref().map(|snapshot| of(&snapshot.status, &snapshot.counts)).unwrap_or_default()
}

fn uplinks<'a>(
    page: &'a Page,
    of: impl Fn(&'a Status, &'a UplinkStatus, &'a UplinkCounts) -> Vec<Sample<'a>>,
) -> Vec<Sample<'a>> {
    whole(page, |status, counts| {
        let lines = status.uplinks.iter().zip(&counts.uplinks);
        lines.flat_map(|(uplink, counts)| of(status, uplink, counts)).collect()
    })
}

fn targets<'a>(page: &'a Page, of: impl Fn(&Target<'a>, &'a TargetCounts) -> Vec<Sample<'a>>) -> Vec<Sample<'a>> {
    uplinks(page, |_, uplink, counts| {
        let counted = named(uplink).into_iter().filter_map(|target| {
            counts.targets.get(usize::from(target.status.index)).map(|counts| of(&target, counts))
        });
        counted.flatten().collect()
    })
}

/// A target under a name of its own within its uplink.
struct Target<'a> {
    uplink: &'a str,
    name: Cow<'a, str>,
    status: &'a TargetStatus,
}

impl<'a> Target<'a> {
    fn sample<const N: usize>(&self, more: [&'a str; N], value: Value<'a>) -> Sample<'a> {
        let labels = [Cow::Borrowed(self.uplink), self.name.clone()];
        Sample { labels: labels.into_iter().chain(more.map(Cow::Borrowed)).collect(), value }
    }
}

/// One that is asked by its name over both families has the same label twice, and a config may list one twice.
fn named(uplink: &UplinkStatus) -> Vec<Target<'_>> {
    let mut seen = BTreeSet::new();
    let mut targets = Vec::new();
    for (family, status) in
        uplink.families.iter().flat_map(|line| line.targets.iter().map(|target| (line.family, target)))
    {
        let mut name = Cow::Borrowed(status.label.as_str());
        let mut number = 1;
        while !seen.insert(name.clone()) {
            name = Cow::Owned(match number {
                1 => format!("{} {family}", status.label),
                _ => format!("{} {family} {number}", status.label),
            });
            number += 1;
        }
        targets.push(Target { uplink: &uplink.name, name, status });
    }
    targets
}

fn uplink_info(uplink: &UplinkStatus) -> Sample<'_> {
    let labels = [
        uplink.name.as_str(),
        uplink.role.name(),
        &uplink.medium,
        uplink.provider.as_deref().unwrap_or_default(),
        uplink.circuit.as_deref().unwrap_or_default(),
        if uplink.plan.is_some() { "true" } else { "false" },
    ];
    sample(labels, Value::Info)
}

fn uplink_states(uplink: &UplinkStatus) -> Vec<Sample<'_>> {
    let lines = uplink.families.iter();
    lines
        .flat_map(|line| {
            let labels = |state: State| [uplink.name.as_str(), line.family.name(), state.name()];
            State::ALL.map(|state| sample(labels(state), truth(line.state == state)))
        })
        .collect()
}

fn target_suspects(page: &Page) -> Vec<Sample<'_>> {
    let mut suspects = BTreeMap::<Cow<'_, str>, bool>::new();
    for uplink in page.snapshot.iter().flat_map(|snapshot| &snapshot.status.uplinks) {
        for target in named(uplink) {
            *suspects.entry(target.name).or_default() |= target.status.suspect;
        }
    }
    suspects.into_iter().map(|(target, suspect)| Sample { labels: vec![target], value: truth(suspect) }).collect()
}

fn failbacks(status: &Status) -> Vec<Sample<'_>> {
    let paths = status.paths.iter();
    paths
        .map(|path| {
            let earliest = path.families.iter().filter_map(|family| family.failback_in_ms).min();
            let at = earliest.and_then(|ms| status.wall_ms.map(|wall| wall.saturating_add(ms)));
            sample([path.name.as_str()], seconds(at))
        })
        .collect()
}

/// Each uplink that a path lists, whether it carries the path or not.
fn path_uplinks(status: &Status) -> Vec<Sample<'_>> {
    let listed = status.paths.iter().flat_map(|path| path.order.iter().flatten().map(move |uplink| (path, uplink)));
    listed
        .map(|(path, uplink)| {
            let mut shares = path.families.iter().flat_map(|family| &family.uplinks);
            let carries = shares.any(|share| share.uplink == *uplink);
            sample([path.name.as_str(), uplink], truth(carries))
        })
        .collect()
}

fn processes<'a>(page: &Page, value: impl Fn(&Process) -> Value<'a>) -> Vec<Sample<'a>> {
    let run = page.snapshot.as_ref().map(|snapshot| sample(["run"], value(&snapshot.process)));
    run.into_iter().chain([sample(["front"], value(&page.process))]).collect()
}

fn one<'a>(uplink: &'a UplinkStatus, value: Value<'a>) -> Vec<Sample<'a>> {
    vec![sample([uplink.name.as_str()], value)]
}

fn maybe<'a>(uplink: &'a UplinkStatus, value: Option<Value<'a>>) -> Vec<Sample<'a>> {
    value.map(|value| one(uplink, value)).unwrap_or_default()
}

fn each<'a, const N: usize>(uplink: &'a UplinkStatus, names: [&'static str; N], counts: &[u64; N]) -> Vec<Sample<'a>> {
    let pairs = names.iter().zip(counts);
    pairs.map(|(name, count)| sample([uplink.name.as_str(), *name], Value::Count(*count))).collect()
}

fn by_name<'a, const N: usize>(names: [&'static str; N], counts: &[u64; N]) -> Vec<Sample<'a>> {
    names.iter().zip(counts).map(|(name, count)| sample([*name], Value::Count(*count))).collect()
}

fn sample<'a, const N: usize>(labels: [&'a str; N], value: Value<'a>) -> Sample<'a> {
    Sample { labels: labels.map(Cow::Borrowed).to_vec(), value }
}

fn truth<'a>(value: bool) -> Value<'a> {
    Value::Number(if value { 1.0 } else { 0.0 })
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and figures beyond 2^53 do not occur")]
fn number<'a>(value: u64) -> Value<'a> {
    Value::Number(value as f64)
}

/// UTC seconds; 0: has not happened, or the clock was not trusted.
fn seconds<'a>(wall_ms: Option<u64>) -> Value<'a> {
    number(wall_ms.unwrap_or(0) / 1_000)
}
