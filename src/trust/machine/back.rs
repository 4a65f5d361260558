//! RollingBack, Quarantine, Override: the old config is on its way or in force again.

use super::event::{Applied, Command, Event, Target};
use super::evidence::Moment;
use super::reason::{Class, Reason, Verdict};
use super::state::{Override, Phase, Quarantine, RollingBack, State};
use super::work::Work;
use super::{ANSWER_LIMIT, REBOOTS_MOST, RETURN_EVERY, SETTLE, STORE_EVERY, VERDICTS_MOST};

pub(super) fn rolling_back(work: &mut Work, mut back: RollingBack, event: Event) -> State {
    match event {
        Event::Applied(target, applied) if target == Target::from(work.keep.good) => match (&back.phase, applied) {
            (Phase::Undoing(_), Applied::Equal) => {
                back.phase = Phase::Settling(work.now + SETTLE);
                State::RollingBack(back)
            }
            (Phase::Undoing(_), Applied::StepFailed | Applied::Differs) => {
                back.phase = Phase::Undoing(work.now + RETURN_EVERY);
                State::RollingBack(back)
            }
            (Phase::Settling(_) | Phase::Measuring(..), Applied::Equal | Applied::StepFailed | Applied::Differs) => {
                State::RollingBack(back)
            }
        },
        Event::Measured(Moment::After, measurement) => match back.phase {
            Phase::Measuring(..) => {
                work.keep.evidence.set(Moment::After, &measurement);
                let verdict = verdict(work, back.reason);
                end(work, &back, verdict)
            }
            Phase::Undoing(_) | Phase::Settling(_) => State::RollingBack(back),
        },
        Event::Tick => due(work, back),
        Event::StoreFailed => {
            if let Phase::Measuring(times, _) = back.phase {
                back.phase = Phase::Measuring(times, work.now + STORE_EVERY);
            }
            State::RollingBack(back)
        }
        Event::Fetched(newer) => {
            work.accept(&newer);
            if newer.config.assignment != back.candidate.config.assignment {
                work.remember(newer);
            }
            State::RollingBack(back)
        }
        Event::Refused(other, _) => {
            work.accept(&other);
            State::RollingBack(back)
        }
        Event::Conditions(conditions) => {
            work.conditions = Some(conditions);
            State::RollingBack(back)
        }
        Event::Applied(..)
        | Event::Measured(Moment::Before | Moment::Trial, _)
        | Event::Checked(..)
        | Event::Announced
        | Event::Confirm
        | Event::RollBack
        | Event::Retry
        | Event::OverrideEnded => State::RollingBack(back),
    }
}

fn due(work: &mut Work, mut back: RollingBack) -> State {
    match back.phase {
        Phase::Undoing(again) if work.now >= again => {
            work.command(Command::Apply(Target::from(work.keep.good)));
            back.phase = Phase::Undoing(work.now + RETURN_EVERY);
        }
        Phase::Settling(until) if work.now >= until => {
            work.command(Command::Measure(Moment::After));
            back.phase = Phase::Measuring(1, work.now + ANSWER_LIMIT);
        }
        Phase::Measuring(times, again) if work.now >= again => {
            if times >= VERDICTS_MOST {
                let verdict = verdict(work, back.reason);
                return end(work, &back, verdict);
            }
            work.command(Command::Measure(Moment::After));
            back.phase = Phase::Measuring(times + 1, work.now + ANSWER_LIMIT);
        }
        Phase::Undoing(_) | Phase::Settling(_) | Phase::Measuring(..) => {}
    }
    State::RollingBack(back)
}

