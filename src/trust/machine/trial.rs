//! Applying and Trial: the candidate is in force, the good config is the boot default.

use super::event::{Applied, Command, Event, Save, Target};
use super::evidence::{Judgement, Moment};
use super::reason::Reason;
use super::record::Candidate;
use super::state::{Applying, Soak, State, Trial};
use super::work::Work;
use super::{ANSWER_LIMIT, MEASURE_EVERY, REPAIRS_MOST};
use crate::time::Instant;

pub(super) fn applying(work: &mut Work, mut applying: Applying, event: Event) -> State {
    let Applying { candidate, until, repairs } = applying;
    match event {
        Event::Applied(Target::Config(config), applied) if config == candidate.config => match applied {
            Applied::Equal => begin(work, candidate),
            Applied::StepFailed => undo(work, candidate, Reason::StepFailed),
            Applied::Differs if repairs >= REPAIRS_MOST => undo(work, candidate, Reason::ReadbackDiffers),
            Applied::Differs => {
                applying.repairs += 1;
                work.command(Command::Apply(Target::Config(candidate.config)));
                State::Applying(applying)
            }
        },
        Event::Tick if work.now >= until => undo(work, candidate, Reason::ApplyTimeout),
        Event::Fetched(newer) => match superseded(work, &candidate, newer) {
            true => undo(work, candidate, Reason::Reassigned),
            false => State::Applying(applying),
        },
        Event::Refused(other, _) => {
            work.accept(&other);
            State::Applying(applying)
        }
        Event::RollBack => undo(work, candidate, Reason::OperatorRollback),
        Event::StoreFailed => undo(work, candidate, Reason::StoreFailed),
        Event::Conditions(conditions) => {
            work.conditions = Some(conditions);
            State::Applying(applying)
        }
        Event::Applied(..)
        | Event::Checked(..)
        | Event::Measured(..)
        | Event::Announced
        | Event::Confirm
        | Event::Retry
        | Event::OverrideEnded
        | Event::Tick => State::Applying(applying),
    }
}

/// The timers start.
fn begin(work: &mut Work, candidate: Candidate) -> State {
    work.save(Save::First);
    work.command(Command::Measure(Moment::Trial));
    State::Trial(Trial { candidate, since: work.now, measure_at: work.now + ANSWER_LIMIT, confirmed: false })
}

pub(super) fn trial(work: &mut Work, mut trial: Trial, event: Event) -> State {
    let candidate = trial.candidate;
    match event {
        Event::Measured(Moment::Trial, measurement) => {
            work.keep.evidence.set(Moment::Trial, &measurement);
            trial.measure_at = work.now + MEASURE_EVERY;
            judge(work, trial)
        }
        Event::Confirm => {
            trial.confirmed = true;
            judge(work, trial)
        }
        Event::Tick => judge(work, trial),
        Event::Fetched(newer) => match superseded(work, &candidate, newer) {
            true => undo_tried(work, &trial, Reason::Reassigned),
            false => State::Trial(trial),
        },
        Event::Refused(other, _) => {
            work.accept(&other);
            State::Trial(trial)
        }
        Event::RollBack => undo_tried(work, &trial, Reason::OperatorRollback),
        Event::StoreFailed => undo_tried(work, &trial, Reason::StoreFailed),
        Event::Conditions(conditions) => {
            work.conditions = Some(conditions);
            State::Trial(trial)
        }
        Event::Measured(Moment::Before | Moment::After, _)
        | Event::Applied(..)
        | Event::Checked(..)
        | Event::Announced
        | Event::Retry
        | Event::OverrideEnded => State::Trial(trial),
    }
}

/// Confirmed, given up, or measured again.
fn judge(work: &mut Work, mut trial: Trial) -> State {
    let judgement = work.keep.evidence.judge();
    let missing = |otherwise| match judgement {
        Judgement::Missing { reason, .. } => reason,
        Judgement::Confirmed => otherwise,
    };
    if judgement == Judgement::Confirmed && (trial.confirmed || !trial.candidate.operator) {
        return keep(work, trial.candidate);
    }
    if work.now >= trial.hard() {
        return undo_tried(work, &trial, missing(Reason::OperatorSilent));
    }
    if trial.operator().is_some_and(|until| work.now >= until) {
        return undo_tried(work, &trial, missing(Reason::OperatorSilent));
    }
    if let Judgement::Missing { reason, worse: true } = judgement
        && work.now >= trial.soft()
    {
        return undo_tried(work, &trial, reason);
    }
    if work.now >= trial.measure_at {
        work.command(Command::Measure(Moment::Trial));
        trial.measure_at = work.now + ANSWER_LIMIT;
    }
    State::Trial(trial)
}

/// From now on the candidate is what a power cut boots.
fn keep(work: &mut Work, candidate: Candidate) -> State {
    work.keep.previous = work.keep.good.replace(candidate.config);
    work.save(Save::First);
    let now = work.now;
    State::Soak(Soak {
        candidate,
        healthy_since: Some(now),
        lost_since: None,
        measure_at: now + super::SOAK_EVERY,
        keep_after: Instant::ORIGIN,
        boots: 0,
    })
}

/// A newer assignment waits; the old content means: back, at once.
fn superseded(work: &mut Work, candidate: &Candidate, newer: Candidate) -> bool {
    work.accept(&newer);
    if newer.config.assignment == candidate.config.assignment {
        return false;
    }
    work.remember(newer);
    work.is_good(&newer)
}

fn undo_tried(work: &mut Work, trial: &Trial, reason: Reason) -> State {
    let tried_for = work.now.since(trial.since).as_secs();
    work.keep.evidence.tried_for = u32::try_from(tried_for).unwrap_or(u32::MAX);
    undo(work, trial.candidate, reason)
}

fn undo(work: &mut Work, candidate: Candidate, reason: Reason) -> State {
    let good = work.keep.good;
    work.back(candidate, good, reason)
}
