//! The task that keeps the branch on the config that head office signed. It verifies what `front` brings, runs the
//! commit-confirm machine, writes its journal, and carries out its commands; it decides nothing that the machine or the
//! verification does not say.

mod asking;
mod content;
mod deeds;
mod drift;
mod errands;
mod figures;
mod generation;
pub(super) mod identity;
mod local;
mod measure;
mod office;
mod opening;
mod pacing;
mod report;
mod turns;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::clock;
use super::driver::Ask;
use super::hands::chain;
use crate::config::Branch;
use crate::config::model::{Check, Slots};
use crate::control::errand::Lane;
use crate::control::io::Incoming;
use crate::control::protocol::{Refusal, RefusalKind, Reply, Request};
use crate::control::snapshot::ConfigFigures;
use crate::control::status::Status;
use crate::time::Instant;
use crate::trust::digest::Digest;
use crate::trust::document::Document as _;
use crate::trust::document::{Seconds, TransitionKind, TransitionReceipt};
use crate::trust::freshness::Nonces;
use crate::trust::machine::{self, Advance, Command, Event, Machine, Save, State, Target, Transition};
use crate::trust::root::TrustedRoot;
use crate::trust::store::{Folder, Store, StoreError};
#[cfg(feature = "lab")]
pub use content::weigh;
use deeds::Deed;
use drift::Watch;
use errands::{Errands, Task};
pub(super) use generation::Parts;
use identity::{Claim, Device, Enrolment};
use office::Offered;
pub use opening::OpenError;
pub(super) use opening::Opened;
use pacing::Pacing;
use turns::Turns;

/// Requests that may wait: both lanes of `front`, and people.
pub(super) const REQUESTS: usize = 32;
/// How things are is asked that often.
const CONDITIONS_EVERY: Duration = Duration::from_mins(1);
/// The same while lines come up after a start.
const COMING_UP_EVERY: Duration = Duration::from_secs(1);
/// Transitions that are kept for `config history`.
const HISTORY: usize = 64;

/// A transition, for people.
#[derive(Clone, Copy, Debug)]
struct Past {
    at: Instant,
    transition: Transition,
}

pub(super) struct Keeper {
    /// `None` only while a write is under way in another thread.
    store: Option<Store<Folder>>,
    folder: PathBuf,
    machine: Machine,
    device: Device,
    claim: Option<Claim>,
    enrolment: Option<Enrolment>,
    root: Option<TrustedRoot>,
    nonces: Nonces,
    /// Requests signed in this boot.
    counted: u32,
    errands: Errands,
    /// Of both lanes.
    news_pacing: Pacing,
    work_pacing: Pacing,
    offered: Option<Offered>,
    /// Where the numbers of uplinks are kept.
    marks: PathBuf,
    /// The file that the daemon was started with: what runs while nothing else does.
    safe: Arc<Branch>,
    safe_text: String,
    /// A file that was applied by somebody who will not be there to confirm it. Forgotten with the process: then it is
    /// undone, which is safe.
    unattended: Option<Digest>,
    /// In force, as far as it could be put in force.
    branch: Arc<Branch>,
    /// What that is. While a change is being applied, still the config from before.
    force: Target,
    turns: Turns,
    /// What should run could not be put in force, early at boot or on a slow box: when it is tried again.
    again: Option<Instant>,
    measuring: Option<deeds::Measuring>,
    /// Begun since the start.
    measurements: u64,
    at_start: Option<Transition>,
    /// Of the candidate with this digest.
    site_checks: Option<(Digest, Arc<[Check]>)>,
    drift: Watch,
    refused: Option<String>,
    history: VecDeque<Past>,
    /// When the machine is told next how things are.
    conditions_at: Instant,
    /// Counted since the start; what the driver was told of it last.
    figures: ConfigFigures,
    figures_told: Option<ConfigFigures>,
    parts: Parts,
    deeds: mpsc::Sender<Deed>,
}

