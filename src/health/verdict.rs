//! The rules of [`Line`]: when silence, loss, wrong answers or a pulled cable change its state, and with which evidence.

use std::time::Duration;

use super::line::Elsewhere;
use super::line::{Burst, Line, Outage, Recovery};
use super::local::Link;
use super::sequential::{Ruling, Tally, Test};
use super::target::{KIND_FAILED_AFTER, Kind};
use super::{Cause, Evidence, Note, Output, State, Verdict};
use crate::config::model::{TargetId, Threshold};
use crate::time::Instant;

/// A burst that found life but is still not certain about loss ends after so many `dead_after`.
const BURST_MOST: u32 = 20;
/// Loss must have been seen for this part of `dead_after` (in tenths): real loss comes in bursts, ours must outlast them.
const LOSS_FOR_TENTHS: u32 = 15;
/// Figures of a line are looked at this often; more often they do not change.
const QUALITY_EVERY: Duration = Duration::from_secs(1);
/// Fewer settled probes are no figure.
const QUALITY_LEAST: u32 = 10;
/// A line of which some, but too few targets answer is taken as it is after this long.
const UNKNOWN_MOST: Duration = Duration::from_secs(3);
/// Without any reply for so long the line is down, whatever its counters say.
const SILENT_MOST: Duration = Duration::from_secs(10);
/// A starved process must see this much more silence before it believes it.
const STARVED_MARGIN: Duration = Duration::from_millis(700);
/// A longer stall than this is a paused machine, not a busy one: what happened meanwhile is unknown.
const STARVED_MOST: Duration = Duration::from_secs(1);

/// Targets that were found silent, and the probes they left unanswered.
struct Silence {
    targets: Vec<TargetId>,
    unanswered: u32,
    silent_for: Duration,
}

impl Line {
    /// Carrier, address or gateway changed.
    pub(super) fn local_changed(&mut self, now: Instant, out: &mut Output) {
        if self.state == State::Disabled {
            return;
        }
        if self.is_local_ok() {
            if self.state == State::Unknown || self.evidence.verdict == Some(Verdict::Local) {
                self.asked_since = now;
                self.schedule.hurry(now);
            }
            match self.state {
                State::Unknown => self.since = now,
                State::Down if !self.proved => self.ask_first(now, out),
                State::Down | State::Up | State::Degraded | State::Suspect | State::Probation | State::Disabled => {}
            }
            return;
        }
        let cause = match self.link {
            Link::Missing | Link::NoCarrier => Cause::Cable,
            Link::Up if self.address.is_none() => Cause::Address,
            Link::Up => Cause::Gateway,
        };
        if self.state != State::Down {
            self.go_down(Verdict::Local, cause, None, now, out);
        } else if self.evidence.verdict != Some(Verdict::Local) || self.evidence.cause != Some(cause) {
            self.evidence.verdict = Some(Verdict::Local);
            self.evidence.cause = Some(cause);
        }
    }

    /// A reply came in time or late: something beyond the line lives.
    pub(super) fn alive(&mut self, target: TargetId, received: Instant, now: Instant, out: &mut Output) {
        let bit = 1u16.checked_shl(u32::from(target.0)).unwrap_or(0);
        match self.state {
            State::Suspect => {
                let (state, since) = self.before;
                self.change(state, self.seen(now), now, out);
                self.since = since;
            }
            State::Down => match self.evidence.verdict {
                Some(Verdict::Silent | Verdict::Local) | None if self.is_local_ok() => {
                    if self.proved {
                        self.begin_probation(bit, received, now, out);
                    } else {
                        self.ask_first(now, out);
                    }
                }
                Some(Verdict::Silent | Verdict::Local | Verdict::Loss | Verdict::Wrong) | None => {}
            },
            State::Probation => {
                if let Some(recovery) = self.recovery.as_mut() {
                    recovery.replied |= bit;
                }
            }
            State::Unknown | State::Up | State::Degraded | State::Disabled => {}
        }
    }

