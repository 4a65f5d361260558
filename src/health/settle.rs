//! How a probe of a line ends: answered, failed, overdue and then silent, or saying nothing.

use std::time::Duration;

use super::line::{Line, Stalls};
use super::target::{Kind, TargetHealth};
use super::{Note, Output, State, Verdict};
use crate::config::model::TargetId;
use crate::probe::Outcome;
use crate::probe::flight::{Pending, Stage};
use crate::time::Instant;

impl Line {
    pub(super) fn poll_flight(&mut self, now: Instant, out: &mut Output) {
        let settle_after = self.settle_after();
        let muted = self.muted();
        let is_muted = |target: TargetId| muted & 1u16.checked_shl(u32::from(target.0)).unwrap_or(0) != 0;
        let mut overdue = None;
        let (targets, profile, burst) = (&self.targets, &self.profile, &mut self.burst);
        self.flight.advance(now, |pending| {
            let Some(target) = targets.get(pending.target.index()) else { return };
            let settle_at = pending.sent + settle_after;
            match pending.stage {
                Stage::Requested => pending.next = settle_at,
                Stage::Waiting => {
                    pending.stage = Stage::Overdue;
                    let patience = target.rtt.patience(profile.overdue_floor).min(profile.dead_after * 2);
                    pending.next = (pending.sent + patience).max(now).min(settle_at);
                    if !pending.void && !is_muted(pending.target) && !target.suspect && target.kind != Kind::Page {
                        overdue = Some(pending.sequence);
                    }
                }
                Stage::Overdue => {
                    pending.stage = Stage::Lost;
                    pending.next = settle_at;
                    if let (true, false, Some(burst)) = (pending.burst, pending.void, burst.as_mut())
                        && !is_muted(pending.target)
                        && !target.suspect
                    {
                        burst.tally.handle_lost(pending.target);
                    }
                }
                Stage::Lost => pending.next = settle_at,
            }
        });
        while let Some(pending) = self.flight.take_expired(now, settle_after) {
            self.settle_silent(&pending, now, out);
        }
        let asks = match self.state {
            State::Up | State::Degraded | State::Probation => true,
            // A brown-out carries the traffic for want of anything better: if it dies, another brown-out is better.
            State::Down => self.in_use && self.evidence.verdict == Some(Verdict::Loss),
            State::Disabled | State::Unknown | State::Suspect => false,
        };
        if let Some(sequence) = overdue
            && asks
            && self.burst.is_none()
            && self.is_local_ok()
        {
            self.flight.join_burst(sequence);
            self.begin_burst(None, now, out);
        }
    }

    // --- how a probe ends

    pub(super) fn settle_reply(&mut self, pending: &Pending, received: Instant, now: Instant, out: &mut Output) {
        self.own.received += 1;
        let rtt = received.since(pending.sent);
        let Some(target) = self.targets.get_mut(pending.target.index()) else { return };
        let overdue_after = target.rtt.overdue_after(self.profile.overdue_floor, self.spans.overdue_most);
        let first = target.rtt.smoothed().is_none();
        let outcome = if rtt > overdue_after && !first { Outcome::Late { rtt } } else { Outcome::Reply { rtt } };
        target.last_outcome = Some(outcome);
        // The first packets of a line, new or back, wait for its neighbours to be resolved; that is no RTT of the line.
        let waited = match self.state {
            State::Unknown | State::Down => rtt > self.profile.dead_after,
            State::Probation => pending.sent < self.since,
            State::Up | State::Degraded | State::Suspect | State::Disabled => false,
        };
        let is_sample = !waited;
        target.handle_reply(pending.sent, is_sample.then_some(rtt), received);
        self.last_reply = self.last_reply.max(Some(received));
        self.stalls = Stalls::default();
        self.passive.handle_probe_reply();
        if is_sample {
            self.count(pending.target, Some(rtt), now);
        }
        let counts = self.burst.is_some()
            && pending.burst
            && pending.stage != Stage::Lost
            && !self.is_muted(pending.target.index());
        if let Some(burst) = self.burst.as_mut() {
            burst.alive = true;
            if counts {
                burst.tally.handle_answered(pending.target);
            }
        }
        out.notes.push(Note::Settled { target: pending.target, outcome });
        self.alive(pending.target, received, now, out);
        self.judge(now, out);
    }

    pub(super) fn settle_failed(&mut self, pending: &Pending, outcome: Outcome, now: Instant, out: &mut Output) {
        self.own.received += 1;
        let Some(target) = self.targets.get_mut(pending.target.index()) else { return };
        target.last_outcome = Some(outcome);
        target.handle_failed(pending.sent);
        self.count(pending.target, None, now);
        out.notes.push(Note::Settled { target: pending.target, outcome });
        self.judge(now, out);
    }

    fn settle_silent(&mut self, pending: &Pending, now: Instant, out: &mut Output) {
        if pending.void || pending.stage == Stage::Requested {
            let outcome = if pending.void { Outcome::Void } else { Outcome::Unsent };
            self.settle_neutral(pending, outcome, out);
            return;
        }
        let Some(target) = self.targets.get_mut(pending.target.index()) else { return };
        target.last_outcome = Some(Outcome::Silent);
        target.handle_silent(pending.sent);
        self.count(pending.target, None, now);
        out.notes.push(Note::Settled { target: pending.target, outcome: Outcome::Silent });
    }

    /// A page takes several round trips and a server: neither its time nor its failure is a figure of the line.
    fn count(&mut self, target: TargetId, rtt: Option<Duration>, now: Instant) {
        let page = |target: &TargetHealth| target.kind == Kind::Page;
        if self.only_pages() || !self.targets.get(target.index()).is_some_and(page) {
            self.quality.handle_settled(target, rtt, now);
        }
    }

    pub(super) fn only_pages(&self) -> bool {
        self.targets.iter().all(|target| target.kind == Kind::Page)
    }

    /// An end that says nothing about the line.
    pub(super) fn settle_neutral(&mut self, pending: &Pending, outcome: Outcome, out: &mut Output) {
        if let Some(target) = self.targets.get_mut(pending.target.index()) {
            target.last_outcome = Some(outcome);
        }
        out.notes.push(Note::Settled { target: pending.target, outcome });
    }
}
