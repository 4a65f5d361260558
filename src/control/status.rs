//! The one status. `causeway status`, `why`, `watch`, `--json` and `/metrics` are all made from it, so they cannot
//! contradict each other. Only measured things stand here: what was not measured is `None`, never 0.
//!
//! Within a [`SCHEMA_VERSION`] fields are only added. `docs/schema/status.schema.json` is made from these types.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{self, family_name};
use crate::config::model::{self, Family};
use crate::health::{self, Cause, State, Verdict};
use crate::policy::{Reason, Suppressed};
use crate::probe::Outcome;
use crate::time::Instant;

pub const SCHEMA_VERSION: u16 = 1;

/// Uplinks and paths stand in the order of the config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    pub schema_version: u16,
    /// Version of the daemon.
    pub version: String,
    pub site: String,
    pub owner: Option<String>,
    /// When this was made, UTC. Absent while the wall clock is not trusted.
    pub wall_ms: Option<u64>,
    /// Of the daemon.
    pub uptime_ms: u64,
    pub internet: Internet,
    pub uplinks: Vec<UplinkStatus>,
    pub paths: Vec<PathStatus>,
    pub last_switch: Option<SwitchStatus>,
    pub lock: Option<Lock>,
    pub preference: Option<Preference>,
    pub drill: Option<DrillRunning>,
    pub config: ConfigStatus,
    /// What a person should know and no other field says, worst first, each a sentence.
    pub warnings: Vec<String>,
}

/// A moment, as its age when the status was made and, where the wall clock was trusted, as UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    pub ago_ms: u64,
    pub wall_ms: Option<u64>,
}

