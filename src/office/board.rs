//! What each branch runs and why, from the store alone: the servers write the reports there, people read them here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::error::OfficeError;
use super::layout;
use super::records::{DeviceRecord, Release, Rollout, Seen, Shard, Standing};
use super::store::Store;
use crate::trust::digest::Digest;
use crate::trust::document::{Firmware, TransitionKind};
use crate::trust::machine::{Reason, StateName, Verdict};

/// The fleet at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Board {
    pub schema_version: u16,
    /// Of the newest release.
    pub name: Option<String>,
    pub newest: Option<u64>,
    pub branches: Vec<BranchRow>,
}

#[derive(Clone, Debug, Serialize)]
pub struct BranchRow {
    pub site: String,
    /// The gateway; a site may have none yet.
    pub device: Option<String>,
    pub serial: Option<String>,
    pub model: Option<String>,
    pub firmware: Option<String>,
    pub standing: Option<Standing>,
    /// Number of the standard that it is to run.
    pub wanted: Option<u64>,
    /// Number of the standard that it runs, if it is one that we know.
    pub running: Option<u64>,
    pub verdict: Option<&'static str>,
    pub reason: Option<&'static str>,
    pub state: Option<&'static str>,
    /// Uplinks that lost their proof in the last change.
    pub unproved: Vec<String>,
    /// Seconds since 1970.
    pub seen_at: Option<u64>,
    /// All of it, in words.
    pub words: String,
}

/// Everything that a board is made of.
#[derive(Debug)]
pub struct Facts {
    pub releases: BTreeMap<u64, Release>,
    pub rollouts: Vec<Rollout>,
    pub devices: Vec<DeviceRecord>,
    pub seen: BTreeMap<String, Seen>,
}

impl Facts {
    pub async fn read(store: &Store) -> Result<Self, OfficeError> {
        let mut facts =
            Self { releases: BTreeMap::new(), rollouts: Vec::new(), devices: Vec::new(), seen: BTreeMap::new() };
        for key in store.list(layout::RELEASES).await? {
            if let Some((release, _)) = store.record::<Release>(&key).await? {
                facts.releases.insert(release.seq, release);
            }
        }
        for key in store.list(layout::ROLLOUTS).await? {
            facts.rollouts.extend(store.record::<Rollout>(&key).await?.map(|(rollout, _)| rollout));
        }
        for key in store.list(layout::DEVICES).await? {
            facts.devices.extend(store.record::<DeviceRecord>(&key).await?.map(|(device, _)| device));
        }
        for key in store.list(layout::STATUS).await? {
            if let Some((Shard(seen), _)) = store.record::<Shard>(&key).await? {
                facts.seen.extend(seen);
            }
        }
        Ok(facts)
    }

    /// Sites of the newest release, and those where a gateway stands.
    pub fn sites(&self) -> Vec<String> {
        let newest = self.releases.values().next_back().into_iter().flat_map(|release| release.sites.keys());
        let stand = self.devices.iter().filter(|device| device.standing != Standing::Replaced);
        let sites: BTreeSet<&String> = newest.chain(stand.map(|device| &device.site)).collect();
        sites.into_iter().cloned().collect()
    }

    /// The gateways that stand at a site now.
    pub fn gateways<'a>(&'a self, site: &'a str) -> impl Iterator<Item = &'a DeviceRecord> {
        self.devices.iter().filter(move |device| device.site == site && device.standing != Standing::Replaced)
    }

    pub fn firmware(&self, device: &DeviceRecord) -> Firmware {
        let status = self.seen.get(&device.id().0.to_string()).and_then(|seen| seen.status.as_ref());
        status.map_or(device.firmware, |status| status.firmware)
    }

    pub fn board(&self, sites: &[String]) -> Board {
        let newest = self.releases.values().next_back();
        let mut branches = Vec::new();
        for site in sites {
            let mut gateways = self.gateways(site).peekable();
            if gateways.peek().is_none() {
                branches.push(self.row(site, None));
            }
            branches.extend(gateways.map(|device| self.row(site, Some(device))));
        }
        Board {
            schema_version: 1,
            name: newest.map(|release| release.name.clone()),
            newest: newest.map(|release| release.seq),
            branches,
        }
    }

