//! The start: what the journal says, who this gateway is, and which config it begins with.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::deeds::{self, Deed};
use super::drift::Watch;
use super::errands::Errands;
use super::generation::Parts;
use super::identity::{Admission, Claim, Device, Enrolment, Hardware, IdentityError};
use super::pacing::Pacing;
use super::turns::Turns;
use super::{Keeper, chain, clock};
use crate::config::Branch;
use crate::control::snapshot::ConfigFigures;
use crate::daemon::marks;
use crate::trust::floors::BootId;
use crate::trust::freshness::Nonces;
use crate::trust::machine::{Advance, Command, Machine, Target, Transition};
use crate::trust::root::TrustedRoot;
use crate::trust::store::{Folder, Found, Store, StoreError};

/// Commands that may be answered at once: one of each kind, and the start's.
const DEEDS: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot make {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot open the store of signed configs")]
    Store(#[from] StoreError),
    #[error("cannot tell who this gateway is")]
    Identity(#[from] IdentityError),
}

/// Read before anything is changed and before the fence closes.
pub(in crate::daemon) struct Opened {
    store: Store<Folder>,
    folder: PathBuf,
    machine: Machine,
    commands: Vec<Command>,
    /// What the start alone led to: a trial that was cut short is over.
    transition: Option<Transition>,
    device: Device,
    claim: Option<Claim>,
    enrolment: Option<Enrolment>,
    root: Option<TrustedRoot>,
    marks: PathBuf,
    safe: Arc<Branch>,
    safe_text: String,
    branch: Arc<Branch>,
    force: Target,
    digest: Option<String>,
    warnings: Vec<String>,
}

impl Opened {
    /// `safe` runs while nothing signed and nothing applied here was kept.
    pub(in crate::daemon) fn open(
        state: &Path,
        runtime: &Path,
        claim: Option<&Path>,
        hardware: &Hardware,
        (safe, safe_text): (Branch, String),
    ) -> Result<Self, OpenError> {
        let folder = state.join("trust");
        fs::create_dir_all(&folder).map_err(|source| OpenError::Folder { path: folder.clone(), source })?;
        let mut warnings = Vec::new();
        let (mut store, found) = Store::open(Folder::new(&folder))?;
        if found == Found::Damaged {
            warnings.push("the journal of configs is damaged; the branch runs its safe config".to_owned());
        }
        let device = Device::open(&folder, hardware)?;
        let claim = claim.map(Claim::read).transpose()?.flatten();
        let enrolment = enrolment(&folder, claim.as_ref())?;
        let Advance { machine, save, commands, transition } =
            Machine::start(found.record(), boot_id(), Keeper::build(), clock::now());
        if save.is_some()
            && let Err(error) = store.save(&machine.record(clock::now()))
        {
            warnings.push(chain(&error));
        }
        let root = machine.keep().root.and_then(|digest| {
            let bytes = store.get(&digest).ok().flatten()?;
            TrustedRoot::pinned(&bytes, &digest).ok()
        });
        let mut safe = safe;
        let marks = runtime.join("marks");
        if let Err(error) = marks::keep(&mut safe.gateway, &marks) {
            warnings.push(format!("numbers of uplinks may change with the next start: {error}"));
        }
        let safe = Arc::new(safe);
        let (branch, force, digest) = match machine.running() {
            Target::Safe => (Arc::clone(&safe), Target::Safe, None),
            target @ Target::Config(config) => match deeds::load(&store, &config) {
                Ok(mut branch) => {
                    // Said above, if it cannot be kept.
                    marks::keep(&mut branch.gateway, &marks).ok();
                    (Arc::new(branch), target, Some(deeds::digest(&target)))
                }
                Err(refusal) => {
                    warnings.push(format!("the stored config is not used: {refusal}"));
                    (Arc::clone(&safe), Target::Safe, None)
                }
            },
        };
        Ok(Self {
            store,
            folder,
            machine,
            commands,
            transition,
            device,
            claim,
            enrolment,
            root,
            marks,
            safe,
            safe_text,
            branch,
            force,
            digest,
            warnings,
        })
    }

    /// What is in force from the start, and its digest if it comes from the store.
    pub(in crate::daemon) fn branch(&self) -> (&Arc<Branch>, Option<&str>) {
        (&self.branch, self.digest.as_deref())
    }

    pub(in crate::daemon) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(in crate::daemon) fn keeper(self, parts: Parts) -> (Keeper, Vec<Command>, mpsc::Receiver<Deed>) {
        let now = clock::now();
        let (deeds, done) = mpsc::channel(DEEDS);
        let keeper = Keeper {
            store: Some(self.store),
            folder: self.folder,
            machine: self.machine,
            device: self.device,
            claim: self.claim,
            enrolment: self.enrolment,
            root: self.root,
            nonces: Nonces::new(now),
            counted: 0,
            errands: Errands::default(),
            news_pacing: Pacing::default(),
            work_pacing: Pacing::default(),
            offered: None,
            marks: self.marks,
            safe: self.safe,
            safe_text: self.safe_text,
            unattended: None,
            branch: self.branch,
            force: self.force,
            turns: Turns::default(),
            again: None,
            measuring: None,
            measurements: 0,
            at_start: self.transition,
            site_checks: None,
            drift: Watch::new(now),
            refused: None,
            history: VecDeque::new(),
            conditions_at: now,
            figures: ConfigFigures::default(),
            figures_told: None,
            parts,
            deeds,
        };
        (keeper, self.commands, done)
    }
}

/// A claim is read while the gateway is not enrolled; another claim than the one that was asked about starts anew.
fn enrolment(folder: &Path, claim: Option<&Claim>) -> Result<Option<Enrolment>, IdentityError> {
    let known = Enrolment::read(folder)?;
    let fresh = claim.map(Enrolment::of);
    let enrolment = match (known, fresh) {
        (Some(known), _) if known.admission == Admission::Accepted => Some(known),
        (Some(known), Some(fresh)) if known.token == fresh.token => Some(known),
        (_, Some(fresh)) => Some(fresh),
        (_, None) => None,
    };
    if let Some(enrolment) = &enrolment {
        enrolment.write(folder)?;
    }
    Ok(enrolment)
}

/// The kernel's number of this boot; without one every start counts as a reboot.
fn boot_id() -> BootId {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let mut id = [0; 16];
    for (byte, at) in id.iter_mut().zip((0..).step_by(2)) {
        *byte = digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or(0);
    }
    BootId(id)
}
