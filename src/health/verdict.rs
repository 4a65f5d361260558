//! The rules of [`Line`]: when silence, loss, wrong answers or a pulled cable change its state, and with which evidence.

use std::time::Duration;

use super::line::Elsewhere;
use super::line::{Burst, Line, Outage, Recovery};
use super::local::Link;
use super::passive::Trigger;
use super::quality::LEAST;
use super::sequential::{Ruling, Tally, Test};
use super::target::{Kind, TargetHealth};
use super::{Cause, Evidence, Note, Output, State, Verdict};
use crate::config::model::{TargetId, Threshold};
use crate::time::Instant;

/// A burst that found life but is still not certain about loss ends after so many `dead_after`.
const BURST_MOST: u32 = 20;
/// A lossy line that may yet be a brown-out is tested for so many `dead_after`: at 60 % one burst in a thousand takes longer.
const NO_BROWN_OUT: u32 = 8;
/// Loss must have been seen for this part of `dead_after` (in tenths): real loss comes in bursts, ours must outlast them.
const LOSS_FOR_TENTHS: u32 = 15;
/// How much a line loses is asked again so many times in a probation, which therefore no lossy line passes; more often
/// would be a burst without end on a line that has little room as it is.
const WEIGHED_PART: u32 = 3;
/// So many in a row are lost by a line that loses 80 % once in 10⁶.
const SURELY_SILENT: u32 = 62;
/// A brown-out is over when it is seen over so many turns: eight probes even if two of three targets are in ill repute.
const LOSS_TURNS: u32 = 24;
/// Figures of a line are looked at this often; more often they do not change.
const QUALITY_EVERY: Duration = Duration::from_secs(1);
/// Fewer settled probes are no figure.
#[expect(clippy::cast_possible_truncation, reason = "ten")]
const LEAST_SAMPLES: u32 = LEAST as u32;
/// A line of which some, but too few targets answer is taken as it is after this long.
const UNKNOWN_MOST: Duration = Duration::from_secs(3);
/// Nothing is known of a line's RTT yet, and its neighbours are to be resolved first (RFC 6298 §2.1 waits as long).
const FIRST_ANSWER: Duration = Duration::from_secs(1);
/// Without any reply for so long the line is down, whatever its counters say.
const SILENT_MOST: Duration = Duration::from_secs(10);
/// A starved process must see this much more silence before it believes it.
const STARVED_MARGIN: Duration = Duration::from_millis(700);
/// A longer stall than this is a paused machine, not a busy one: what happened meanwhile is unknown.
const STARVED_MOST: Duration = Duration::from_secs(1);

/// What can fail while the line itself lives, the most telling first.
const SERVICES: [(Kind, Cause); 3] = [(Kind::Page, Cause::Portal), (Kind::Dns, Cause::Dns), (Kind::Tcp, Cause::Tcp)];

/// `min_probes` at each of two targets, or twice as many at one: ten in a row are lost at 5 % each way once in 10¹⁰.
const TWICE: u32 = 2;

/// Targets that were found silent, and the probes they left unanswered.
struct Silence {
    targets: Vec<TargetId>,
    /// Since the last reply, and overdue.
    unanswered: u32,
    /// So old that a tenfold RTT would have answered them: a spike begins with replies that are all overdue.
    certain: u32,
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
        if self.state == State::Unknown && !self.is_local_lost(now) {
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
            self.end_burst(true, now, out);
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
                self.change(state, self.glance(now), now, out);
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
        self.targets.iter_mut().for_each(TargetHealth::forget_failures);
        self.asked_since = now;
        let evidence = self.seen(now);
        self.change(State::Unknown, evidence, now, out);
        self.schedule.hurry(now);
    }

