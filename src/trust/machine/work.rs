//! What every transition needs: the kept data, the commands, and the moves that several states share.

use std::time::Duration;

use super::event::{Advance, Command, Conditions, Save, Target, Transition};
use super::reason::{Reason, Verdict};
use super::record::{Candidate, Config, Keep, LastReturn};
use super::state::{Fetched, Idle, Phase, Quarantine, RollingBack, Stage, State};
use super::{ANSWER_LIMIT, Machine, RETRY_FIRST, RETRY_MOST, RETURN_EVERY, StateName};
use crate::time::Instant;
use crate::trust::document::Seconds;

pub(super) struct Work {
    pub(super) keep: Keep,
    pub(super) conditions: Option<Conditions>,
    pub(super) now: Instant,
    commands: Vec<Command>,
    save: Option<Save>,
    reason: Option<(Reason, Option<Verdict>)>,
    about: Option<Candidate>,
}

impl Work {
    pub(super) fn new(keep: Keep, conditions: Option<Conditions>, now: Instant) -> Self {
        Self { keep, conditions, now, commands: Vec::new(), save: None, reason: None, about: None }
    }

    pub(super) fn finish(self, before: StateName, state: State, build: Seconds) -> Advance {
        let Self { keep, conditions, commands, save, reason, about, .. } = self;
        let to = state.name();
        let transition = (before != to || reason.is_some()).then(|| Transition {
            from: before,
            to,
            candidate: about.or(state.candidate().copied()),
            reason: reason.map(|(reason, _)| reason),
            verdict: reason.and_then(|(_, verdict)| verdict),
            attempt: keep.attempts,
        });
        Advance { machine: Machine { state, keep, build, conditions }, save, commands, transition }
    }

    pub(super) fn command(&mut self, command: Command) {
        self.commands.push(command);
    }

    /// `First` wins over `Best`.
    pub(super) fn save(&mut self, save: Save) {
        if self.save != Some(Save::First) {
            self.save = Some(save);
        }
    }

    /// A verified assignment raises its floor, whatever becomes of it.
    pub(super) fn accept(&mut self, candidate: &Candidate) {
        let before = self.keep.floors;
        if !candidate.operator {
            self.keep.floors.raise_assignment(candidate.config.assigned, candidate.config.assignment);
        }
        if self.keep.floors != before {
            self.save(Save::Best);
        }
    }

    /// Starts with a candidate, from its check on. What is known of another content does not count for it.
    pub(super) fn begin(&mut self, candidate: Candidate) -> State {
        self.keep.next = None;
        self.keep.attempts = 0;
        self.keep.retries = 0;
        self.again(candidate)
    }

    /// As if it had never come: the next offer of it is verified anew.
    pub(super) fn forget(&mut self) -> State {
        self.keep.next = None;
        self.save(Save::First);
        State::Idle(Idle { retry: None })
    }

    /// The same without forgetting how often it failed.
    pub(super) fn again(&mut self, candidate: Candidate) -> State {
        self.command(Command::Check(candidate));
        self.save(Save::First);
        State::Fetched(Fetched {
            candidate,
            stage: Stage::Checking(self.now + ANSWER_LIMIT),
            since: self.now,
            waited: Duration::ZERO,
            saved_at: self.now,
            looked_at: self.now,
        })
    }

    /// Keeps a newer assignment for later, the newest only.
    pub(super) fn remember(&mut self, candidate: Candidate) {
        self.keep.next = Some(candidate);
        self.save(Save::Best);
    }

    /// The candidate is what this branch runs from now on. If something newer waits, it is next.
    pub(super) fn commit(&mut self, candidate: Candidate) -> State {
        let config = candidate.config;
        if !candidate.operator {
            self.keep.floors.raise_standard(config.released, config.created_at);
        }
        self.keep.good = Some(config);
        self.keep.attempts = 0;
        self.keep.retries = 0;
        self.keep.last = None;
        self.save(Save::First);
        self.about = Some(candidate);
        self.idle()
    }

    /// Idle, or straight on to what waits.
    pub(super) fn idle(&mut self) -> State {
        match self.keep.next.take() {
            Some(next) if self.keep.good.is_none_or(|good| good.assignment != next.config.assignment) => {
                self.begin(next)
            }
            Some(_) | None => State::Idle(Idle { retry: None }),
        }
    }

    /// Takes what is in force back to `to`, which is the boot default from now on.
    pub(super) fn back(&mut self, candidate: Candidate, to: Option<Config>, reason: Reason) -> State {
        self.keep.good = to;
        self.save(Save::Best);
        self.command(Command::Apply(Target::from(to)));
        self.reason = Some((reason, None));
        State::RollingBack(RollingBack { candidate, reason, phase: Phase::Undoing(self.now + RETURN_EVERY) })
    }

    pub(super) fn quarantine(&mut self, candidate: Candidate, reason: Reason, verdict: Option<Verdict>) -> State {
        self.returned(candidate, reason, verdict);
        self.save(Save::Best);
        State::Quarantine(Quarantine { candidate, reason, verdict })
    }

    /// Idle with another try later: 10 min, doubling to a day.
    pub(super) fn later(&mut self, candidate: Candidate, reason: Reason, verdict: Verdict) -> State {
        self.returned(candidate, reason, Some(verdict));
        let doubled = RETRY_FIRST.saturating_mul(1_u32.checked_shl(self.keep.retries.into()).unwrap_or(u32::MAX));
        self.keep.retries = self.keep.retries.saturating_add(1);
        self.save(Save::Best);
        State::Idle(Idle { retry: Some((candidate, self.now + doubled.min(RETRY_MOST))) })
    }

    pub(super) fn returned(&mut self, candidate: Candidate, reason: Reason, verdict: Option<Verdict>) {
        self.reason = Some((reason, verdict));
        self.about = Some(candidate);
        self.keep.last = Some(LastReturn {
            resolved: candidate.config.resolved,
            released: candidate.config.released,
            reason,
            verdict,
        });
    }

    /// Whether the candidate is what the branch runs without it.
    pub(super) fn is_good(&self, candidate: &Candidate) -> bool {
        self.keep.good.is_some_and(|good| good.resolved == candidate.config.resolved)
    }
}
