//! Idle, Fetched, Ready: nothing is changed yet, the branch runs its good config.

use super::event::{Checked, Command, Disturbance, Event, Save, Target};
use super::evidence::{Evidence, Moment};
use super::reason::{Reason, Verdict};
use super::record::Candidate;
use super::state::{Applying, Fetched, Idle, Ready, Stage, State};
use super::work::Work;
use super::{ANNOUNCE_FOR, ANSWER_LIMIT, APPLY_LIMIT, DEFER_END, DEFER_MOST, DEFER_SAVE, STORE_EVERY};

pub(super) fn idle(work: &mut Work, idle: Idle, event: Event) -> State {
    match event {
        Event::Fetched(candidate) => offered(work, idle, candidate),
        Event::Refused(candidate, refusal) => {
            work.accept(&candidate);
            work.quarantine(candidate, Reason::Refused(refusal), None)
        }
        Event::RollBack => match (work.keep.good, work.keep.previous.take()) {
            (Some(good), Some(previous)) => {
                let undone =
                    Candidate { config: good, expedite: false, operator: good.is_local(), timers: Default::default() };
                work.back(undone, Some(previous), Reason::OperatorRollback)
            }
            (Some(_) | None, previous) => {
                work.keep.previous = previous;
                State::Idle(idle)
            }
        },
        Event::Retry => match idle.retry {
            Some((candidate, _)) => work.again(candidate),
            None => State::Idle(idle),
        },
        Event::Tick => match idle.retry {
            Some((candidate, at)) if work.now >= at => work.again(candidate),
            Some(_) | None => State::Idle(idle),
        },
        Event::StoreFailed => {
            let retry = idle.retry.map(|(candidate, at)| (candidate, at.max(work.now + STORE_EVERY)));
            State::Idle(Idle { retry })
        }
        Event::Conditions(conditions) => {
            work.conditions = Some(conditions);
            State::Idle(idle)
        }
        Event::Checked(..)
        | Event::Measured(..)
        | Event::Announced
        | Event::Applied(..)
        | Event::Confirm
        | Event::OverrideEnded => State::Idle(idle),
    }
}

/// Something else than what runs is a candidate. The same content under a newer number does not shorten a wait.
fn offered(work: &mut Work, idle: Idle, candidate: Candidate) -> State {
    work.accept(&candidate);
    if work.keep.good.is_some_and(|good| good.assignment == candidate.config.assignment) {
        return State::Idle(Idle { retry: None });
    }
    match idle.retry {
        Some((waiting, at)) if waiting.config.resolved == candidate.config.resolved => {
            State::Idle(Idle { retry: Some((candidate, at)) })
        }
        Some(_) | None => work.begin(candidate),
    }
}

pub(super) fn fetched(work: &mut Work, mut fetched: Fetched, event: Event) -> State {
    match event {
        Event::Fetched(candidate) => match replaces(work, &fetched.candidate, &candidate) {
            true => work.begin(candidate),
            false => State::Fetched(fetched),
        },
        Event::Refused(candidate, refusal) => {
            work.accept(&candidate);
            match candidate.config.assignment == fetched.candidate.config.assignment {
                true => work.quarantine(candidate, Reason::Refused(refusal), None),
                false => State::Fetched(fetched),
            }
        }
        Event::Checked(resolved, checked) => match fetched.stage {
            Stage::Checking(_) if resolved == fetched.candidate.config.resolved => {
                fetched.candidate.timers = checked.timers;
                if checked.empty {
                    return work.commit(fetched.candidate);
                }
                consider(work, fetched, checked)
            }
            Stage::Checking(_) | Stage::Waiting(_) | Stage::Measuring(_) => State::Fetched(fetched),
        },
        Event::Conditions(conditions) => {
            work.conditions = Some(conditions);
            waiting(work, fetched)
        }
        Event::Retry => match fetched.stage {
            Stage::Waiting(_) => measure(work, fetched),
            Stage::Checking(_) | Stage::Measuring(_) => State::Fetched(fetched),
        },
        Event::Measured(Moment::Before, measurement) => match fetched.stage {
            Stage::Measuring(_) => {
                work.keep.evidence = Evidence::begin(&measurement);
                work.command(Command::Announce(fetched.candidate));
                State::Ready(Ready { candidate: fetched.candidate, until: work.now + ANNOUNCE_FOR })
            }
            Stage::Checking(_) | Stage::Waiting(_) => State::Fetched(fetched),
        },
        Event::RollBack => work.quarantine(fetched.candidate, Reason::OperatorRollback, Some(Verdict::Withdrawn)),
        Event::Tick => due(work, fetched),
        Event::Measured(Moment::Trial | Moment::After, _)
        | Event::Announced
        | Event::Applied(..)
        | Event::Confirm
        | Event::StoreFailed
        | Event::OverrideEnded => State::Fetched(fetched),
    }
}