/// Whose fault it was. What the evidence cannot tell, the reason does.
fn verdict(work: &Work, reason: Reason) -> Verdict {
    match reason {
        Reason::StoreFailed => Verdict::External,
        Reason::HeldByOffice | Reason::OperatorSilent => Verdict::Withdrawn,
        Reason::DaemonRestarted if work.keep.attempts < REBOOTS_MOST => Verdict::External,
        Reason::DaemonRestarted
        | Reason::Refused(_)
        | Reason::StepFailed
        | Reason::ApplyTimeout
        | Reason::ReadbackDiffers
        | Reason::NoPathProofOnUplink
        | Reason::TargetsLost
        | Reason::SiteCheckLost
        | Reason::LanLost
        | Reason::OfficeSilent
        | Reason::NothingMeasured
        | Reason::RebootInApply
        | Reason::RebootInTrial
        | Reason::RebootInSoak
        | Reason::BaselineLost
        | Reason::OperatorRollback
        | Reason::Reassigned => match reason.class() {
            Class::NoConfirm | Class::Health => work.keep.evidence.verdict(),
            Class::Operator => Verdict::Withdrawn,
            Class::Refused | Class::Apply | Class::Readback | Class::Reboot => Verdict::Config,
        },
    }
}

/// Where the way back ends. A newer assignment of other content goes on from here; one of the same content shares the
/// fate of what was tried.
fn end(work: &mut Work, back: &RollingBack, verdict: Verdict) -> State {
    let RollingBack { mut candidate, reason, .. } = *back;
    if let Some(next) = work.keep.next {
        if next.config.resolved != candidate.config.resolved {
            work.returned(candidate, reason, Some(verdict));
            return work.begin(next);
        }
        work.keep.next = None;
        candidate = next;
    }
    match (verdict, reason) {
        (Verdict::External, _) | (Verdict::Withdrawn, Reason::HeldByOffice) => work.later(candidate, reason, verdict),
        (Verdict::Config | Verdict::Withdrawn, _) => work.quarantine(candidate, reason, Some(verdict)),
    }
}

pub(super) fn quarantine(work: &mut Work, mut quarantine: Quarantine, event: Event) -> State {
    let same = |other: &super::Candidate| other.config.resolved == quarantine.candidate.config.resolved;
    match event {
        Event::Fetched(candidate) => {
            work.accept(&candidate);
            if !same(&candidate) {
                return work.begin(candidate);
            }
            quarantine.candidate = candidate;
            State::Quarantine(quarantine)
        }
        Event::Refused(candidate, refusal) => {
            work.accept(&candidate);
            match same(&candidate) {
                true => State::Quarantine(quarantine),
                false => work.quarantine(candidate, Reason::Refused(refusal), None),
            }
        }
        // What was refused is not believed: its blobs come again, and are verified from the first step on.
        Event::Retry => match quarantine.reason.class() == Class::Refused {
            true => work.forget(),
            false => work.begin(quarantine.candidate),
        },
        Event::Conditions(conditions) => {
            work.conditions = Some(conditions);
            State::Quarantine(quarantine)
        }
        Event::Checked(..)
        | Event::Measured(..)
        | Event::Announced
        | Event::Applied(..)
        | Event::Confirm
        | Event::RollBack
        | Event::StoreFailed
        | Event::OverrideEnded
        | Event::Tick => State::Quarantine(quarantine),
    }
}

pub(super) fn overridden(work: &mut Work, overlay: Override, event: Event) -> State {
    match event {
        Event::OverrideEnded => ended(work),
        Event::StoreFailed => State::Override(Override { until: work.now + STORE_EVERY, ..overlay }),
        Event::Tick if work.now >= overlay.until => ended(work),
        Event::Fetched(newer) => {
            work.accept(&newer);
            work.remember(newer);
            State::Override(overlay)
        }
        Event::Refused(other, _) => {
            work.accept(&other);
            State::Override(overlay)
        }
        Event::Conditions(conditions) => {
            work.conditions = Some(conditions);
            State::Override(overlay)
        }
        Event::Checked(..)
        | Event::Measured(..)
        | Event::Announced
        | Event::Applied(..)
        | Event::Confirm
        | Event::RollBack
        | Event::Retry
        | Event::Tick => State::Override(overlay),
    }
}

fn ended(work: &mut Work) -> State {
    work.save(super::Save::First);
    work.idle()
}