    /// The first start needs one quorum, not a probation.
    fn ask_first(&mut self, now: Instant, out: &mut Output) {
        self.asked_since = now;
        let evidence = self.seen(now);
        self.change(State::Unknown, evidence, now, out);
        self.schedule.hurry(now);
    }

    pub(super) fn begin_burst(&mut self, passive: bool, now: Instant, out: &mut Output) {
        self.burst = Some(Burst { started: now, passive, tally: Tally::new(self.targets.len()), alive: false });
        self.schedule.hurry(now);
        if matches!(self.state, State::Up | State::Degraded) {
            self.before = (self.state, self.since);
            let evidence = self.seen(now);
            self.change(State::Suspect, evidence, now, out);
        }
    }

    /// Everything that may follow from what is known at `now`.
    pub(super) fn judge(&mut self, now: Instant, out: &mut Output) {
        match self.state {
            State::Disabled => {}
            State::Unknown => self.judge_unknown(now, out),
            State::Up | State::Degraded | State::Suspect => {
                if !self.judge_failure(now, out) {
                    self.judge_quality(now, out);
                }
            }
            State::Probation => {
                if !self.judge_failure(now, out) {
                    self.judge_recovery(now, out);
                }
            }
            State::Down => self.judge_down(now, out),
        }
    }

    fn judge_unknown(&mut self, now: Instant, out: &mut Output) {
        let fresh = |target: &&super::target::TargetHealth| target.last_reply.is_some_and(|at| at >= self.asked_since);
        let answered = self.targets.iter().filter(fresh).count();
        let waited = now.since(self.asked_since) >= UNKNOWN_MOST;
        if answered >= self.answers_needed() || (answered > 0 && waited) {
            // What was lost before anything answered is no quality of the line.
            self.quality.clear();
            let evidence = self.seen(now);
            self.change(State::Up, evidence, now, out);
        } else if let Some(silence) = self.silence(now) {
            self.go_down(Verdict::Silent, self.silent_cause(), Some(silence), now, out);
        }
    }

    /// Silence, loss and wrong answers. Returns whether the line went down.
    fn judge_failure(&mut self, now: Instant, out: &mut Output) -> bool {
        if self.burst.is_some() {
            if let Some(silence) = self.silence(now) {
                self.go_down(Verdict::Silent, self.silent_cause(), Some(silence), now, out);
                return true;
            }
            if self.judge_burst(now, out) {
                return true;
            }
        }
        if let Some(cause) = self.failed_kind() {
            self.go_down(Verdict::Wrong, cause, None, now, out);
            return true;
        }
        false
    }

    fn judge_burst(&mut self, now: Instant, out: &mut Output) -> bool {
        let Some(burst) = &self.burst else { return false };
        let lasted = now.since(burst.started);
        let (brown_out, lossy) = (burst.tally.ruling(Test::BROWN_OUT), burst.tally.ruling(Test::LOSSY));
        let long_enough = lasted >= self.profile.dead_after * LOSS_FOR_TENTHS / 10;
        if brown_out == Ruling::Convicted && long_enough {
            self.go_down(Verdict::Loss, Cause::Path, None, now, out);
            return true;
        }
        let certain = lossy == Ruling::Convicted && long_enough && brown_out != Ruling::Convicted;
        let cleared = brown_out == Ruling::Cleared && lossy == Ruling::Cleared;
        let over = burst.alive && (cleared || lasted >= self.profile.dead_after * BURST_MOST);
        if certain && burst.alive && (brown_out == Ruling::Cleared || lasted >= self.profile.dead_after * 4) {
            self.end_burst(true, now, out);
            self.lossy = true;
            match self.state {
                State::Up | State::Suspect => {
                    let evidence = self.seen(now);
                    self.change(State::Degraded, evidence, now, out);
                }
                State::Probation => self.restart_probation(now),
                State::Degraded | State::Down | State::Unknown | State::Disabled => {}
            }
        } else if over {
            self.end_burst(false, now, out);
        }
        false
    }