    pub(super) fn begin_burst(&mut self, trigger: Option<Trigger>, now: Instant, out: &mut Output) {
        let weighs = self.state != State::Down && now >= self.weighed_until;
        self.burst = Some(Burst { started: now, trigger, weighs, tally: Tally::new(self.targets.len()), alive: false });
        self.schedule.hurry(now);
        if matches!(self.state, State::Up | State::Degraded) {
            self.before = (self.state, self.since);
            let evidence = self.glance(now);
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
        let fresh = |target: &&TargetHealth| target.last_reply.is_some_and(|at| at >= self.asked_since);
        let answered = self.targets.iter().filter(fresh).count();
        let waited = now.since(self.asked_since) >= UNKNOWN_MOST;
        if answered >= self.answers_needed() || (answered > 0 && waited) {
            // What was lost before anything answered is no quality of the line.
            self.quality.clear();
            let evidence = self.seen(now);
            self.change(State::Up, evidence, now, out);
        } else if now.since(self.asked_since) >= FIRST_ANSWER
            && let Some(silence) = self.silence(now)
        {
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
        if let Some((kind, cause)) = self.failed_kind() {
            self.failed = Some(kind);
            self.go_down(Verdict::Wrong, cause, None, now, out);
            return true;
        }
        false
    }

    fn judge_burst(&mut self, now: Instant, out: &mut Output) -> bool {
        let Some(burst) = &self.burst else { return false };
        if !burst.weighs {
            if burst.alive {
                self.end_burst(false, now, out);
            }
            return false;
        }
        let lasted = now.since(burst.started);
        let mut rulings = (burst.tally.ruling(Test::BROWN_OUT, 0), burst.tally.ruling(Test::LOSSY, 0));
        // What is overdue keeps a test from clearing and does nothing else, so it is counted when clearing would matter.
        if rulings.0 == Ruling::Cleared && rulings.1 != Ruling::Open {
            let overdue = self.overdue_in_burst();
            rulings = (burst.tally.ruling(Test::BROWN_OUT, overdue), burst.tally.ruling(Test::LOSSY, overdue));
        }
        let (brown_out, lossy) = rulings;
        let long_enough = lasted >= self.profile.dead_after * LOSS_FOR_TENTHS / 10;
        if brown_out == Ruling::Convicted && long_enough {
            let dumb = !burst.alive;
            self.go_down(Verdict::Loss, Cause::Path, None, now, out);
            if dumb && self.in_use {
                // Something still comes in, so it was not called silent; if no other line is better, that is to be known soon.
                self.begin_burst(None, now, out);
            }
            return true;
        }
        let certain = lossy == Ruling::Convicted && long_enough && brown_out != Ruling::Convicted;
        let cleared = brown_out == Ruling::Cleared && lossy == Ruling::Cleared;
        let over = burst.alive && (cleared || lasted >= self.profile.dead_after * BURST_MOST);
        if certain && burst.alive && (brown_out == Ruling::Cleared || lasted >= self.profile.dead_after * NO_BROWN_OUT)
        {
            self.end_burst(true, now, out);
            self.lossy = true;
            self.weighed_until = now + self.profile.recover_after / WEIGHED_PART;
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

    /// Probes of the burst that are late, of targets that count.
    fn overdue_in_burst(&self) -> u32 {
        let counts = self.counted();
        let overdue = self.flight.waiting().filter(|pending| pending.is_overdue_in_burst() && counts(pending.target));
        u32::try_from(overdue.count()).unwrap_or(u32::MAX)
    }

    fn end_burst(&mut self, confirmed: bool, now: Instant, out: &mut Output) {
        if let Some(burst) = self.burst.take() {
            if let (Some(trigger), false) = (burst.trigger, confirmed) {
                self.passive.handle_false_alarm(trigger, now);
            }
            self.schedule.postpone(now + self.interval(now));
            out.notes.push(Note::Suspicion { confirmed });
        }
    }

    fn judge_quality(&mut self, now: Instant, out: &mut Output) {
        if now < self.quality_checked + QUALITY_EVERY || self.state == State::Suspect {
            return;
        }
        self.quality_checked = now;
        if self.quality.settled() < LEAST_SAMPLES {
            return;
        }
        let degraded = self.state == State::Degraded;
        let limit = |threshold: Threshold<Duration>| if degraded { threshold.leave } else { threshold.enter };
        let slow = self.quality.is_slow(limit(self.profile.rtt));
        let unsteady = self.profile.jitter.map(limit).is_some_and(|limit| self.quality.is_unsteady(limit));
        if degraded {
            let settled = now.since(self.since) >= self.profile.quality_window;
            if self.lossy && settled && self.loss_since(Instant::ORIGIN).1 <= self.profile.loss.leave {
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
            Some(Verdict::Loss) if self.is_dumb(now) => {
                // What was a brown-out lets nothing through any more; others may be better now.
                self.end_burst(true, now, out);
                self.evidence.verdict = Some(Verdict::Silent);
                out.notes.push(Note::Reassess);
            }
            Some(Verdict::Loss) => {
                match self.burst.as_ref().map(|burst| burst.alive) {
                    Some(true) => self.end_burst(false, now, out),
                    Some(false) => return,
                    None => {}
                }
                let window = (self.profile.quality_window / 3).max(self.profile.interval * LOSS_TURNS);
                let from = (now - window).max(self.since + self.settle_after());
                let (settled, loss) = self.loss_since(from);
                if settled >= 8 && loss <= self.profile.loss.enter {
                    self.begin_probation(u16::MAX, now, now, out);
                }
            }
            Some(Verdict::Wrong) => {
                let answered_since = self.last_reply.is_some_and(|reply| reply > self.since);
                if answered_since && self.service_is_back() {
                    self.begin_probation(u16::MAX, now, now, out);
                }
            }
            Some(Verdict::Silent | Verdict::Local) | None => {}
        }
    }

    /// Probes settled since then and the part that was lost; a target in ill repute says nothing about the line.
    fn loss_since(&self, since: Instant) -> (u32, f32) {
        let counts = self.counted();
        let (settled, lost) = self.quality.recent(since, counts);
        #[expect(clippy::cast_precision_loss, reason = "at most 1,024 samples")]
        let loss = lost as f32 / settled.max(1) as f32;
        (settled, loss)
    }

    /// Says of a target whether it is neither muted nor in ill repute.
    fn counted(&self) -> impl Fn(TargetId) -> bool + '_ {
        let muted = self.muted();
        move |target| {
            let bit = 1u16.checked_shl(u32::from(target.0)).unwrap_or(0);
            muted & bit == 0 && self.targets.get(target.index()).is_some_and(|target| !target.suspect)
        }
    }

    /// Nothing came back for so long, or of so many, that loss is no word for it.
    fn is_dumb(&self, now: Instant) -> bool {
        let surely = |burst: &Burst| !burst.alive && burst.tally.totals().1 >= SURELY_SILENT;
        if self.burst.as_ref().is_some_and(surely) {
            return true;
        }
        self.last_reply.is_none_or(|reply| now.since(reply) >= SILENT_MOST.max(self.profile.dead_after * 5))
    }

    fn begin_probation(&mut self, replied: u16, first_reply: Instant, now: Instant, out: &mut Output) {
        let recover_after = self.flaps.recover_after(self.profile.recover_after, now);
        self.recovery = Some(Recovery { first_reply, due: first_reply + recover_after, replied });
        self.quality.clear();
        for target in &mut self.targets {
            target.loss = 0.0;
            if target.kind != Kind::Icmp {
                target.forget_failures();
            }
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
        // Not at the leisure of the standby that it was a moment ago.
        self.schedule.restart(now + self.interval(now));
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
    fn members(&self) -> impl Iterator<Item = (TargetId, &TargetHealth)> {
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
        let members = self.members().count();
        let least = match members {
            0 => return None,
            1 => self.profile.dead_after,
            _ => self.profile.dead_after.saturating_sub(self.profile.quiet_after),
        };
        let starved = self.stalls.count >= 3
            && self.stalls.longest < STARVED_MOST
            && self.stalls.void >= u32::from(self.profile.min_probes) * TWICE
            && unanswered_for >= dead_after + STARVED_MARGIN;
        let most = dead_after * 2;
        // A conversation that broke off is evidence by itself, once even a tenfold RTT would have let it go on; the
        // probes then only have to be overdue.
        let spike = || self.members().map(|(_, target)| target.rtt.patience(dead_after).min(most)).max();
        let broken_off = self.passive.is_broken_off() && spike().is_some_and(|spike| silent_for >= spike);
        let mut silence = Silence { targets: Vec::new(), unanswered: 0, certain: 0, silent_for: unanswered_for };
        for (id, target) in self.members() {
            let patience = if broken_off {
                target.rtt.overdue_after(self.profile.overdue_floor, dead_after / 2)
            } else {
                target.rtt.patience(least).min(most.max(least))
            };
            let oldest = self.flight.oldest_sent_after(id, target.answered_up_to);
            if starved || oldest.is_some_and(|sent| now.since(sent) >= patience) {
                let overdue = target.rtt.overdue_after(self.profile.overdue_floor, dead_after / 2);
                silence.targets.push(id);
                // Sent since the last reply of any target: a dead one has many waiting, which say nothing about the line.
                let since = target.answered_up_to.max(reply);
                silence.unanswered += self.flight.sent_between(id, since, now - overdue);
                silence.certain += self.flight.sent_between(id, since, now - patience);
            }
        }
        if starved {
            silence.unanswered = silence.unanswered.max(self.stalls.void);
            silence.certain = silence.unanswered;
        }
        let least = u32::from(self.profile.min_probes);
        let enough = silence.targets.len() >= self.quorum(members)
            && silence.unanswered >= least * TWICE
            && silence.certain >= least;
        enough.then_some(silence)
    }

    fn silent_cause(&self) -> Cause {
        if self.neighbour == Some(false) { Cause::Modem } else { Cause::Path }
    }

    /// A service of which each target fails again and again while the line itself answers. One target alone convicts only
    /// if another line is answered by it meanwhile, or if there is no other line to ask.
    fn failed_kind(&self) -> Option<(Kind, Cause)> {
        if self.targets.iter().all(|target| target.failed_in_row < 2) {
            return None;
        }
        SERVICES.into_iter().find_map(|(kind, cause)| {
            let of_kind = || self.of_kind(kind);
            let failed = of_kind().next().is_some() && of_kind().all(|(target, _)| target.has_failed());
            let sure = of_kind().count() > 1
                || of_kind().any(|(target, elsewhere)| match elsewhere {
                    Elsewhere::Answers => target.fails_only_here(),
                    Elsewhere::Fails => false,
                    Elsewhere::NotAsked => kind == Kind::Page && target.wrong_in_row > 0,
                });
            // Silence where a page should be is no portal.
            let silent = of_kind().all(|(target, _)| target.silent_in_row > 0);
            let cause = if silent && kind == Kind::Page { Cause::Tcp } else { cause };
            let others_answer = self.targets.iter().any(|t| t.kind != kind && t.failed_in_row == 0);
            (failed && sure && (others_answer || of_kind().any(|(t, _)| t.silent_in_row == 0))).then_some((kind, cause))
        })
    }

    /// Targets of one kind that are not at fault themselves.
    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&TargetHealth, &Elsewhere)> {
        let targets = self.targets.iter().zip(&self.elsewhere);
        targets.filter(move |(target, _)| target.kind == kind && !target.suspect)
    }

    /// The service whose failure took the line down answers again, or its targets turned out to be at fault themselves.
    /// Another one that fails meanwhile is judged in probation, where its server can be told from the line.
    fn service_is_back(&self) -> bool {
        self.failed.is_none_or(|kind| {
            let mut of_kind = self.of_kind(kind).peekable();
            of_kind.peek().is_none() || of_kind.any(|(target, _)| target.failed_in_row == 0)
        })
    }

    /// What is seen at this moment, for whatever state follows.
    fn seen(&self, now: Instant) -> Evidence {
        let figures = self.quality.figures();
        Evidence { rtt: figures.rtt_p95, jitter: figures.jitter, ..self.glance(now) }
    }

    /// The same without what takes sorting: suspicions come and go.
    fn glance(&self, now: Instant) -> Evidence {
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
            loss: self.quality.loss(),
            rtt: None,
            jitter: None,
            sent_unanswered: self.passive.sent_unanswered(),
            burst: self.burst.as_ref().map(|burst| burst.tally.totals()),
            recover_after: self.recovery.as_ref().map(|recovery| recovery.due.since(now)),
        }
    }
}
