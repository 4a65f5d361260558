//! What the sections of a standard mean to this firmware: the steps of verification that need the config.

use crate::config::branch::{Apply, Branch, Defer as DeferWhen};
use crate::config::documents;
use crate::config::sections::{self, SUPPORTED, SectionError};
use crate::config::{self, Disturbance as Disturbs, Kind};
use crate::trust::digest::Digest;
use crate::trust::document::{SealedKey, Section, SectionId, Site, Standard};
use crate::trust::machine::{Checked, Defer, Disturbance, Timers};
use crate::trust::refusal::Refusal;
#[cfg(feature = "lab")]
use crate::trust::verify::{self, Blobs, Verifier};
use crate::trust::verify::{Content, Opener};

pub(super) struct Known;

/// Sections with all values filled in, and whose they are.
pub(super) struct Resolved {
    sections: Vec<sections::Section>,
    identity: config::branch::Identity,
}

impl Resolved {
    pub(super) fn branch(&self) -> Result<Branch, SectionError> {
        sections::branch(&self.sections, &self.identity)
    }
}

impl Content for Known {
    type Resolved = Resolved;
    type Plan = ();

    fn supports(&self, section: SectionId, version: u16) -> bool {
        SUPPORTED.contains(&(section.0, version))
    }

    fn resolve(&self, _: &Standard, sections: &[&Section], site: &Site) -> Option<(Resolved, Digest)> {
        let values = documents::values(site)?;
        let sections: Vec<sections::Section> = sections.iter().map(|section| documents::section(section)).collect();
        let sections = sections::resolve(&sections, &values).ok()?;
        let digest = Digest::new(sections::digest(&sections));
        Some((Resolved { sections, identity: documents::identity(site)? }, digest))
    }

    fn validate(&self, resolved: &Resolved) -> Result<(), Refusal> {
        match resolved.branch() {
            Ok(_) => Ok(()),
            Err(SectionError::Invalid(faults))
                if faults.faults.iter().any(|fault| matches!(fault.kind, Kind::Floor | Kind::FloorSsh)) =>
            {
                Err(Refusal::FloorRule)
            }
            Err(error) => {
                tracing::error!("the config from head office is refused: {error}");
                Err(Refusal::InvalidConfig)
            }
        }
    }

    /// Every config can be reached from every other: the plan is made when it is carried out.
    fn plan(&self, _: &Resolved) -> Option<()> {
        Some(())
    }
}

/// Encrypted blobs are reserved: nothing opens them yet.
pub(super) struct NoKey;

impl Opener for NoKey {
    fn open(&self, _: &SealedKey, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// All that stands between an assignment with its blobs and a trial: what the keeper does in steps, as they come in.
#[cfg(feature = "lab")]
pub fn weigh(
    verifier: &Verifier<'_>,
    assignment: &[u8],
    blobs: Blobs<'_>,
    running: &Branch,
) -> Result<(Branch, Checked), Refusal> {
    let complete = verifier.complete(verifier.assignment(assignment)?, blobs, &NoKey, &Known)?;
    let prepared = verify::prepare(&complete, &Known)?;
    let branch = prepared.resolved.branch().map_err(|_| Refusal::InvalidConfig)?;
    let checked = checked(running, &branch);
    Ok((branch, checked))
}

/// What the change from `old` to `new` asks of the branch.
pub(super) fn checked(old: &Branch, new: &Branch) -> Checked {
    let changes = config::diff(old, new);
    let worst = changes.iter().map(|change| change.disturbance).max().unwrap_or(Disturbs::None);
    let Apply { defer, timers, .. } = &new.apply;
    let waits = |when: DeferWhen| defer.contains(&when);
    Checked {
        empty: changes.is_empty(),
        disturbance: match worst {
            Disturbs::None => Disturbance::None,
            Disturbs::Blip => Disturbance::Blip,
            Disturbs::Cut => Disturbance::Cut,
        },
        timers: Timers { soft: seconds(timers.soft), hard: seconds(timers.hard), soak: seconds(timers.soak) },
        defer: Defer {
            on_backup: waits(DeferWhen::OnBackup),
            one_uplink: waits(DeferWhen::OneUplink),
            open_hours: waits(DeferWhen::OpenHours),
            data_low: waits(DeferWhen::DataLow),
        },
    }
}

fn seconds(time: std::time::Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