    fn end_burst(&mut self, confirmed: bool, now: Instant, out: &mut Output) {
        if let Some(burst) = self.burst.take() {
            if burst.passive && !confirmed {
                self.passive.handle_false_alarm(now);
            }
            self.schedule.postpone(now + self.interval(now));
            out.notes.push(Note::Suspicion { confirmed });
        }
    }

    fn judge_quality(&mut self, now: Instant, out: &mut Output) {
        if now.since(self.quality_checked) < QUALITY_EVERY || self.state == State::Suspect {
            return;
        }
        self.quality_checked = now;
        let figures = self.quality.figures();
        if figures.settled < QUALITY_LEAST {
            return;
        }
        let above = |value: Option<Duration>, limit: Option<Threshold<Duration>>, degraded: bool| {
            limit.zip(value).is_some_and(|(limit, value)| value > if degraded { limit.leave } else { limit.enter })
        };
        let degraded = self.state == State::Degraded;
        let slow = above(figures.rtt_p95, Some(self.profile.rtt), degraded);
        let unsteady = above(figures.jitter, self.profile.jitter, degraded);
        if degraded {
            let settled = now.since(self.since) >= self.profile.quality_window;
            if self.lossy && settled && figures.loss.is_some_and(|loss| loss <= self.profile.loss.leave) {
                self.lossy = false;
            }
            if !self.lossy && !slow && !unsteady {
                let evidence = self.seen(now);
                self.change(State::Up, evidence, now, out);
            }
        } else if slow || unsteady {
            let evidence = self.seen(now);
            self.change(State::Degraded, evidence, now, out);
        }
    }

    fn judge_recovery(&mut self, now: Instant, out: &mut Output) {
        let needed = self.answers_needed();
        let Some(recovery) = &self.recovery else { return };
        if now < recovery.due {
            return;
        }
        let replied = usize::try_from(recovery.replied.count_ones()).unwrap_or(0);
        if replied < needed || self.burst.is_some() {
            // Not yet: look again soon instead of at once.
            let again = now + self.profile.interval;
            if let Some(recovery) = self.recovery.as_mut() {
                recovery.due = again;
            }
            return;
        }
        let until = recovery.first_reply;
        self.recovery = None;
        self.lossy = false;
        if let Some(outage) = self.outage.take() {
            let Outage { since, cause, flaps } = outage;
            out.notes.push(Note::OutageClosed { since, until, cause, flaps });
        }
        let evidence = self.seen(now);
        self.change(State::Up, evidence, now, out);
    }

    fn judge_down(&mut self, now: Instant, out: &mut Output) {
        match self.evidence.verdict {
            Some(Verdict::Loss) => {
                let window = (self.profile.quality_window / 3).max(self.profile.interval * 10);
                let from = (now - window).max(self.since + self.settle_after());
                let (settled, lost) = self.quality.recent(from);
                #[expect(clippy::cast_precision_loss, reason = "at most 1,024 samples")]
                let loss = lost as f32 / settled.max(1) as f32;
                if settled >= 8 && loss <= self.profile.loss.enter {
                    self.begin_probation(u16::MAX, now, now, out);
                }
            }
            Some(Verdict::Wrong) => {
                let answered_since = self.last_reply.is_some_and(|reply| reply > self.since);
                if self.failed_kind().is_none() && answered_since {
                    self.begin_probation(u16::MAX, now, now, out);
                }
            }
            Some(Verdict::Silent | Verdict::Local) | None => {}
        }
    }

    fn begin_probation(&mut self, replied: u16, first_reply: Instant, now: Instant, out: &mut Output) {
        let recover_after = self.flaps.recover_after(self.profile.recover_after, now);
        self.recovery = Some(Recovery { first_reply, due: first_reply + recover_after, replied });
        self.quality.clear();
        for target in &mut self.targets {
            target.loss = 0.0;
        }
        let mut evidence = self.seen(now);
        evidence.cause = self.evidence.cause;
        evidence.recover_after = Some(recover_after);
        self.change(State::Probation, evidence, now, out);
    }

    fn restart_probation(&mut self, now: Instant) {
        let recover_after = self.flaps.recover_after(self.profile.recover_after, now);
        self.recovery = Some(Recovery { first_reply: now, due: now + recover_after, replied: 0 });
    }

