//! What a release would change: for whom, how much it disturbs, and which gateways would refuse it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::board::{Facts, firmware};
use super::error::OfficeError;
use super::folder::Folder;
use super::records::Release;
use super::release::{before, newest};
use super::store::Store;
use crate::config::fleet::{self, Fleet, compare};
use crate::config::{Change, Disturbance};
use crate::trust::document::Firmware;

#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    pub schema_version: u16,
    pub name: String,
    /// The release that branches have now; the first has none before it.
    pub from: Option<u64>,
    pub to: u64,
    pub branches: usize,
    /// Branches whose changes read alike, the largest group first.
    pub groups: Vec<Alike>,
    pub refusing: Vec<Refusing>,
    pub left_out: BTreeMap<String, String>,
    /// Why the last release could not be compared with.
    pub uncompared: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Alike {
    pub sites: Vec<String>,
    pub changes: Vec<Change>,
}

impl Alike {
    pub fn disturbance(&self) -> Disturbance {
        self.changes.iter().map(|change| change.disturbance).max().unwrap_or(Disturbance::None)
    }
}

/// A branch whose gateway cannot take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusing {
    pub site: String,
    pub serial: String,
    pub why: String,
    pub remedy: String,
}

pub async fn preview(
    folder: &Folder,
    store: &Store,
    left_out: BTreeMap<String, String>,
) -> Result<Preview, OfficeError> {
    let newest = newest(store).await?;
    let to = newest.as_ref().map_or(1, |release| release.seq + 2);
    let before = before(store, newest).await?;
    let facts = Facts::read(store).await?;
    let (mut groups, mut uncompared) = (Vec::new(), None);
    if let Some(release) = &before {
        match fleet::check_without(&format!("release {}", release.seq), &release.files, &not_in_it(release)) {
            Ok(old) => groups = alike(&old, &folder.fleet, &left_out)?,
            Err(faults) => uncompared = Some(faults.to_string()),
        }
    }
    Ok(Preview {
        schema_version: 1,
        name: folder.fleet.standard.name.to_string(),
        from: before.map(|release| release.seq),
        to,
        branches: folder.fleet.sites.len(),
        groups,
        refusing: refusing(&folder.fleet, &facts, &left_out),
        left_out,
        uncompared,
    })
}

fn not_in_it(release: &Release) -> BTreeSet<String> {
    release.left_out.keys().cloned().collect()
}

fn alike(old: &Fleet, new: &Fleet, left_out: &BTreeMap<String, String>) -> Result<Vec<Alike>, OfficeError> {
    let groups = compare(old, new)
        .map_err(|source| OfficeError::Site { site: "of the fleet".to_owned(), source: Box::new(source) })?;
    let alike = groups.into_iter().map(|group| Alike {
        sites: group.sites.iter().map(ToString::to_string).filter(|site| !left_out.contains_key(site)).collect(),
        changes: group.changes,
    });
    Ok(alike.filter(|group| !group.sites.is_empty()).collect())
}

fn refusing(new: &Fleet, facts: &Facts, left_out: &BTreeMap<String, String>) -> Vec<Refusing> {
    let standard = &new.standard;
    let least: Firmware = standard.min_firmware.map(Into::into).unwrap_or_default();
    let mut refusing = Vec::new();
    for site in new.sites.iter().filter(|site| !left_out.contains_key(site.name.as_str())) {
        for device in facts.gateways(site.name.as_str()) {
            let has = facts.firmware(device);
            let status = facts.seen.get(&device.id().0.to_string()).and_then(|seen| seen.status.as_ref());
            let unknown = status.and_then(|status| {
                let knows = |id: u16, version: u16| {
                    status.sections.iter().any(|known| known.id == id && known.version >= version)
                };
                standard.sections.iter().find(|section| section.critical && !knows(section.id, section.version))
            });
            let (why, remedy) = if !standard.models.iter().any(|model| model.as_str() == device.model) {
                (format!("is a {}", device.model), "name the model in standard.models".to_owned())
            } else if has < least {
                (
                    format!("has firmware {}, the standard needs {}", firmware(has), firmware(least)),
                    "update it first".to_owned(),
                )
            } else if let Some(section) = unknown {
                (
                    format!("has firmware {}, section {} needs version {}", firmware(has), section.id, section.version),
                    "update it first".to_owned(),
                )
            } else {
                continue;
            };
            let serial = device.serial.clone();
            refusing.push(Refusing { site: site.name.to_string(), serial, why, remedy });
        }
    }
    refusing
}
