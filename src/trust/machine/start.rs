//! What each state does after a restart. A new boot id means that the kernel forgot everything and runs the boot default;
//! the same one means that only the daemon died, and the kernel may still hold the candidate.

use std::time::Duration;

use super::event::{Advance, Command, Save, Target};
use super::reason::{Reason, Verdict};
use super::record::{Candidate, Keep, Record, Saved};
use super::soak;
use super::state::{Fetched, Idle, Override, Phase, Quarantine, RollingBack, Soak, Stage, State};
use super::work::Work;
use super::{ANSWER_LIMIT, REBOOTS_MOST, RETRY_FIRST, RETRY_MOST, RETURN_EVERY};
use crate::time::Instant;
use crate::trust::document::Seconds;
use crate::trust::floors::{BootId, Floors};

/// `found` is the newest valid entry of the journal; `None` when there is none: the image's safe config, and nobody
/// enrolled.
pub(super) fn start(found: Option<Record>, boot: BootId, build: Seconds, now: Instant) -> Advance {
    let Some(Record { state: saved, mut keep }) = found else {
        let work = Work::new(Keep::new(Floors::new(build), boot), None, now);
        return work.finish(super::StateName::Idle, State::Idle(Idle { retry: None }), build);
    };
    keep.floors.raise_time(build);
    let rebooted = keep.boot != boot;
    keep.boot = boot;
    let before = saved.name();
    let mut work = Work::new(keep, None, now);
    let state = match saved {
        Saved::Idle { retry } => State::Idle(Idle { retry: retry.map(|candidate| (candidate, now + wait(&work))) }),
        Saved::Fetched { candidate, waited } => fetched(&mut work, candidate, waited),
        Saved::Applying { candidate } => unconfirmed(&mut work, candidate, rebooted, Reason::RebootInApply),
        Saved::Trial { candidate } => unconfirmed(&mut work, candidate, rebooted, Reason::RebootInTrial),
        Saved::Soak { candidate, boots } => soaking(&mut work, candidate, boots, rebooted),
        Saved::RollingBack { candidate, reason } => {
            work.command(Command::Apply(Target::from(work.keep.good)));
            State::RollingBack(RollingBack { candidate, reason, phase: Phase::Undoing(now + RETURN_EVERY) })
        }
        Saved::Quarantine { candidate, reason, verdict } => {
            State::Quarantine(Quarantine { candidate, reason, verdict })
        }
        Saved::Override { overlay, left } => {
            State::Override(Override { overlay, until: now + Duration::from_secs(left.into()) })
        }
    };
    work.finish(before, state, build)
}

/// How long the running retry waits; a reboot starts the wait anew.
fn wait(work: &Work) -> Duration {
    let doublings = u32::from(work.keep.retries.saturating_sub(1));
    RETRY_FIRST.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(RETRY_MOST)
}

/// Checked again: firmware may have changed meanwhile.
fn fetched(work: &mut Work, candidate: Candidate, waited: u32) -> State {
    work.command(Command::Check(candidate));
    State::Fetched(Fetched {
        candidate,
        stage: Stage::Checking(work.now + ANSWER_LIMIT),
        since: work.now,
        waited: Duration::from_secs(waited.into()),
        saved_at: work.now,
        looked_at: work.now,
    })
}

/// A reboot has undone it, and the first one may have been the power company's. A restart of the daemon has not.
fn unconfirmed(work: &mut Work, candidate: Candidate, rebooted: bool, reason: Reason) -> State {
    if !rebooted {
        let good = work.keep.good;
        return work.back(candidate, good, Reason::DaemonRestarted);
    }
    if work.keep.attempts >= REBOOTS_MOST {
        return work.quarantine(candidate, reason, Some(Verdict::Config));
    }
    work.again(candidate)
}

fn soaking(work: &mut Work, candidate: Candidate, boots: u8, rebooted: bool) -> State {
    let boots = if rebooted { boots.saturating_add(1) } else { boots };
    let state = Soak {
        candidate,
        healthy_since: None,
        lost_since: None,
        measure_at: work.now,
        keep_after: Instant::ORIGIN,
        boots,
    };
    if boots >= REBOOTS_MOST {
        return soak::undo(work, &state, Reason::RebootInSoak);
    }
    if rebooted {
        work.save(Save::Best);
    }
    State::Soak(state)
}