    fn go_down(&mut self, verdict: Verdict, cause: Cause, silence: Option<Silence>, now: Instant, out: &mut Output) {
        let mut evidence = self.seen(now);
        evidence.verdict = Some(verdict);
        evidence.cause = Some(cause);
        if let Some(silence) = silence {
            evidence.silent_for = Some(silence.silent_for);
            evidence.silence_limit = Some(self.profile.dead_after);
            evidence.unanswered = silence.unanswered;
            evidence.silent_targets = silence.targets;
        }
        let life = self.last_life();
        self.recovery = None;
        if self.proved {
            self.flaps.handle_down(now);
        }
        evidence.recover_after = Some(self.flaps.recover_after(self.profile.recover_after, now));
        self.passive.handle_outage();
        if self.burst.is_some() {
            self.end_burst(true, now, out);
        }
        match self.outage.as_mut() {
            Some(outage) => outage.flaps += 1,
            None if !self.proved => {}
            None => {
                let since = match verdict {
                    Verdict::Silent | Verdict::Loss | Verdict::Wrong => life.unwrap_or(self.asked_since),
                    Verdict::Local => now,
                };
                self.outage = Some(Outage { since, cause, flaps: 0 });
                out.notes.push(Note::OutageOpened { since, cause });
            }
        }
        self.change(State::Down, evidence, now, out);
        self.schedule.postpone(now + self.interval(now));
    }

    fn change(&mut self, to: State, evidence: Evidence, now: Instant, out: &mut Output) {
        let from = self.state;
        self.proved |= to == State::Up;
        self.state = to;
        self.since = now;
        self.evidence = evidence.clone();
        out.notes.push(Note::Transition { from, to, evidence: Box::new(evidence) });
    }

    /// Targets that count: probed in a burst and not in ill repute. Pages count only where there is nothing else.
    fn members(&self) -> impl Iterator<Item = (TargetId, &super::target::TargetHealth)> {
        let pages_too = self.targets.iter().all(|target| target.kind == Kind::Page);
        let all_suspect = self.targets.iter().all(|target| target.suspect || target.kind == Kind::Page);
        self.targets.iter().enumerate().filter_map(move |(index, target)| {
            let counts = (target.kind != Kind::Page || pages_too) && (!target.suspect || all_suspect);
            counts.then(|| (TargetId(u8::try_from(index).unwrap_or(u8::MAX)), target))
        })
    }

    /// How many members must be silent: all but one, but never one of two.
    fn quorum(&self, members: usize) -> usize {
        let default = members.saturating_sub(1).max(members.min(2));
        self.profile.quorum.map_or(default, |quorum| usize::from(quorum).clamp(1, members.max(1)))
    }

    /// So many answers make the quorum of silence impossible.
    fn answers_needed(&self) -> usize {
        let members = self.members().count();
        (members + 1).saturating_sub(self.quorum(members)).max(1)
    }

