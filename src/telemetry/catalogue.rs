//! Every metric: name, type, labels with their closed sets of values, help. The exposition matches on [`Metric`], so a
//! metric without a source does not compile; a test compares `docs/metrics.md` with this table both ways.
//!
//! Names stand without `causeway_`, with their unit, counters with `_total`. A label's values come from the config or
//! from an enum, never from packets.

use super::counts::{Queue, Repair, TRIGGERS};
use super::histogram::Scale;
use crate::config::model::Family;
use crate::control::protocol::Action;
use crate::control::snapshot::{FETCHES, Slot};
use crate::control::status::{DrillResult, InternetState, Role};
use crate::health::{Cause, State};
use crate::ledger::account::BOOTS;
use crate::ledger::hours;
use crate::ledger::timeline::{INTERNET_STATES, LINE_STATES};
use crate::policy::Suppressed;
use crate::probe::Outcome;
use crate::trust::machine::Class;

pub const PREFIX: &str = "causeway";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Counter,
    /// A state is a gauge with all its states present, 0 or 1.
    Gauge,
    Histogram(Scale),
    Info,
}

impl Type {
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
            Self::Info => "info",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Label {
    pub name: &'static str,
    /// Empty: names from the config.
    pub values: fn() -> Vec<&'static str>,
}

impl Label {
    const fn config(name: &'static str) -> Self {
        Self { name, values: Vec::new }
    }

    const fn closed(name: &'static str, values: fn() -> Vec<&'static str>) -> Self {
        Self { name, values }
    }
}

const UPLINK: Label = Label::config("uplink");
const TARGET: Label = Label::config("target");
const PATH: Label = Label::config("path");
const KIND: Label = Label::closed("kind", || Repair::ALL.map(Repair::name).to_vec());
const HOURS: Label = Label::closed("hours", || hours::NAMES.to_vec());
/// One partition holds ledger, log and all else that lasts.
const AREA: Label = Label::closed("area", || vec!["data"]);
const PROCESS: Label = Label::closed("process", || vec!["run", "front"]);

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $variant:ident $name:literal $kind:expr, [$($label:expr),*];)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Metric {
            $($(#[doc = $help])+ $variant,)+
        }

        impl Metric {
            /// In the order of the page.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            pub fn kind(self) -> Type {
                match self { $(Self::$variant => $kind,)+ }
            }

            pub fn labels(self) -> &'static [Label] {
                match self { $(Self::$variant => const { &[$($label,)*] },)+ }
            }

            /// A sentence without its full stop, which the exposition adds.
            pub fn help(self) -> &'static str {
                match self { $(Self::$variant => concat!($($help,)+).trim_ascii().trim_suffix_dot(),)+ }
            }
        }
    };
}

/// `str::trim_end_matches` is too eager for a help that ends with dots.
trait TrimDot {
    fn trim_suffix_dot(&self) -> &str;
}

impl TrimDot for str {
    fn trim_suffix_dot(&self) -> &str {
        self.strip_suffix('.').unwrap_or(self)
    }
}

use Type::{Counter, Gauge, Histogram, Info};

