//! The machine's commands, carried out beside the task that keeps it: whatever waits (services, responders, another
//! thread) comes back as a [`Deed`].

use std::sync::Arc;
use std::time::Duration;

use super::content::{self, Known, NoKey};
use super::drift::Found;
use super::errands::Task;
use super::measure::measure;
use super::{Ask, Keeper, chain, clock};
use crate::config::Branch;
use crate::config::model::Check;
use crate::time::Instant;
use crate::trust::machine::{Applied, Candidate, Checked, Command, Config, Event, Measurement, Moment, Office, Target};
use crate::trust::refusal::Refusal;
use crate::trust::store::{Folder, Store};
use crate::trust::verify::{self, Blobs};

/// Most of what keeps a config from being in force at boot is over by then: a service that starts, a port that comes up.
const AGAIN_EVERY: Duration = Duration::from_secs(10);
/// How long head office's answer is waited for while the uplinks prove themselves.
const OFFICE_WITHIN: Duration = Duration::from_secs(5);

/// What came of a command.
#[derive(Debug)]
pub(in crate::daemon) enum Deed {
    Checked(Candidate, Result<Checked, Refusal>),
    /// Which of the measurements it is.
    Measured(u64, Box<Measurement>),
    Announced,
    Drifted(Found),
    Applied {
        target: Target,
        applied: Applied,
        branch: Option<Arc<Branch>>,
        why: Vec<String>,
    },
}

/// Uplinks and head office are asked at once.
#[derive(Debug)]
pub(super) struct Measuring {
    /// One that was begun for another candidate, or another moment, is not taken for this one.
    number: u64,
    moment: Moment,
    until: Instant,
    uplinks: Option<Box<Measurement>>,
    office: Option<Office>,
}

impl Measuring {
    pub(super) fn until(&self) -> Instant {
        match (&self.uplinks, self.office) {
            (Some(_), Some(_)) => Instant::ORIGIN,
            (Some(_), None) => self.until,
            (None, _) => Instant::NEVER,
        }
    }
}

impl Keeper {
    pub(super) async fn command(&mut self, command: Command) {
        match command {
            Command::Check(candidate) => self.check(candidate).await,
            Command::Measure(moment) => self.measure(moment).await,
            // The receipt of the transition says so; without a head office there is nobody to tell.
            Command::Announce(candidate) if self.enrolment.is_some() && !candidate.operator => {}
            Command::Announce(_) => self.send(Deed::Announced),
            Command::Apply(target) => self.apply(target).await,
        }
    }

    pub(super) async fn done(&mut self, deed: Deed) {
        match deed {
            Deed::Checked(candidate, Ok(checked)) => {
                self.step(Event::Checked(candidate.config.resolved, checked)).await;
            }
            Deed::Checked(candidate, Err(refusal)) => self.step(Event::Refused(candidate, refusal)).await,
            Deed::Measured(number, measurement) => {
                if let Some(measuring) = self.measuring.as_mut().filter(|measuring| measuring.number == number) {
                    measuring.uplinks = Some(measurement);
                }
            }
            Deed::Drifted(found) => self.drifted(found),
            Deed::Announced => self.step(Event::Announced).await,
            Deed::Applied { target, applied, branch, why } => {
                for line in &why {
                    tracing::error!("the config is not in force: {line}");
                }
                if let Some(branch) = branch {
                    (self.branch, self.force) = (branch, target);
                }
                // A trial goes back by itself; what has nothing to go back to is tried until it works.
                let failed = applied != Applied::Equal && target == self.machine.running();
                self.again = failed.then(|| clock::now() + AGAIN_EVERY);
                self.step(Event::Applied(target, applied)).await;
                self.confirm_unattended().await;
            }
        }
    }

    /// Head office's part of a measurement that is under way.
    pub(super) fn office_says(&mut self, office: Office) {
        if let Some(measuring) = self.measuring.as_mut() {
            measuring.office = Some(office);
        }
    }

    /// The measurement is whole, or head office has been waited for long enough.
    pub(super) async fn measured(&mut self, now: Instant) {
        let Some(Measuring { moment, uplinks, office, .. }) =
            self.measuring.take_if(|measuring| measuring.until() <= now)
        else {
            return;
        };
        let Some(mut measurement) = uplinks else { return };
        measurement.around.office = office.unwrap_or(Office::Silent);
        self.step(Event::Measured(moment, *measurement)).await;
    }