    /// Silence in the sense of `docs/failover.md`: no proof of life for `dead_after`, while enough probes, each old enough
    /// to have been answered even at ten times the usual RTT, went unanswered at a quorum of the targets.
    fn silence(&self, now: Instant) -> Option<Silence> {
        let members = self.members().count();
        let least = match members {
            0 => return None,
            1 => self.profile.dead_after,
            _ => self.profile.dead_after.saturating_sub(self.profile.quiet_after),
        };
        let reply = self.last_reply.unwrap_or(self.asked_since).max(self.asked_since);
        let life = self.last_life().map_or(self.asked_since, |life| life.max(self.asked_since));
        let (silent_for, unanswered_for) = (now.since(life), now.since(reply));
        let dead_after = self.profile.dead_after;
        let probes_alone = (unanswered_for >= (dead_after * 4).max(Duration::from_millis(1_500))
            && !self.passive.is_answered())
            || unanswered_for >= SILENT_MOST.max(dead_after * 5);
        if silent_for < dead_after && !probes_alone {
            return None;
        }
        let starved = self.stalls.count >= 3
            && self.stalls.longest < STARVED_MOST
            && self.stalls.void >= u32::from(self.profile.min_probes)
            && unanswered_for >= dead_after + STARVED_MARGIN;
        let most = dead_after * 2;
        // A conversation that broke off is evidence by itself, once even a tenfold RTT would have let it go on; the
        // probes then only have to be overdue.
        let spike = self.members().map(|(_, target)| target.rtt.patience(dead_after).min(most)).max();
        let broken_off = self.passive.is_broken_off() && spike.is_some_and(|spike| silent_for >= spike);
        let mut silence = Silence { targets: Vec::new(), unanswered: 0, silent_for: unanswered_for };
        for (id, target) in self.members() {
            let patience = if broken_off {
                target.rtt.overdue_after(self.profile.overdue_floor, dead_after / 2)
            } else {
                target.rtt.patience(least).min(most.max(least))
            };
            let oldest = self.flight.oldest_sent_after(id, target.answered_up_to);
            if starved || oldest.is_some_and(|sent| now.since(sent) >= patience) {
                silence.targets.push(id);
                silence.unanswered += self.flight.sent_after(id, target.answered_up_to);
            }
        }
        if starved {
            silence.unanswered = silence.unanswered.max(self.stalls.void);
        }
        let enough =
            silence.targets.len() >= self.quorum(members) && silence.unanswered >= u32::from(self.profile.min_probes);
        enough.then_some(silence)
    }

    fn silent_cause(&self) -> Cause {
        if self.neighbour == Some(false) { Cause::Modem } else { Cause::Path }
    }

    /// A service of which each target fails again and again while the line itself answers. One target alone convicts only
    /// if it answers through another line, or if there is no other line to ask.
    fn failed_kind(&self) -> Option<Cause> {
        if self.targets.iter().all(|target| target.failed_in_row < 2) {
            return None;
        }
        [(Kind::Page, Cause::Portal), (Kind::Dns, Cause::Dns), (Kind::Tcp, Cause::Tcp)].into_iter().find_map(
            |(kind, cause)| {
                let of_kind =
                    || self.targets.iter().zip(&self.elsewhere).filter(move |(t, _)| t.kind == kind && !t.suspect);
                let limit = KIND_FAILED_AFTER;
                let failed = of_kind().count() > 0
                    && of_kind().all(|(t, _)| t.failed_in_row >= limit || (kind == Kind::Page && t.wrong_in_row >= 2));
                let sure = of_kind().count() > 1
                    || of_kind().any(|(t, elsewhere)| match elsewhere {
                        Elsewhere::Answers => true,
                        Elsewhere::Fails => false,
                        Elsewhere::NotAsked => kind == Kind::Page && t.wrong_in_row >= 2,
                    });
                let others_answer = self.targets.iter().any(|t| t.kind != kind && t.failed_in_row == 0);
                (failed && sure && (others_answer || of_kind().any(|(t, _)| t.silent_in_row == 0))).then_some(cause)
            },
        )
    }

    /// What is seen at this moment, for whatever state follows.
    fn seen(&self, now: Instant) -> Evidence {
        let figures = self.quality.figures();
        Evidence {
            verdict: None,
            cause: None,
            silent_for: None,
            silence_limit: None,
            unanswered: 0,
            silent_targets: Vec::new(),
            targets: u32::try_from(self.members().count()).unwrap_or(u32::MAX),
            suspect_targets: (0u8..)
                .zip(&self.targets)
                .filter(|(_, target)| target.suspect)
                .map(|(index, _)| TargetId(index))
                .collect(),
            carrier: self.link == Link::Up,
            address: self.address.is_some(),
            gateway: self.gateway.is_some(),
            gateway_answers: self.neighbour,
            loss: figures.loss,
            rtt: figures.rtt_p95,
            jitter: figures.jitter,
            sent_unanswered: self.passive.sent_unanswered(),
            burst: self.burst.as_ref().map(|burst| burst.tally.totals()),
            recover_after: self.recovery.as_ref().map(|recovery| recovery.due.since(now)),
        }
    }
}