metrics! {
    /// What the uplink is: for joins, and the circuit number belongs on the ticket.
    UplinkInfo "uplink_info" Info, [UPLINK, Label::closed("role", || vec![Role::Primary.name(), Role::Backup.name()]),
        Label::config("medium"), Label::config("provider"), Label::config("circuit"),
        Label::closed("metered", || vec!["true", "false"])];
    /// What the engine thinks now of each configured family: 1 for one of the states.
    UplinkState "uplink_state" Gauge, [UPLINK,
        Label::closed("family", || Family::BOTH.map(Family::name).to_vec()),
        Label::closed("state", || State::ALL.map(State::name).to_vec())];
    /// Changes of the line, that is of the best of its families.
    UplinkStateChanges "uplink_state_changes_total" Counter, [UPLINK,
        Label::closed("to", || vec!["up", "degraded", "down"])];
    /// Suspicions by how they ended: up is a false alarm.
    UplinkSuspicions "uplink_suspicions_total" Counter, [UPLINK, Label::closed("end", || vec!["up", "down"])];
    /// When the line last changed its state; 0 if it did not yet, or the clock was not trusted then.
    UplinkLastChange "uplink_last_change_timestamp_seconds" Gauge, [UPLINK];
    /// Signal on the cable.
    UplinkCarrier "uplink_carrier" Gauge, [UPLINK];
    /// Outages of the line by where it broke.
    UplinkOutages "uplink_outages_total" Counter, [UPLINK,
        Label::closed("cause", || Cause::ALL.map(Cause::name).to_vec())];
    /// How long outages of the line lasted, from the last proof of life to the first reply that stayed.
    UplinkOutageDuration "uplink_outage_duration_seconds" Histogram(Scale::Outage), [UPLINK];
    /// Bytes that came in on the device.
    UplinkReceiveBytes "uplink_receive_bytes_total" Counter, [UPLINK];
    /// Bytes that went out on the device.
    UplinkTransmitBytes "uplink_transmit_bytes_total" Counter, [UPLINK];
    /// Sessions that a switch told at once that this line is gone.
    UplinkFlowsReset "uplink_flows_reset_total" Counter, [UPLINK];
    /// Idle sessions that were made to notice.
    UplinkNudges "uplink_nudges_total" Counter, [UPLINK];
    /// Sessions of a dead line that the second look after a switch still found.
    UplinkStragglers "uplink_stragglers_total" Counter, [UPLINK];
    /// Used of the mobile plan in this period.
    UplinkPlanUsed "uplink_plan_used_bytes" Gauge, [UPLINK];
    /// Size of the mobile plan.
    UplinkPlanLimit "uplink_plan_limit_bytes" Gauge, [UPLINK];
    /// When the plan starts again; 0 while the clock is not trusted.
    UplinkPlanEnd "uplink_plan_end_timestamp_seconds" Gauge, [UPLINK];
    /// What watching the line costs, on the wire.
    UplinkProbeBytes "uplink_probe_bytes_total" Counter, [UPLINK];
    /// Variation of the round trip over the quality window, of the line's best family: what calls feel.
    UplinkJitter "uplink_jitter_seconds" Gauge, [UPLINK];
    /// What a target is: keeps the address out of the hot series.
    TargetInfo "target_info" Info, [UPLINK, TARGET,
        Label::closed("kind", || vec!["icmp", "tcp", "dns", "http", "https"]), Label::config("address")];
    /// Probes by outcome, counted when settled: nothing in flight looks lost.
    ProbeOutcomes "probe_outcomes_total" Counter, [UPLINK, TARGET,
        Label::closed("outcome", || Outcome::NAMES.to_vec())];
    /// Round trips of answered probes, late ones too.
    ProbeRtt "probe_rtt_seconds" Histogram(Scale::Rtt), [UPLINK, TARGET];
    /// The last answer; 0 if there was none yet.
    ProbeLastSuccess "probe_last_success_timestamp_seconds" Gauge, [UPLINK, TARGET];
    /// Silent on every uplink at once: the target is at fault.
    TargetSuspect "target_suspect" Gauge, [TARGET];
    /// The branch as its people feel it: 1 for one of the states.
    InternetIs "internet_state" Gauge, [Label::closed("state", || InternetState::ALL.map(InternetState::name).to_vec())];
    /// Who carries the new sessions of a path, in any family.
    PathUplink "path_uplink" Gauge, [PATH, UPLINK];
    /// Switches that the kernel carried out, by the uplink that took over.
    Failovers "failovers_total" Counter, [Label::config("to"), Label::closed("trigger", || TRIGGERS.to_vec())];
    /// From the last proof of life to the decision.
    FailoverDetection "failover_detection_seconds" Histogram(Scale::Switching), [];
    /// From the decision to the kernel read back right.
    FailoverSwitch "failover_switch_seconds" Histogram(Scale::Switching), [];
    /// Why a path was not switched, counted when the reason changes.
    FailoverSuppressed "failover_suppressed_total" Counter, [
        Label::closed("reason", || Suppressed::ALL.map(Suppressed::name).to_vec())];
    /// When the path can return to its better uplink if that stays stable; 0 if it is not waiting.
    FailbackEarliest "failback_earliest_timestamp_seconds" Gauge, [PATH];
    /// Planned failovers that prove the backup, by result.
    DrillRuns "drill_runs_total" Counter, [UPLINK,
        Label::closed("result", || DrillResult::ALL.map(DrillResult::name).to_vec())];
    /// What drills cost on this uplink.
    DrillBytes "drill_bytes_total" Counter, [UPLINK];
    /// A drill of this uplink is under way.
    DrillRunning "drill_running" Gauge, [UPLINK];
    /// The last drill that passed since the daemon started; 0 if there was none.
    DrillLastSuccess "drill_last_success_timestamp_seconds" Gauge, [UPLINK];
    /// The release.
    BuildInfo "build_info" Info, [Label::config("version")];
    /// The image that runs, and in which of its two places on the disk; left out on another system.
    FirmwareInfo "firmware_info" Info, [Label::config("version"),
        Label::closed("slot", || Slot::ALL.map(Slot::name).to_vec())];
    /// The daemon answered within 200 ms. If not, only build, storage, process and web metrics are on the page: nothing
    /// old is shown as if it were now.
    DaemonUp "daemon_up" Gauge, [];
    /// Processor time of our own processes.
    ProcessCpu "process_cpu_seconds_total" Counter, [PROCESS];
    /// Memory of our own processes.
    ProcessResident "process_resident_bytes" Gauge, [PROCESS];
    /// When the process started.
    ProcessStart "process_start_timestamp_seconds" Gauge, [PROCESS];
    /// All fences that the process puts around itself are in force.
    ProcessSandboxed "process_sandboxed" Gauge, [PROCESS];
    /// One turn of the engine: we are never the slow one.
    EngineTurn "engine_turn_seconds" Histogram(Scale::Turn), [];
    /// What a full queue dropped.
    QueueDropped "queue_dropped_total" Counter, [Label::closed("queue", || Queue::ALL.map(Queue::name).to_vec())];
    /// Times the kernel told more than we read; each is followed by a full look.
    NetlinkOverruns "netlink_overruns_total" Counter, [];
    /// What of ours somebody else changed, and we put back.
    KernelRepairs "kernel_repairs_total" Counter, [KIND];
    /// Changes that the kernel or a service refused.
    ApplyErrors "apply_errors_total" Counter, [KIND];
    /// Memory that programs could still have.
    MemoryAvailable "memory_available_bytes" Gauge, [];
    /// The hottest sensor of the box.
    Temperature "temperature_celsius" Gauge, [];
    /// Size of the area on the disk, without what the file system keeps back.
    StorageSize "storage_size_bytes" Gauge, [AREA];
    /// Used of it.
    StorageUsed "storage_used_bytes" Gauge, [AREA];
    /// Used of the writes that the flash was made for: 1 is all of them; left out where the flash does not say.
    StorageWear "storage_wear_ratio" Gauge, [];
    /// The wall clock was set: times can be believed.
    ClockTrusted "clock_trusted" Gauge, [];
    /// Series on this page.
    Series "series" Gauge, [];
    /// Series that were left out, because the page would have more than its cap.
    SeriesWithheld "series_withheld" Gauge, [];
    /// The config in force: number of head office's standard, empty for a file of the gateway's own.
    ConfigInfo "config_info" Info, [Label::config("standard"), Label::config("digest")];
    /// A change is on trial, on its way in or on its way back.
    ConfigInTrial "config_in_trial" Gauge, [];
    /// Exchanges with head office about the config: a new one, nothing new, an answer that was not believed, or none.
    ConfigFetches "config_fetches_total" Counter, [Label::closed("result", || FETCHES.to_vec())];
    /// When head office last proved that this config is current; 0 if it did not yet, or the clock was not trusted.
    ConfigLastFetch "config_last_fetch_timestamp_seconds" Gauge, [];
    /// Changes that were undone, by why.
    ConfigRollbacks "config_rollbacks_total" Counter, [
        Label::closed("reason", || Class::ROLLBACKS.map(Class::label).to_vec())];
    /// Things that somebody changed on this gateway, and that are not put right.
    ConfigDrift "config_drift" Gauge, [];
    /// When the config in force was applied; 0 while the clock is not trusted.
    ConfigApplied "config_applied_timestamp_seconds" Gauge, [];
    /// What people asked the gateway to change, whether it was done or refused.
    AuditEvents "audit_events_total" Counter, [Label::closed("action", || Action::ALL.map(Action::name).to_vec())];
    /// Requests that were answered.
    WebRequests "web_requests_total" Counter, [Label::closed("page", || vec!["staff", "it", "metrics", "other"])];
    /// Connections held now.
    WebConnections "web_connections" Gauge, [];
    /// Connections that were refused or cut: too many, too slow, or for a host that is not this gateway.
    WebRefused "web_refused_total" Counter, [Label::closed("reason", || vec!["full", "slow", "host"])];
    /// Time of the line in each state, kept across restarts; opening hours as the config says, unknown where nobody can
    /// tell what time it was.
    UplinkStateSeconds "uplink_state_seconds_total" Counter, [UPLINK,
        Label::closed("state", || LINE_STATES.to_vec()), HOURS];
    /// The same of the branch, whichever line carried it.
    InternetStateSeconds "internet_state_seconds_total" Counter, [
        Label::closed("state", || INTERNET_STATES.to_vec()), HOURS];
    /// Boots by why the one before ended, kept across restarts.
    Boots "boots_total" Counter, [Label::closed("reason", || BOOTS.to_vec())];
    /// Number of the newest record of the ledger.
    LedgerSeq "ledger_seq" Gauge, [];
    /// Records of the ledger that head office has no receipt for.
    LedgerUnsent "ledger_unsent_records" Gauge, [];
    /// The ledger's disk is full, read-only or slow; records wait in memory.
    LedgerStalled "ledger_stalled" Gauge, [];
    /// What went wrong with the ledger: a write failed, the last line was not whole, the chain was broken, old records
    /// were given up.
    LedgerErrors "ledger_errors_total" Counter, [
        Label::closed("kind", || vec!["write", "torn", "broken", "pruned"])];
}

