//! A scenario as written in TOML. Unknown keys are refused, so a misspelt expectation cannot pass unseen.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::config::model::Family;
use crate::lab::clients::tcp::Habit;
use crate::lab::error::LabError;
use crate::lab::gateway::{GatewayConfig, UplinkConfig};
use crate::lab::line::{Impairment, Loss};
use crate::lab::provider::Mode;
use crate::lab::topology::{BranchPlan, UplinkPlan};
use crate::lab::units::{Bytes, Rate, Share, Time};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub title: String,
    /// In the order of preference; their names are `a`, `b`, ….
    #[serde(rename = "uplink")]
    pub uplinks: Vec<Uplink>,
    /// The last uplink of the list stands for all further ones.
    pub uplink_count: Option<usize>,
    /// `paths` and `probes.targets` of the daemon's config, as they are.
    pub paths: Option<String>,
    pub targets: Option<String>,
    /// Uplinks that other paths than `default` take before the traffic starts.
    #[serde(default)]
    pub ready: BTreeMap<String, String>,
    #[serde(default)]
    pub traffic: Vec<Traffic>,
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
    #[serde(default = "one")]
    pub seed: u64,
}

fn one() -> u64 {
    1
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uplink {
    pub medium: Option<String>,
    /// What the line is like, in each direction.
    #[serde(default)]
    pub line: Change,
    #[serde(default)]
    pub ipv4_off: bool,
    #[serde(default)]
    pub ipv6_off: bool,
    /// More lines of the uplink's table in the daemon's config, as they are.
    #[serde(default)]
    pub config: String,
}

/// What changes about a line; the rest stays.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub delay: Option<Time>,
    pub jitter: Option<Time>,
    pub loss: Option<Share>,
    /// Losses come in bursts of so many frames, on average.
    pub burst: Option<f64>,
    pub reorder: Option<Share>,
    pub duplicate: Option<Share>,
    pub rate: Option<Rate>,
    pub queue: Option<Bytes>,
    pub largest: Option<Bytes>,
    /// Nothing passes, and nobody is told.
    pub silent: Option<bool>,
}