impl Keeper {
    /// Until the daemon ends.
    pub(super) async fn run(
        mut self,
        begin: Vec<Command>,
        mut requests: mpsc::Receiver<Incoming>,
        mut done: mpsc::Receiver<Deed>,
    ) {
        self.begin(begin).await;
        loop {
            let deadline = self.deadline();
            // Each branch is safe to cancel: what was not received stays in its channel.
            tokio::select! {
                biased;
                Some(deed) = done.recv() => self.done(deed).await,
                request = requests.recv() => match request {
                    Some(incoming) => self.asked(incoming).await,
                    None => return,
                },
                () = self.parts.stirred.notified() => self.drift.stir(clock::now()),
                () = sleep(deadline.since(clock::now())) => {}
            }
            self.due().await;
            self.tell().await;
        }
    }

    /// What the machine wanted at the start, and what is in force by then.
    async fn begin(&mut self, commands: Vec<Command>) {
        if let Some(transition) = self.at_start.take() {
            self.passed(transition);
        }
        let applies = commands.iter().any(|command| matches!(command, Command::Apply(_)));
        // Routes and filter are in force already; addresses and services may not be.
        if !applies && self.parts.services.is_some() {
            self.apply(self.machine.running()).await;
        }
        for command in commands {
            self.command(command).await;
        }
        self.plan_office(clock::now());
        self.tell().await;
    }

    fn deadline(&self) -> Instant {
        let machine = self.machine.deadline().unwrap_or(Instant::NEVER);
        let measuring = self.measuring.as_ref().map_or(Instant::NEVER, deeds::Measuring::until);
        let drift = self.drift_deadline();
        let again = self.again.unwrap_or(Instant::NEVER);
        machine.min(again).min(self.errands.deadline()).min(measuring).min(drift).min(self.conditions_at)
    }

    async fn due(&mut self) {
        let now = clock::now();
        if now >= self.conditions_at {
            self.conditions_at = now + CONDITIONS_EVERY;
            if let Some(status) = self.status().await {
                let conditions = measure::conditions(&self.branch, &status);
                if conditions.coming_up {
                    self.conditions_at = now + COMING_UP_EVERY;
                }
                self.step(Event::Conditions(conditions)).await;
            }
        }
        if self.machine.deadline().is_some_and(|at| at <= now) {
            self.step(Event::Tick).await;
        }
        if self.again.take_if(|at| *at <= now).is_some() && matches!(self.machine.state(), State::Idle(_)) {
            self.apply(self.machine.running()).await;
        }
        self.measured(now).await;
        self.look_for_drift(now);
        self.errands.release(now);
        for lane in [Lane::News, Lane::Work] {
            if let Some(task) = self.errands.next(lane, now) {
                self.hand_out(task, now);
            }
        }
    }

    async fn asked(&mut self, Incoming { request, peer, reply }: Incoming) {
        let now = clock::now();
        let by = peer.by();
        let answer = match request {
            Request::Errand { lane } if self.enrolment.is_some() => {
                self.errands.asked(lane, reply, now);
                return;
            }
            Request::Errand { .. } => {
                Reply::Refused(Refusal::new(RefusalKind::NotNow, "this gateway belongs to no head office"))
            }
            Request::Deliver { id, part } => {
                let (answer, outcome) = self.errands.deliver(id, part);
                reply.send(answer.into()).ok();
                if let Some(outcome) = outcome {
                    self.fetched(outcome).await;
                }
                return;
            }
            Request::ConfigState => Reply::ConfigState(Box::new(self.state(now))),
            Request::ConfigShow => Reply::InForce(Box::new(self.written())),
            Request::ConfigApply { text, unattended } => self.apply_file(text, unattended, &by).await,
            Request::ConfigConfirm => self.person(Event::Confirm, "confirmed", &by).await,
            Request::ConfigRollBack => self.person(Event::RollBack, "taken back", &by).await,
            Request::ConfigRetry => self.person(Event::Retry, "tried again", &by).await,
            Request::Status
            | Request::Snapshot
            | Request::Events { .. }
            | Request::ConfigInfo
            | Request::Version
            | Request::Use { .. }
            | Request::UseAutomatic
            | Request::Lock
            | Request::Unlock
            | Request::Drill { .. }
            | Request::Ledger { .. } => {
                Reply::Refused(Refusal::new(RefusalKind::Failed, "not a question about the config"))
            }
        };
        reply.send(answer.into()).ok();
    }