impl Metric {
    /// `seconds`, `bytes`, `celsius` or nothing: what the name ends with.
    pub fn unit(self) -> Option<&'static str> {
        let name = self.name().strip_suffix("_total").unwrap_or(self.name());
        ["seconds", "bytes", "celsius"].into_iter().find(|unit| name.ends_with(unit))
    }

    /// Name without what the exposition adds: unit, `_total`, `_info`.
    pub fn stem(self) -> &'static str {
        let name = self.name();
        let name = name.strip_suffix("_total").or_else(|| name.strip_suffix("_info")).unwrap_or(name);
        let unit = self.unit().and_then(|unit| name.strip_suffix(unit));
        unit.and_then(|name| name.strip_suffix('_')).unwrap_or(name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions_and_are_unique() {
        let names: BTreeSet<_> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        assert_eq!(names.len(), Metric::ALL.len());
        for metric in Metric::ALL {
            let name = metric.name();
            assert_eq!(name.ends_with("_total"), metric.kind() == Counter, "{name}");
            assert_eq!(name.ends_with("_info"), metric.kind() == Info, "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert!(!metric.help().ends_with('.') && !metric.help().is_empty(), "{name}");
        }
    }

    #[test]
    fn docs_table_and_catalogue_are_the_same() {
        let docs = include_str!("../../docs/metrics.md");
        let written: Vec<_> =
            docs.lines().filter(|line| line.starts_with("| `causeway_") && !line.contains("_office_")).collect();
        let wanted: Vec<_> = Metric::ALL.iter().map(|metric| row(*metric)).collect();
        assert_eq!(written, wanted, "docs/metrics.md should read:\n{}", wanted.join("\n"));
    }

    fn row(metric: Metric) -> String {
        let kind = match metric.kind() {
            Histogram(scale) => {
                let bounds: Vec<_> = scale.bounds().iter().map(ToString::to_string).collect();
                format!("histogram: {}", bounds.join(" "))
            }
            other @ (Counter | Gauge | Info) => other.name().to_owned(),
        };
        let labels: Vec<_> = metric
            .labels()
            .iter()
            .map(|label| match (label.values)().join("\\|") {
                values if values.is_empty() => label.name.to_owned(),
                values => format!("{}={values}", label.name),
            })
            .collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        format!("| `{PREFIX}_{}` | {kind} | {labels} | {} |", metric.name(), metric.help())
    }
}