    /// Steps 9 to 11.
    async fn check(&mut self, candidate: Candidate) {
        let running = Arc::clone(&self.branch);
        let checked = self.load(candidate.config).await.map(|branch| content::checked(&running, &branch));
        self.send(Deed::Checked(candidate, checked));
    }

    async fn measure(&mut self, moment: Moment) {
        let checks = self.site_checks().await;
        let now = clock::now();
        let office = self.enrolment.is_none().then_some(Office::Silent);
        self.measurements += 1;
        let number = self.measurements;
        self.measuring = Some(Measuring { number, moment, until: now + OFFICE_WITHIN, uplinks: None, office });
        if office.is_none() {
            self.errands.want(Task::Fresh, now);
        }
        let (branch, parts, deeds) = (Arc::clone(&self.branch), self.parts.clone(), self.deeds.clone());
        tokio::spawn(async move {
            let (reply, status) = tokio::sync::oneshot::channel();
            parts.driver.send(Ask::Status(reply)).await.ok();
            let Ok(status) = status.await else { return };
            let measurement = measure(&branch, &checks, &status, &parts.looks, Office::Silent).await;
            deeds.send(Deed::Measured(number, Box::new(measurement))).await.ok();
        });
    }

    /// What must work by the candidate, whichever config is in force: the evidence of all three moments is about the same.
    async fn site_checks(&mut self) -> Arc<[Check]> {
        let Some(config) = self.machine.state().candidate().map(|candidate| candidate.config) else {
            return Arc::from([]);
        };
        if let Some((known, checks)) = &self.site_checks
            && *known == config.resolved
        {
            return Arc::clone(checks);
        }
        let Ok(branch) = self.load(config).await else { return Arc::from([]) };
        let checks: Arc<[Check]> = branch.apply.must_work.into();
        self.site_checks = Some((config.resolved, Arc::clone(&checks)));
        checks
    }

    /// By verifying and resolving again what was accepted: the same bytes give the same config.
    pub(super) async fn apply(&mut self, target: Target) {
        let branch = match target {
            Target::Safe => Ok(Arc::clone(&self.safe)),
            Target::Config(config) => self.load(config).await.map(Arc::new),
        };
        let mut branch = match branch {
            Ok(branch) => branch,
            Err(refusal) => {
                let why = vec![format!("what was stored of it is refused: {refusal}")];
                self.send(Deed::Applied { target, applied: Applied::StepFailed, branch: None, why });
                return;
            }
        };
        if let Err(error) = super::super::marks::keep(&mut Arc::make_mut(&mut branch).gateway, &self.marks) {
            tracing::warn!("numbers of uplinks may change with the next start: {error}");
        }
        let (parts, deeds, digest) = (self.parts.clone(), self.deeds.clone(), digest(&target));
        self.turns.next(async move |superseded| {
            let Some((applied, why)) = parts.apply(&branch, digest, superseded).await else { return };
            let branch = (applied != Applied::StepFailed).then_some(branch);
            deeds.send(Deed::Applied { target, applied, branch, why }).await.ok();
        });
    }

    /// The config that these digests stand for.
    async fn load(&mut self, config: Config) -> Result<Branch, Refusal> {
        let loaded = self.on_disk(move |store| Ok(load(store, &config))).await;
        loaded.unwrap_or_else(|error| {
            tracing::error!("{}", chain(&error));
            Err(Refusal::DigestDiffers)
        })
    }

    /// There is always room: each command is answered once.
    fn send(&self, deed: Deed) {
        self.deeds.try_send(deed).ok();
    }
}

/// As in the status: the first 16 hex digits.
pub(super) fn digest(target: &Target) -> String {
    match target {
        Target::Safe => String::new(),
        Target::Config(config) => config.resolved.to_string().chars().take(16).collect(),
    }
}

pub(super) fn load(store: &Store<Folder>, config: &Config) -> Result<Branch, Refusal> {
    let get = |digest| match store.get(digest) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(Refusal::DigestDiffers),
        Err(error) => {
            tracing::error!("{}", chain(&error));
            Err(Refusal::DigestDiffers)
        }
    };
    if config.is_local() {
        return super::local::parse(&get(&config.assignment)?);
    }
    let [assignment, standard, site] = [get(&config.assignment)?, get(&config.standard)?, get(&config.site)?];
    let blobs = Blobs { standard: &standard, site: &site };
    let complete = verify::stored(&assignment, &config.assignment, blobs, &NoKey, &Known)?;
    let prepared = verify::prepare(&complete, &Known)?;
    prepared.resolved.branch().map_err(|_| Refusal::InvalidConfig)
}
