//! Soak: confirmed and already the boot default, but still watched; `previous` is the way back.

use std::time::Duration;

use super::event::{Command, Event};
use super::evidence::{Judgement, Moment};
use super::reason::Reason;
use super::state::{Soak, State};
use super::work::Work;
use super::{ANSWER_LIMIT, MEASURE_EVERY, SOAK_EVERY, STORE_EVERY};

pub(super) fn soak(work: &mut Work, mut soak: Soak, event: Event) -> State {
    match event {
        Event::Measured(Moment::Trial, measurement) => {
            work.keep.evidence.set(Moment::Trial, &measurement);
            measured(work, soak)
        }
        Event::Tick => due(work, soak),
        Event::Fetched(newer) => {
            work.accept(&newer);
            if newer.config.assignment == soak.candidate.config.assignment {
                return State::Soak(soak);
            }
            work.remember(newer);
            match work.keep.previous.is_some_and(|previous| previous.resolved == newer.config.resolved) {
                true => undo(work, &soak, Reason::Reassigned),
                false => State::Soak(soak),
            }
        }
        Event::Refused(other, _) => {
            work.accept(&other);
            State::Soak(soak)
        }
        Event::RollBack => undo(work, &soak, Reason::OperatorRollback),
        Event::StoreFailed => {
            soak.keep_after = work.now + STORE_EVERY;
            State::Soak(soak)
        }
        Event::Conditions(conditions) => {
            work.conditions = Some(conditions);
            State::Soak(soak)
        }
        Event::Measured(Moment::Before | Moment::After, _)
        | Event::Checked(..)
        | Event::Announced
        | Event::Applied(..)
        | Event::Confirm
        | Event::Retry
        | Event::OverrideEnded => State::Soak(soak),
    }
}

/// What was lost must come back within `soft`; a roll-out that was halted meanwhile is no loss.
fn measured(work: &mut Work, mut soak: Soak) -> State {
    let whole = match work.keep.evidence.judge() {
        Judgement::Confirmed | Judgement::Missing { reason: Reason::HeldByOffice, .. } => true,
        Judgement::Missing { .. } => false,
    };
    if whole {
        soak.lost_since = None;
        soak.healthy_since.get_or_insert(work.now);
        soak.measure_at = work.now + SOAK_EVERY;
        return due(work, soak);
    }
    soak.healthy_since = None;
    soak.measure_at = work.now + MEASURE_EVERY;
    let since = *soak.lost_since.get_or_insert(work.now);
    let soft = Duration::from_secs(soak.candidate.timers.soft.into());
    match work.now.since(since) >= soft {
        true => undo(work, &soak, Reason::BaselineLost),
        false => State::Soak(soak),
    }
}

fn due(work: &mut Work, mut soak: Soak) -> State {
    if soak.done().is_some_and(|done| work.now >= done) {
        return work.commit(soak.candidate);
    }
    if work.now >= soak.measure_at {
        work.command(Command::Measure(Moment::Trial));
        soak.measure_at = work.now + ANSWER_LIMIT;
    }
    State::Soak(soak)
}

pub(super) fn undo(work: &mut Work, soak: &Soak, reason: Reason) -> State {
    let previous = work.keep.previous.take();
    work.back(soak.candidate, previous, reason)
}