impl Moment {
    /// `wall_ms` is the wall clock at `now`, if it is trusted.
    pub fn of(at: Instant, now: Instant, wall_ms: Option<u64>) -> Self {
        let ago_ms = u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
        Self { ago_ms, wall_ms: wall_ms.map(|wall| wall.saturating_sub(ago_ms)) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Internet {
    pub state: InternetState,
    pub since: Moment,
}

/// The branch as its people feel it. Names as in `causeway_internet_state{state}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InternetState {
    /// Path `default` is carried by its first tier.
    Primary,
    Backup,
    Down,
    Unknown,
}

impl InternetState {
    pub const ALL: [Self; 4] = [Self::Primary, Self::Backup, Self::Down, Self::Unknown];

    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }

    /// What the lines that carry path `default` say, in any family: one that works is enough, none that was ever seen
    /// working is `unknown`.
    pub fn of(uplinks: &[UplinkStatus], default: &PathStatus) -> Self {
        let mut carried = Self::Unknown;
        for family in &default.families {
            for share in &family.uplinks {
                let state = uplinks.iter().find(|uplink| uplink.name == share.uplink).and_then(|uplink| {
                    uplink.families.iter().find(|line| line.family == family.family).map(|line| line.state)
                });
                let first = default.order.first().is_some_and(|tier| tier.contains(&share.uplink));
                carried = match (state, carried) {
                    (Some(State::Up | State::Degraded | State::Suspect | State::Probation), _) if first => {
                        return Self::Primary;
                    }
                    (Some(State::Up | State::Degraded | State::Suspect | State::Probation), _) => Self::Backup,
                    (Some(State::Down), Self::Unknown) => Self::Down,
                    (Some(State::Down | State::Unknown | State::Disabled) | None, carried) => carried,
                };
            }
        }
        carried
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UplinkStatus {
    pub name: String,
    pub device: String,
    pub role: Role,
    pub medium: String,
    pub provider: Option<String>,
    pub circuit: Option<String>,
    pub carrier: Option<bool>,
    pub plan: Option<Plan>,
    /// The configured ones only.
    pub families: Vec<FamilyStatus>,
    pub last_outage: Option<OutageStatus>,
    pub last_drill: Option<DrillDone>,
}

impl UplinkStatus {
    /// The best of its families: a line works if anything works through it. `suspect` is no verdict.
    pub fn line(&self) -> Option<&FamilyStatus> {
        self.families.iter().min_by_key(|family| match family.state {
            State::Up => 0,
            State::Degraded => 1,
            State::Suspect => 2,
            State::Probation => 3,
            State::Down => 4,
            State::Unknown => 5,
            State::Disabled => 6,
        })
    }
}

/// `primary`: in the first tier of path `default`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Primary,
    Backup,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FamilyStatus {
    #[serde(with = "family_name")]
    #[schemars(schema_with = "names::family")]
    pub family: Family,
    #[schemars(schema_with = "names::state")]
    pub state: State,
    pub since: Moment,
    /// What was seen when the state last changed.
    pub evidence: Evidence,
    /// The last answer or other proof of life.
    pub last_life_ago_ms: Option<u64>,
    /// Between two probes, as things are.
    #[serde(default)]
    pub interval_ms: u64,
    /// Over the quality window, from settled probes only; 0.0 to 1.0.
    pub loss: Option<f32>,
    pub rtt_p50_ms: Option<f32>,
    pub rtt_p95_ms: Option<f32>,
    pub jitter_ms: Option<f32>,
    /// In probation: until it counts as `up`, if nothing is lost.
    pub recover_left_ms: Option<u64>,
    pub address: Option<String>,
    pub gateway: Option<String>,
    /// Names of the paths that send their new flows here.
    pub carries: Vec<String>,
    pub targets: Vec<TargetStatus>,
}

/// [`health::Evidence`] with times in milliseconds and targets by label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    #[schemars(schema_with = "names::verdict_or_null")]
    pub verdict: Option<Verdict>,
    #[schemars(schema_with = "names::cause_or_null")]
    pub cause: Option<Cause>,
    pub silent_ms: Option<u64>,
    pub silence_limit_ms: Option<u64>,
    pub unanswered: u32,
    pub silent_targets: Vec<String>,
    pub targets: u32,
    pub suspect_targets: Vec<String>,
    pub carrier: bool,
    pub address: bool,
    pub gateway: bool,
    pub gateway_answers: Option<bool>,
    pub loss: Option<f32>,
    pub rtt_ms: Option<f32>,
    pub jitter_ms: Option<f32>,
    /// Packets that left while nothing came in.
    pub sent_unanswered: u64,
    pub burst_answered: Option<u32>,
    pub burst_settled: Option<u32>,
    pub recover_after_ms: Option<u64>,
}

impl Evidence {
    pub fn of(evidence: &health::Evidence, uplink: &model::Uplink) -> Self {
        let label = |id: &model::TargetId| uplink.targets.get(id.index()).map(model::Target::label);
        Self {
            verdict: evidence.verdict,
            cause: evidence.cause,
            silent_ms: evidence.silent_for.map(whole_ms),
            silence_limit_ms: evidence.silence_limit.map(whole_ms),
            unanswered: evidence.unanswered,
            silent_targets: evidence.silent_targets.iter().filter_map(label).collect(),
            targets: evidence.targets,
            suspect_targets: evidence.suspect_targets.iter().filter_map(label).collect(),
            carrier: evidence.carrier,
            address: evidence.address,
            gateway: evidence.gateway,
            gateway_answers: evidence.gateway_answers,
            loss: evidence.loss,
            rtt_ms: evidence.rtt.map(fine_ms),
            jitter_ms: evidence.jitter.map(fine_ms),
            sent_unanswered: evidence.sent_unanswered,
            burst_answered: evidence.burst.map(|(answered, _)| answered),
            burst_settled: evidence.burst.map(|(_, settled)| settled),
            recover_after_ms: evidence.recover_after.map(whole_ms),
        }
    }
}

/// Milliseconds, cut.
pub fn whole_ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds with their fraction, for an RTT.
pub fn fine_ms(time: std::time::Duration) -> f32 {
    time.as_secs_f32() * 1_000.0
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetStatus {
    /// Its place among the uplink's targets in the config.
    pub index: u8,
    /// As in the config and in `target` labels: `9.9.9.9 icmp`.
    pub label: String,
    pub kind: String,
    pub address: String,
    /// The last settled outcome, as in `causeway_probe_outcomes_total{outcome}`.
    pub outcome: Option<String>,
    pub settled_ago_ms: Option<u64>,
    pub rtt_ms: Option<f32>,
    /// Silent on every uplink at once: the target is at fault, and left out of the quorum.
    pub suspect: bool,
}

impl TargetStatus {
    /// Not yet asked.
    pub fn of(id: model::TargetId, target: &model::Target) -> Self {
        let (kind, address) = match &target.check {
            model::Check::Icmp { host } => ("icmp", host.to_string()),
            model::Check::Tcp { host, .. } => ("tcp", host.to_string()),
            model::Check::Dns { server, .. } => ("dns", server.ip().to_string()),
            model::Check::Http { url, .. } => (url.scheme(), url.host.to_string()),
        };
        Self {
            index: id.0,
            label: target.label(),
            kind: kind.to_owned(),
            address,
            outcome: None,
            settled_ago_ms: None,
            rtt_ms: None,
            suspect: false,
        }
    }

    pub fn settled(mut self, outcome: Outcome, ago_ms: u64) -> Self {
        self.outcome = Some(outcome.name().to_owned());
        self.settled_ago_ms = Some(ago_ms);
        self.rtt_ms = match outcome {
            Outcome::Reply { rtt } | Outcome::Late { rtt } => Some(fine_ms(rtt)),
            Outcome::Silent
            | Outcome::Refused
            | Outcome::Unreachable
            | Outcome::Wrong(_)
            | Outcome::Unsent
            | Outcome::Void => None,
        };
        self
    }
}

/// A metered uplink's plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    pub used_bytes: u64,
    pub limit_bytes: u64,
    /// When it starts again, UTC; absent while the clock is not trusted.
    pub ends_wall_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutageStatus {
    /// The last proof of life before it.
    pub began: Moment,
    /// So far, if it is still open.
    pub lasted_ms: u64,
    /// Absent while the gateway of a silent line is being asked.
    #[schemars(schema_with = "names::cause_or_null")]
    pub cause: Option<Cause>,
    pub open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrillDone {
    pub ended: Moment,
    pub result: DrillResult,
}

/// Names as in `causeway_drill_runs_total{result}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrillResult {
    Passed,
    Failed,
    Aborted,
    Refused,
}

impl DrillResult {
    pub const ALL: [Self; 4] = [Self::Passed, Self::Failed, Self::Aborted, Self::Refused];

    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Refused => "refused",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PathStatus {
    pub name: String,
    /// Its tiers, best first.
    pub order: Vec<Vec<String>>,
    /// The families that any of its uplinks has.
    pub families: Vec<PathFamily>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PathFamily {
    #[serde(with = "family_name")]
    #[schemars(schema_with = "names::family")]
    pub family: Family,
    /// Who carries its new flows; empty before the first choice, or when the path rejects.
    pub uplinks: Vec<Share>,
    pub since: Moment,
    /// Why this selection was made; absent before the first.
    pub reason: Option<SwitchReason>,
    /// Why it is not on its first choice.
    #[schemars(schema_with = "names::suppressed_or_null")]
    pub suppressed: Option<Suppressed>,
    /// From now until it can return to the better uplink, if that stays stable.
    pub failback_in_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    pub uplink: String,
    pub weight: u8,
}

/// [`Reason`] without the verdict it may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SwitchReason {
    Start,
    Down,
    Degraded,
    Failback,
    Share,
    Better,
    Manual,
    Drill,
    DrillEnd,
    Budget,
}

impl From<Reason> for SwitchReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Start => Self::Start,
            Reason::Down(_) => Self::Down,
            Reason::Degraded => Self::Degraded,
            Reason::Failback => Self::Failback,
            Reason::Share => Self::Share,
            Reason::Better => Self::Better,
            Reason::Manual => Self::Manual,
            Reason::Drill => Self::Drill,
            Reason::DrillEnd => Self::DrillEnd,
            Reason::Budget => Self::Budget,
        }
    }
}

/// The last switch that the kernel carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SwitchStatus {
    pub at: Moment,
    pub path: String,
    #[serde(with = "family_name")]
    #[schemars(schema_with = "names::family")]
    pub family: Family,
    pub from: Vec<String>,
    pub to: Vec<String>,
    pub reason: SwitchReason,
    /// From the last proof of life to the decision.
    pub detection_ms: Option<u64>,
    /// From the decision to the kernel read back right.
    pub took_ms: u64,
    pub flows_reset: u64,
    pub flows_nudged: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lock {
    pub by: String,
    pub since: Moment,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preference {
    pub uplink: String,
    pub by: String,
    /// Absent: until told otherwise.
    pub left_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrillRunning {
    pub uplink: String,
    pub since: Moment,
}

/// The config in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigStatus {
    pub file: String,
    /// First 16 hex digits over the text.
    pub digest: String,
    pub applied: Moment,
    /// Where `front` serves `/metrics`: address and port.
    pub metrics_on: Vec<String>,
    /// TCP ports of head office, which `front` may connect to.
    pub office_ports: Vec<u16>,
    /// Where `front` serves the status page: address and port.
    #[serde(default)]
    pub status_page_on: Vec<String>,
    /// Of what staff reads, ISO 639-1; absent: English.
    pub language: Option<String>,
    /// Of the branch, a name of the time zone database; absent: that of the system.
    pub timezone: Option<String>,
    /// The branch's telephone.
    pub phone: Option<String>,
}