/// A newer assignment takes the place of one that was not applied yet.
fn replaces(work: &mut Work, old: &Candidate, new: &Candidate) -> bool {
    work.accept(new);
    new.config.assignment != old.config.assignment
}

fn due(work: &mut Work, mut fetched: Fetched) -> State {
    match fetched.stage {
        Stage::Checking(again) if work.now >= again => {
            work.command(Command::Check(fetched.candidate));
            fetched.stage = Stage::Checking(work.now + ANSWER_LIMIT);
            State::Fetched(fetched)
        }
        Stage::Measuring(again) if work.now >= again => measure(work, fetched),
        Stage::Waiting(_) => {
            if work.now.since(fetched.saved_at) >= DEFER_SAVE {
                fetched.saved_at = work.now;
                work.save(Save::Best);
            }
            waiting(work, fetched)
        }
        Stage::Checking(_) | Stage::Measuring(_) => State::Fetched(fetched),
    }
}

fn waiting(work: &mut Work, fetched: Fetched) -> State {
    match fetched.stage {
        Stage::Waiting(checked) => consider(work, fetched, checked),
        Stage::Checking(_) | Stage::Measuring(_) => State::Fetched(fetched),
    }
}

/// Now, or at a better moment.
fn consider(work: &mut Work, mut fetched: Fetched, checked: Checked) -> State {
    if may_go(work, &fetched, checked) {
        return measure(work, fetched);
    }
    fetched.stage = Stage::Waiting(checked);
    fetched.looked_at = work.now;
    State::Fetched(fetched)
}

fn may_go(work: &Work, fetched: &Fetched, checked: Checked) -> bool {
    let Checked { disturbance, defer, .. } = checked;
    // A line that is missing in the baseline may be cut off by the change, and nobody would miss it.
    let Some(conditions) = work.conditions.filter(|conditions| !conditions.coming_up) else { return false };
    if fetched.candidate.expedite || disturbance == Disturbance::None || defer.waits_for_nothing() {
        return true;
    }
    let waited = fetched.waited(work.now);
    if waited >= DEFER_END {
        return true;
    }
    !defer.blocks(conditions) || (waited >= DEFER_MOST && conditions.quietest_hour)
}

fn measure(work: &mut Work, mut fetched: Fetched) -> State {
    work.command(Command::Measure(Moment::Before));
    fetched.stage = Stage::Measuring(work.now + ANSWER_LIMIT);
    State::Fetched(fetched)
}

pub(super) fn ready(work: &mut Work, mut ready: Ready, event: Event) -> State {
    match event {
        Event::Fetched(candidate) => match replaces(work, &ready.candidate, &candidate) {
            true => work.begin(candidate),
            false => State::Ready(ready),
        },
        Event::Refused(candidate, refusal) => {
            work.accept(&candidate);
            match candidate.config.assignment == ready.candidate.config.assignment {
                true => work.quarantine(candidate, Reason::Refused(refusal), None),
                false => State::Ready(ready),
            }
        }
        Event::Announced => apply(work, ready),
        Event::Tick if work.now >= ready.until => apply(work, ready),
        Event::RollBack => work.quarantine(ready.candidate, Reason::OperatorRollback, Some(Verdict::Withdrawn)),
        Event::StoreFailed => {
            ready.until = work.now + STORE_EVERY;
            State::Ready(ready)
        }
        Event::Conditions(conditions) => {
            work.conditions = Some(conditions);
            State::Ready(ready)
        }
        Event::Checked(..)
        | Event::Measured(..)
        | Event::Applied(..)
        | Event::Confirm
        | Event::Retry
        | Event::OverrideEnded
        | Event::Tick => State::Ready(ready),
    }
}

/// The record that says so is written first: that is the way back.
fn apply(work: &mut Work, ready: Ready) -> State {
    work.keep.attempts = work.keep.attempts.saturating_add(1);
    work.save(Save::First);
    work.command(Command::Apply(Target::Config(ready.candidate.config)));
    State::Applying(Applying { candidate: ready.candidate, until: work.now + APPLY_LIMIT, repairs: 0 })
}