    /// The config that runs, as its authors wrote it: which mark a line got is the daemon's own affair.
    fn written(&self) -> Branch {
        let mut branch = Branch::clone(&self.branch);
        branch.gateway.slots = Slots::default();
        branch
    }

    async fn person(&mut self, event: Event, what: &str, by: &str) -> Reply {
        let before = self.machine.clone();
        self.step(event).await;
        if self.machine == before {
            let state = self.machine.state().name().name();
            let refusal = Refusal::new(RefusalKind::NotNow, format!("nothing can be {what} now: the state is {state}"));
            return Reply::Refused(refusal.hint("causeway config why"));
        }
        tracing::info!("the config is {what} by {by}");
        Reply::Done(format!("the config is {what}; `causeway config why` tells how it goes on"))
    }

    async fn status(&self) -> Option<Box<Status>> {
        let (reply, status) = oneshot::channel();
        self.parts.driver.send(Ask::Status(reply)).await.ok()?;
        status.await.ok()
    }

    // --- the machine

    async fn step(&mut self, event: Event) {
        let now = clock::now();
        let advance = self.machine.clone().step(event, now);
        if !self.follow(advance).await {
            // The advance has not happened; that the disk refuses is all the machine is told.
            let advance = self.machine.clone().step(Event::StoreFailed, now);
            self.follow(advance).await;
        }
    }

    /// Record first, then commands. `false`: the record could not be written and should have been.
    async fn follow(&mut self, advance: Advance) -> bool {
        let Advance { machine, save, commands, transition } = advance;
        if let Some(save) = save
            && let Err(error) = self.save(&machine).await
        {
            tracing::error!("the state of the config is not kept: {}", chain(&error));
            if save == Save::First {
                return false;
            }
        }
        self.machine = machine;
        if let Some(transition) = transition {
            self.passed(transition);
        }
        for command in commands {
            self.command(command).await;
        }
        true
    }

    /// In a thread of its own: a disk may take its time, and probing must not wait for it.
    async fn save(&mut self, machine: &Machine) -> Result<(), StoreError> {
        let record = machine.record(clock::now());
        self.on_disk(move |store| store.save(&record)).await
    }

    async fn on_disk<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Store<Folder>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = |what| StoreError::Disk {
            what,
            name: "the store".to_owned(),
            source: std::io::Error::other("it was lost"),
        };
        let mut store = self.store.take().ok_or_else(|| gone("use"))?;
        let worked = tokio::task::spawn_blocking(move || {
            let result = work(&mut store);
            (store, result)
        });
        let (store, result) = worked.await.map_err(|_| gone("wait for"))?;
        self.store = Some(store);
        result
    }

    fn passed(&mut self, transition: Transition) {
        tracing::info!("{}", report::sentence(&transition));
        self.count_rollback(&transition);
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(Past { at: clock::now(), transition });
        let Some(candidate) = transition.candidate.filter(|candidate| !candidate.operator) else { return };
        let kind = match transition.reason {
            Some(reason) => TransitionKind::Back { reason, verdict: transition.verdict },
            None => TransitionKind::Forward,
        };
        let receipt = TransitionReceipt {
            tenant: self.tenant(),
            device: self.device.id,
            counter: self.count(),
            assignment: candidate.config.assigned,
            resolved: candidate.config.resolved,
            from: transition.from,
            to: transition.to,
            kind,
            attempt: transition.attempt,
        };
        let signed = receipt.draft().ok().and_then(|draft| draft.sign(&self.device.signer).encode().ok());
        let announces = transition.to == machine::StateName::Ready;
        if let Some(bytes) = signed.filter(|_| self.enrolment.is_some()) {
            self.errands.want(Task::Receipt { bytes, announces }, clock::now());
        }
    }

    /// Rises with each use, also over restarts.
    fn count(&mut self) -> u64 {
        self.counted = self.counted.saturating_add(1);
        (u64::from(self.device.boot) << 32) | u64::from(self.counted)
    }

    /// What an unset clock cannot be below.
    fn build() -> Seconds {
        Seconds::new(clock::BUILT).unwrap_or_default()
    }
}
