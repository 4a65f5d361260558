//! One uplink and family: the machine that turns outcomes and link facts into a [`State`].
//!
//! ```text
//!     disabled ─ unknown ─► up ⇄ degraded
//!                  ▲         │ first overdue, or passive trigger
//!                  │         ▼
//!               probation ◄─ down ◄─ suspect (burst) ─► up (any reply; the lost ones stay counted as loss)
//! ```
//!
//! Inputs are here; which target is asked when is in `probing`, how a probe ends in `settle`, and what follows is decided in
//! `verdict`. A burst is apart from the state: any reply ends the suspicion of silence, but the burst goes on until it is
//! certain how much is lost ([`super::sequential`]).

use std::net::IpAddr;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::flaps::Flaps;
use super::local::{Gateway, Link};
use super::passive::{Own, Passive, Trigger};
use super::quality::Quality;
use super::sequential::Tally;
use super::target::{Kind, TargetHealth};
use super::{Cause, Evidence, Output, State, Verdict};
use crate::config::model::{Profile, Target, TargetId};
use crate::probe::flight::Flight;
use crate::probe::schedule::Schedule;
use crate::probe::{Answer, Cookie, Outcome};
use crate::time::Instant;

/// A start has heard by then of all that the kernel has; what was not told of is not there.
const FIRST_DUMP: Duration = Duration::from_secs(2);
/// Counters of a line without traffic: often enough to notice within a quarter second that a call or a download starts.
const IDLE_COUNTERS: Duration = Duration::from_millis(250);

#[derive(Clone, Debug)]
pub(super) struct Burst {
    pub started: Instant,
    /// What started it, if no probe did.
    pub trigger: Option<Trigger>,
    /// It goes on after a reply until it is certain how much is lost. Else it only asks whether anything answers.
    pub weighs: bool,
    pub tally: Tally,
    /// A reply came since it started.
    pub alive: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Recovery {
    pub first_reply: Instant,
    pub due: Instant,
    pub replied: u16,
}

#[derive(Clone, Debug)]
pub(super) struct Outage {
    pub since: Instant,
    pub cause: Cause,
    pub flaps: u32,
}

/// Times our own process was late since the last reply.
#[derive(Clone, Debug, Default)]
pub(super) struct Stalls {
    pub count: u32,
    pub void: u32,
    pub longest: Duration,
}

/// What follows from the profile alone, reckoned once instead of with each event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spans {
    pub settle_after: Duration,
    /// A reply is overdue after this at the latest.
    pub overdue_most: Duration,
    /// Between two probes of a burst.
    pub burst: Duration,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub(super) profile: Profile,
    pub(super) spans: Spans,
    pub(super) metered: bool,
    /// Families of the uplink that are probed: on standby they share the metered interval.
    pub(super) families: u32,
    pub(super) targets: Vec<TargetHealth>,
    pub(super) link: Link,
    pub(super) address: Option<IpAddr>,
    pub(super) gateway: Option<Gateway>,
    pub(super) neighbour: Option<bool>,
    pub(super) state: State,
    pub(super) since: Instant,
    /// State and time before `suspect`.
    pub(super) before: (State, Instant),
    pub(super) evidence: Evidence,
    /// `degraded` because of loss, not of latency.
    pub(super) lossy: bool,
    /// The service whose failure was the last verdict of that sort.
    pub(super) failed: Option<Kind>,
    /// How much is lost was found out a moment ago; until then nobody asks again.
    pub(super) weighed_until: Instant,
    pub(super) asked_since: Instant,
    pub(super) last_reply: Option<Instant>,
    pub(super) flight: Flight,
    pub(super) schedule: Schedule,
    pub(super) burst: Option<Burst>,
    pub(super) quality: Quality,
    pub(super) quality_checked: Instant,
    pub(super) passive: Passive,
    pub(super) flaps: Flaps,
    pub(super) recovery: Option<Recovery>,
    pub(super) outage: Option<Outage>,
    pub(super) stalls: Stalls,
    pub(super) elsewhere: Vec<Elsewhere>,
    /// Was `up` at least once: from then on a failure is an outage and a return must be proved.
    pub(super) proved: bool,
    pub(super) in_use: bool,
    pub(super) skipped: u32,
    /// Probes sent since the counters were last read.
    pub(super) own: Own,
    /// Another line wants to know how this target answers here.
    pub(super) wanted: Option<TargetId>,
    started: Instant,
    told: Told,
    pub(super) random: ChaCha8Rng,
}