    fn row(&self, site: &str, device: Option<&DeviceRecord>) -> BranchRow {
        let wanted = self.wanted(site);
        let seen = device.and_then(|device| self.seen.get(&device.id().0.to_string()));
        let status = seen.and_then(|seen| seen.status.as_ref());
        let running = status
            .and_then(|status| self.number(site, &status.applied.or(status.committed)?, status.standard.seq, wanted));
        let transition = seen.and_then(|seen| seen.transition).map(|transition| transition.kind);
        let (reason, verdict) = match (status.and_then(|status| status.reason), transition) {
            (Some(reason), _) => (Some(reason), status.and_then(|status| status.verdict)),
            (None, Some(TransitionKind::Back { reason, verdict })) if running != wanted => (Some(reason), verdict),
            (None, Some(TransitionKind::Back { .. } | TransitionKind::Forward) | None) => (None, None),
        };
        let state = status.map(|status| status.state);
        let unproved: Vec<String> =
            status.map(|status| status.unproved.iter().map(ToString::to_string).collect()).unwrap_or_default();
        let words = words(site, device, state, running, wanted, reason.map(|reason| (reason, verdict)), &unproved);
        BranchRow {
            site: site.to_owned(),
            device: device.map(|device| device.id().0.to_string()),
            serial: device.map(|device| device.serial.clone()),
            model: device.map(|device| device.model.clone()),
            firmware: device.map(|device| firmware(self.firmware(device))),
            standing: device.map(|device| device.standing),
            wanted,
            running,
            verdict: verdict.map(Verdict::name),
            reason: reason.map(Reason::code),
            state: state.map(StateName::name),
            unproved,
            seen_at: seen.map(|seen| seen.at).filter(|at| *at > 0),
            words,
        }
    }

    /// The number of the standard that a site is to run.
    pub fn wanted(&self, site: &str) -> Option<u64> {
        let goes_to = |rollout: &&Rollout| {
            let release = self.content_of(rollout);
            rollout.members.contains(site) && release.is_some_and(|release| release.sites.contains_key(site))
        };
        let rollout = self.rollouts.iter().rev().find(goes_to)?;
        Some(if rollout.way_back { rollout.release + 1 } else { rollout.release })
    }

    /// The release whose content and values a roll-out hands out.
    fn content_of(&self, rollout: &Rollout) -> Option<&Release> {
        let release = self.releases.get(&rollout.release)?;
        match (rollout.way_back, release.way_back) {
            (false, _) => Some(release),
            (true, Some(way_back)) => self.releases.get(&way_back.to),
            (true, None) => None,
        }
    }

    /// Which standard gives this digest at this site. A way back gives the same as what it goes back to, so the number
    /// that is wanted, or that the gateway kept last, decides.
    fn number(&self, site: &str, resolved: &Digest, kept: u64, wanted: Option<u64>) -> Option<u64> {
        let gives = |release: &Release| release.sites.get(site).is_some_and(|record| record.resolved == *resolved);
        let mut numbers = Vec::new();
        for release in self.releases.values() {
            if gives(release) {
                numbers.push(release.seq);
            }
            let back = release.way_back.and_then(|way_back| self.releases.get(&way_back.to));
            if back.is_some_and(gives) {
                numbers.push(release.seq + 1);
            }
        }
        let known = |number: u64| numbers.contains(&number).then_some(number);
        wanted.and_then(known).or_else(|| known(kept)).or_else(|| numbers.first().copied())
    }
}

fn words(
    site: &str,
    device: Option<&DeviceRecord>,
    state: Option<StateName>,
    running: Option<u64>,
    wanted: Option<u64>,
    back: Option<(Reason, Option<Verdict>)>,
    unproved: &[String],
) -> String {
    let Some(device) = device else { return format!("no gateway yet: causeway office claim {site} > claim.toml") };
    match device.standing {
        Standing::Waiting => return format!("waits for a person: causeway office approve {}", device.serial),
        Standing::WaitingReplacement => {
            return format!("wants another one's place: causeway office approve {}", device.serial);
        }
        Standing::Replaced | Standing::Accepted => {}
    }
    let Some(state) = state else { return "has not reported yet".to_owned() };
    let mut text = match (state, wanted) {
        (_, None) => "nothing is assigned".to_owned(),
        (StateName::Idle, Some(_)) if running == wanted => "on the standard".to_owned(),
        (StateName::Idle, Some(_)) => "NOT ON THE STANDARD".to_owned(),
        (StateName::Fetched, Some(_)) => "fetched, waits for a good moment".to_owned(),
        (StateName::Ready, Some(_)) => "about to apply".to_owned(),
        (StateName::Applying, Some(_)) => "applying".to_owned(),
        (StateName::Trial, Some(_)) => "on trial".to_owned(),
        (StateName::Soak, Some(_)) => "confirmed, still watched".to_owned(),
        (StateName::RollingBack, Some(_)) => "going back".to_owned(),
        (StateName::Quarantine, Some(_)) => "NOT ON THE STANDARD: quarantined".to_owned(),
        (StateName::Override, Some(_)) => "a local override lies over the standard".to_owned(),
    };
    if let Some((reason, verdict)) = back {
        text += &format!("; {}", reason.code().replace('_', " "));
        if !unproved.is_empty() {
            text += &format!(": {}", unproved.join(", "));
        }
        text += match verdict {
            Some(Verdict::Config) => "; verdict: the config",
            Some(Verdict::External) => "; verdict: not the config, tried again later",
            Some(Verdict::Withdrawn) => "; withdrawn",
            None => "",
        };
    } else if !unproved.is_empty() {
        text += &format!("; lost path proof on {}", unproved.join(", "));
    }
    text
}

pub fn firmware(version: Firmware) -> String {
    let Firmware { major, minor, patch } = version;
    if patch == 0 { format!("{major}.{minor}") } else { format!("{major}.{minor}.{patch}") }
}