impl Change {
    pub fn apply(&self, to: &mut Impairment) {
        let take = |to: &mut Duration, from: Option<Time>| *to = from.map_or(*to, |time| time.0);
        take(&mut to.delay, self.delay);
        take(&mut to.jitter, self.jitter);
        if let Some(Share(share)) = self.loss {
            to.loss = match self.burst {
                Some(length) => Loss::Bursts { share, length },
                None => Loss::Random(share),
            };
        }
        to.reorder = self.reorder.map_or(to.reorder, |share| share.0);
        to.duplicate = self.duplicate.map_or(to.duplicate, |share| share.0);
        to.rate = self.rate.map_or(to.rate, |rate| Some(rate.0));
        to.queue = self.queue.map_or(to.queue, |bytes| bytes.0);
        to.largest = self.largest.map_or(to.largest, |bytes| usize::try_from(bytes.0).ok());
        to.cut = self.silent.unwrap_or(to.cut);
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Referred to by expectations.
    pub name: String,
    pub kind: TrafficKind,
    #[serde(default)]
    pub from: LanHost,
    #[serde(default)]
    pub family: FamilyName,
    /// Of UDP, packets a second.
    #[serde(default = "thousand")]
    pub rate: u32,
}

fn thousand() -> u32 {
    1000
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrafficKind {
    Udp,
    Streaming,
    Idle,
    Download,
}

impl TrafficKind {
    /// `None` for UDP.
    pub fn habit(self) -> Option<Habit> {
        match self {
            Self::Udp => None,
            Self::Streaming => Some(Habit::Streaming),
            Self::Idle => Some(Habit::Idle),
            Self::Download => Some(Habit::Download),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LanHost {
    #[default]
    Lan1,
    Lan2,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FamilyName {
    #[default]
    Ipv4,
    Ipv6,
}

impl From<FamilyName> for Family {
    fn from(name: FamilyName) -> Self {
        match name {
            FamilyName::Ipv4 => Self::V4,
            FamilyName::Ipv6 => Self::V6,
        }
    }
}

/// One step: wait, do, watch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub title: String,
    /// Until this holds, nothing is done; never a fixed time where there is a condition.
    pub wait: Option<Wait>,
    /// Before the fault, so that it does not always meet the probes in the same phase.
    pub after: Option<Time>,
    #[serde(default, rename = "do")]
    pub fault: Option<Fault>,
    /// How long the branch is watched after the fault.
    #[serde(rename = "for")]
    pub watch: Time,
    #[serde(default)]
    pub expect: Expect,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    pub at_most: Time,
    /// New LAN flows take this uplink.
    pub active: Option<String>,
    /// States of uplinks, as the daemon tells.
    #[serde(default)]
    pub state: BTreeMap<String, String>,
}

/// One thing done to the branch.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// A line changes, in both directions or one.
    Line {
        name: String,
        direction: Option<DirectionName>,
        set: Change,
    },
    Carrier {
        line: String,
        on: bool,
    },
    /// On and off by turns, each so long.
    Flap {
        line: String,
        times: u32,
        down: Time,
        up: Time,
    },
    Provider {
        line: String,
        mode: Mode,
    },
    Target {
        number: u8,
        silent: bool,
    },
    /// DHCP gives the uplink another address.
    Renumber {
        line: String,
    },
    /// The provider's router gets another address, and DHCP says so.
    MoveRouter {
        line: String,
    },
    /// SIGKILL; started again as systemd would.
    KillDaemon {},
    /// SIGSTOP for a time.
    StopDaemon {
        lasts: Time,
    },
    /// It runs for 5 ms of each 100 ms, as on a processor that others keep busy.
    StarveDaemon {
        lasts: Time,
    },
    /// Somebody deletes the default route of the path in use.
    DeleteRoute {},
    /// Somebody empties nftables.
    FlushNft {},
    /// `causeway WORDS…`.
    Operate {
        words: Vec<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DirectionName {
    Up,
    Down,
}

/// What must be true from the fault to the end of the step. What is not named is not judged.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Every UDP flow, or those of `flows`.
    pub steady_within: Option<Time>,
    pub lost_at_most: Option<usize>,
    /// Every TCP session, or those of `flows`, ended with an error or end of file.
    pub told_within: Option<Time>,
    /// Every TCP session, or those of `flows`, goes on.
    #[serde(default)]
    pub kept: bool,
    /// What the three above are about, by name; all without it.
    pub flows: Option<Vec<String>>,
    /// These lose nothing, end nothing.
    #[serde(default)]
    pub undisturbed: Vec<String>,
    /// New LAN flows take this uplink at the end.
    pub active: Option<String>,
    /// And took it so soon.
    pub active_within: Option<Time>,
    pub active_ipv6: Option<String>,
    #[serde(default)]
    pub no_failover: bool,
    pub switches_at_most: Option<usize>,
    /// The kernel's state is as before so soon.
    pub repaired_within: Option<Time>,
    /// States and causes that the daemon tells at the end.
    #[serde(default)]
    pub state: BTreeMap<String, String>,
    #[serde(default)]
    pub cause: BTreeMap<String, String>,
    /// A kind of event was told.
    pub event: Option<String>,
    /// What passed over a line since the fault, both directions.
    #[serde(default)]
    pub bytes_at_most: BTreeMap<String, Bytes>,
}

impl Scenario {
    pub fn read(path: &Path) -> Result<Self, LabError> {
        let fault = |what: String| LabError::Scenario { file: path.display().to_string(), what };
        let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
        let scenario: Self = toml::from_str(&text).map_err(|error| fault(error.to_string()))?;
        scenario.check().map_err(fault)?;
        Ok(scenario)
    }

    pub fn branch(&self) -> BranchPlan {
        let plan = |uplink: &Uplink| {
            let mut line = Impairment::default();
            uplink.line.apply(&mut line);
            UplinkPlan { up: line.clone(), down: line, ipv6_only: uplink.ipv4_off }
        };
        BranchPlan { uplinks: self.all_uplinks().map(plan).collect(), seed: self.seed }
    }

    pub fn gateway(&self) -> GatewayConfig {
        let config = |uplink: &Uplink| UplinkConfig {
            medium: uplink.medium.clone().unwrap_or_else(|| "fibre".to_owned()),
            ipv4: !uplink.ipv4_off,
            ipv6: !uplink.ipv6_off,
            more: uplink.config.clone(),
        };
        GatewayConfig {
            uplinks: self.all_uplinks().map(config).collect(),
            paths: self.paths.clone(),
            targets: self.targets.clone(),
        }
    }

    /// The longest the steps may take.
    pub fn at_most(&self) -> Duration {
        let step = |step: &Step| {
            let wait = step.wait.as_ref().map_or(Duration::ZERO, |wait| wait.at_most.0);
            wait + step.after.map_or(Duration::ZERO, |time| time.0) + step.watch.0
        };
        self.steps.iter().map(step).sum()
    }

    fn all_uplinks(&self) -> impl Iterator<Item = &Uplink> {
        let count = self.uplink_count.unwrap_or(self.uplinks.len());
        (0..count).filter_map(|index| self.uplinks.get(index).or(self.uplinks.last()))
    }

    fn check(&self) -> Result<(), String> {
        if self.uplinks.is_empty() || self.steps.is_empty() {
            return Err("a scenario has at least one `uplink` and one `step`".to_owned());
        }
        let known = |name: &String| self.traffic.iter().any(|traffic| traffic.name == *name);
        let named =
            self.steps.iter().flat_map(|step| step.expect.flows.iter().flatten().chain(&step.expect.undisturbed));
        match named.into_iter().find(|name| !known(name)) {
            Some(name) => Err(format!("no traffic is called `{name}`")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_documents_and_refuses_the_rest() {
        let text = r#"
            title = "t"
            [[uplink]]
            line = { delay = "5ms", rate = "20mbit" }
            [[uplink]]
            medium = "lte"
            [[traffic]]
            name = "call"
            kind = "udp"
            [[step]]
            title = "silence"
            wait = { active = "a", at_most = "5s" }
            do = { line = { name = "a", set = { silent = true } } }
            for = "3s"
            expect = { steady_within = "150ms", active = "b" }
            [[step]]
            title = "kill"
            do = { kill_daemon = {} }
            for = "1s"
        "#;
        let scenario: Scenario = toml::from_str(text).expect("a good scenario");
        assert_eq!(scenario.check(), Ok(()));
        assert_eq!(scenario.branch().uplinks[0].up.rate, Some(20_000_000));
        assert_eq!(scenario.gateway().uplinks[1].medium, "lte");
        let misspelt = text.replace("steady_within", "steady_in");
        assert!(toml::from_str::<Scenario>(&misspelt).is_err());
    }

    #[test]
    fn a_change_leaves_the_rest() {
        let mut line = Impairment { delay: Duration::from_millis(20), ..Impairment::default() };
        let change = Change { loss: Some(Share(0.6)), burst: Some(5.0), ..Change::default() };
        change.apply(&mut line);
        assert_eq!(line.loss, Loss::Bursts { share: 0.6, length: 5.0 });
        assert_eq!(line.delay, Duration::from_millis(20));
    }
}