/// What the kernel has told since the start. What is not told yet is not gone.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    link: bool,
    address: bool,
    gateway: bool,
}

/// What the other lines know about the same target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Elsewhere {
    /// No other line asks it.
    #[default]
    NotAsked,
    Answers,
    /// Asked there, never answered.
    Fails,
}

impl Line {
    pub fn new(
        profile: &Profile,
        targets: &[&Target],
        metered: bool,
        families: u32,
        enabled: bool,
        seed: u64,
        now: Instant,
    ) -> Self {
        let state = if enabled { State::Unknown } else { State::Disabled };
        let spread = u32::try_from(targets.len()).unwrap_or(1).max(1);
        let spans = Spans {
            // What was lost for sure is forgotten after this; a reply later than that belongs to another age.
            settle_after: (profile.dead_after * 3).max(Duration::from_secs(2)),
            overdue_most: profile.dead_after / 2,
            burst: profile.burst_spacing / spread,
        };
        Self {
            profile: profile.clone(),
            spans,
            metered,
            families: families.max(1),
            targets: targets.iter().map(|target| TargetHealth::new(target)).collect(),
            link: Link::Missing,
            address: None,
            gateway: None,
            neighbour: None,
            state,
            since: now,
            before: (state, now),
            evidence: Evidence::default(),
            lossy: false,
            failed: None,
            weighed_until: Instant::ORIGIN,
            asked_since: now,
            last_reply: None,
            flight: Flight::default(),
            schedule: Schedule::new(now),
            burst: None,
            quality: Quality::new(profile.quality_window),
            quality_checked: now,
            passive: Passive::default(),
            flaps: Flaps::default(),
            recovery: None,
            outage: None,
            stalls: Stalls::default(),
            elsewhere: vec![Elsewhere::default(); targets.len()],
            proved: false,
            in_use: false,
            skipped: 0,
            own: Own::default(),
            wanted: None,
            started: now,
            told: Told::default(),
            random: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    // --- what is known

    pub fn state(&self) -> State {
        self.state
    }

    pub fn since(&self) -> Instant {
        self.since
    }

    /// The state that counts while a suspicion is not settled: the one before it.
    pub fn settled_state(&self) -> State {
        if self.state == State::Suspect { self.before.0 } else { self.state }
    }

    pub fn settled_since(&self) -> Instant {
        if self.state == State::Suspect { self.before.1 } else { self.since }
    }

    pub fn verdict(&self) -> Option<Verdict> {
        self.evidence.verdict.filter(|_| self.state == State::Down)
    }

    pub fn cause(&self) -> Option<Cause> {
        self.evidence.cause
    }

    /// Evidence of the last transition.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    pub fn is_lossy(&self) -> bool {
        self.lossy
    }

    pub fn flaps(&self) -> &Flaps {
        &self.flaps
    }

    pub fn quality(&self) -> &Quality {
        &self.quality
    }

    pub fn targets(&self) -> &[TargetHealth] {
        &self.targets
    }

    pub fn link(&self) -> Link {
        self.link
    }

    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    pub fn gateway(&self) -> Option<Gateway> {
        self.gateway
    }

    pub fn in_flight(&self) -> usize {
        self.flight.len()
    }

    /// How long after its sending a probe is remembered.
    pub fn settle_after(&self) -> Duration {
        self.spans.settle_after
    }

    /// When probation ends if nothing more is missed.
    pub fn recovers_at(&self) -> Option<Instant> {
        self.recovery.as_ref().map(|recovery| recovery.due)
    }

    pub fn outage_since(&self) -> Option<Instant> {
        self.outage.as_ref().map(|outage| outage.since)
    }

    /// The last sign that something beyond the line answered.
    pub fn last_life(&self) -> Option<Instant> {
        self.last_reply.max(self.passive.grew())
    }

    /// Device, address and gateway are there.
    pub fn is_local_ok(&self) -> bool {
        self.link == Link::Up && self.address.is_some() && self.gateway.is_some()
    }

    /// Device, address or gateway are missing for sure: told so, or not told within the time of a first dump.
    pub fn is_local_lost(&self, now: Instant) -> bool {
        let gone = (self.told.link && self.link != Link::Up)
            || (self.told.address && self.address.is_none())
            || (self.told.gateway && self.gateway.is_none());
        gone || (!self.is_local_ok() && now >= self.started + FIRST_DUMP)
    }

    /// How often the engine wants the packet counters.
    pub fn counters_every(&self, now: Instant) -> Option<Duration> {
        let watched = self.in_use && self.is_local_ok() && self.state != State::Disabled;
        watched.then(|| {
            let moving = self.passive.is_moving(now, Duration::from_secs(2));
            if moving { self.profile.counters_every } else { self.profile.counters_every.max(IDLE_COUNTERS) }
        })
    }

    /// The next instant at which `poll` has something to do.
    pub fn deadline(&self) -> Instant {
        if self.state == State::Disabled || !self.is_local_ok() {
            let dump = if self.state == State::Unknown { self.started + FIRST_DUMP } else { Instant::NEVER };
            return self.flight.deadline().min(dump);
        }
        let recovery = self.recovery.as_ref().map_or(Instant::NEVER, |recovery| recovery.due);
        self.schedule.due().min(self.flight.deadline()).min(recovery)
    }

    /// Would a poll hold against the line what was not answered? Of a line that works it only sends the next probe.
    pub fn judges_silence(&self, now: Instant) -> bool {
        let works = matches!(self.state, State::Up | State::Degraded) && self.burst.is_none();
        self.deadline() <= now && !(works && self.flight.deadline() > now)
    }

    // --- what comes in

    pub fn handle_link(&mut self, link: Link, now: Instant, out: &mut Output) {
        if std::mem::replace(&mut self.told.link, true) && self.link == link {
            return;
        }
        let was_up = self.link == Link::Up;
        self.link = link;
        if !was_up || link != Link::Up {
            self.passive.forget();
        }
        self.local_changed(now, out);
    }

    pub fn handle_address(&mut self, address: Option<IpAddr>, now: Instant, out: &mut Output) {
        if std::mem::replace(&mut self.told.address, true) && self.address == address {
            return;
        }
        self.address = address;
        // Replies to the old address will not come back.
        self.flight.make_void();
        self.local_changed(now, out);
    }

    pub fn handle_gateway(&mut self, gateway: Option<Gateway>, now: Instant, out: &mut Output) {
        if std::mem::replace(&mut self.told.gateway, true) && self.gateway == gateway {
            return;
        }
        self.gateway = gateway;
        self.local_changed(now, out);
    }

    /// Probes and replies of this family since the last reading.
    pub fn take_own(&mut self) -> Own {
        std::mem::take(&mut self.own)
    }

    /// `own` is of all families: they probe through the same device.
    pub fn handle_counters(&mut self, received: u64, sent: u64, own: Own, now: Instant, out: &mut Output) {
        if !self.in_use {
            // What the other family carries through the same device says nothing about this one.
            return;
        }
        self.passive.handle_counters(received, sent, own, now);
        if matches!(self.state, State::Up | State::Degraded)
            && self.burst.is_none()
            && let Some(trigger) = self.passive.trigger(now, self.profile.quiet_after)
        {
            self.begin_burst(Some(trigger), now, out);
        }
    }

    pub fn handle_sent(&mut self, sequence: u32, at: Instant) {
        let (floor, ceiling) = (self.profile.overdue_floor, self.spans.overdue_most);
        let targets = &self.targets;
        let patience = |target: TargetId| Some(targets.get(target.index())?.rtt.overdue_after(floor, ceiling));
        if self.flight.handle_sent(sequence, at, patience) {
            self.own.sent += 1;
        }
    }

    pub fn handle_unsent(&mut self, sequence: u32, out: &mut Output) {
        if let Some(pending) = self.flight.take(sequence) {
            self.settle_neutral(&pending, Outcome::Unsent, out);
        }
    }

    /// An echo reply. It counts only from the address that was asked (R2). Returns whether it was one of ours.
    pub fn handle_echo(
        &mut self,
        wire_sequence: u16,
        cookie: Cookie,
        from: IpAddr,
        received: Instant,
        now: Instant,
        out: &mut Output,
    ) -> bool {
        let targets = &self.targets;
        let asked = |target: TargetId| targets.get(target.index()).is_some_and(|target| target.answers_from(from));
        match self.flight.take_echo(wire_sequence, cookie, asked) {
            Some(pending) => {
                self.settle_reply(&pending, received, now, out);
                true
            }
            None => false,
        }
    }

    pub fn handle_answer(&mut self, sequence: u32, answer: Answer, received: Instant, now: Instant, out: &mut Output) {
        // An ICMP error is evidence of the cause only; anybody can send one. The probe goes on waiting.
        if answer == Answer::Unreachable {
            return;
        }
        let Some(pending) = self.flight.take(sequence) else { return };
        match answer {
            Answer::Reply => self.settle_reply(&pending, received, now, out),
            Answer::Refused => self.settle_failed(&pending, Outcome::Refused, now, out),
            Answer::Wrong(wrong) => self.settle_failed(&pending, Outcome::Wrong(wrong), now, out),
            Answer::Unreachable => {}
        }
    }

    /// Our own process was late by so much: what waits says nothing.
    pub fn handle_stall(&mut self, for_time: Duration) {
        let waiting = self.flight.iter().filter(|pending| !pending.void).count();
        self.stalls.count = self.stalls.count.saturating_add(1);
        self.stalls.void = self.stalls.void.saturating_add(u32::try_from(waiting).unwrap_or(u32::MAX));
        self.stalls.longest = self.stalls.longest.max(for_time);
        self.flight.make_void();
    }

    pub fn set_in_use(&mut self, in_use: bool, now: Instant) {
        if self.in_use != in_use {
            self.in_use = in_use;
            self.passive.forget();
            // From 30 s on standby to 1 s in use without waiting for the old turn.
            self.schedule.hurry(now + self.interval(now));
        }
    }

    pub fn set_suspect_target(&mut self, target: TargetId, suspect: bool) {
        if let Some(target) = self.targets.get_mut(target.index()) {
            target.suspect = suspect;
        }
    }

    /// How the target does on the other lines, and its newest answer there: when it was asked, and when it answered.
    pub fn set_elsewhere(&mut self, target: TargetId, elsewhere: Elsewhere, newest: Option<(Instant, Instant)>) {
        if let Some(slot) = self.elsewhere.get_mut(target.index()) {
            *slot = elsewhere;
        }
        if let Some(target) = self.targets.get_mut(target.index()) {
            target.handle_elsewhere(newest);
        }
    }

    // --- time

    pub fn poll(&mut self, now: Instant, out: &mut Output) {
        if self.flight.deadline() <= now {
            self.poll_flight(now, out);
        }
        if self.state == State::Unknown && self.is_local_lost(now) {
            self.local_changed(now, out);
        }
        if self.state == State::Disabled || !self.is_local_ok() {
            return;
        }
        self.judge(now, out);
        self.poll_schedule(now, out);
    }

    /// A target that stays silent while others answer must not start a burst each time, nor convict. If all are equally
    /// poor, the line is.
    pub(super) fn is_muted(&self, index: usize) -> bool {
        let Some(target) = self.targets.get(index).filter(|target| target.is_poor()) else { return false };
        let others = self.targets.iter().enumerate().filter(|(other, _)| *other != index);
        let mut others = others.filter(|(_, other)| other.kind != Kind::Page && !other.suspect);
        others.any(|(_, other)| other.loss < target.loss / 2.0)
    }

    pub(super) fn muted(&self) -> u16 {
        let bit = |index: usize| u32::try_from(index).ok().and_then(|index| 1u16.checked_shl(index)).unwrap_or(0);
        (0..self.targets.len()).filter(|index| self.is_muted(*index)).fold(0, |set, index| set | bit(index))
    }

    /// What is under way says nothing any more.
    pub fn void_flight(&mut self) {
        self.flight.make_void();
    }
}
