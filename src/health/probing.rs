//! Which target of a line is asked when: steadily, in a burst, on standby, or because another line wants to know.

use std::time::Duration;

use rand_chacha::rand_core::Rng;

use super::line::Line;
use super::target::Kind;
use super::{Output, State, Verdict};
use crate::config::model::TargetId;
use crate::probe::flight::{Pending, Stage};
use crate::probe::schedule::{PAGE, POLITE, Turn};
use crate::probe::{Cookie, Outcome};
use crate::time::Instant;

/// A metered line that is down is asked this often: it costs nothing while nothing comes back.
const METERED_DOWN_INTERVAL: Duration = Duration::from_secs(5);
/// Passive life lets this many probes in a row be skipped on a metered line, then one is sent all the same.
const SKIP_MOST: u32 = 10;
/// Lines that are probed more slowly keep their time: there each probe may be paid for.
const EARLY_BELOW: Duration = Duration::from_secs(1);

impl Line {
    /// Asks this target next, unless it was asked since then.
    pub fn ask_since(&mut self, target: TargetId, since: Instant, now: Instant) {
        let asked = self.targets.get(target.index()).is_none_or(|target| target.last_sent >= Some(since));
        if !asked && self.is_local_ok() && self.wanted.is_none() {
            self.wanted = Some(target);
            self.schedule.prefer(target.index());
            self.schedule.hurry(now);
        }
    }

    /// The next probe of a steady line may go together with one of another line.
    pub fn is_nearly_due(&self, now: Instant) -> bool {
        let steady = matches!(self.state, State::Up | State::Degraded | State::Probation) && self.burst.is_none();
        let interval = self.interval(now);
        steady && interval <= EARLY_BELOW && self.schedule.is_nearly_due(now, interval)
    }

    pub fn poll_early(&mut self, now: Instant, out: &mut Output) {
        self.schedule.hurry(now);
        self.poll(now, out);
    }

    /// Between two probes, as things are.
    pub fn interval(&self, now: Instant) -> Duration {
        match self.state {
            // Whoever is known to lose most of what it is asked must not be drowned in questions.
            State::Down if self.burst.is_some() => self.profile.burst_spacing,
            _ if self.burst.is_some() => self.spans.burst,
            // A start asks quickly for as long as silence would take to be believed; then nobody is in a hurry, and a
            // neighbour that is not resolved yet must not find a crowd queued.
            State::Unknown if now.since(self.asked_since) < self.profile.dead_after * 2 => self.spans.burst,
            State::Unknown | State::Probation => self.profile.interval,
            State::Down if self.metered && self.evidence.verdict != Some(Verdict::Loss) => {
                METERED_DOWN_INTERVAL.max(self.profile.interval)
            }
            State::Down => self.profile.interval,
            State::Up | State::Degraded | State::Suspect | State::Disabled if self.in_use => self.profile.interval,
            State::Up | State::Degraded | State::Suspect | State::Disabled if self.metered => {
                self.profile.interval_standby * self.families
            }
            State::Up | State::Degraded | State::Suspect | State::Disabled => self.profile.interval_standby,
        }
    }

    pub(super) fn poll_schedule(&mut self, now: Instant, out: &mut Output) {
        // A few turns at the most: the schedule never piles up a crowd.
        for _ in 0..4 {
            if self.schedule.due() > now {
                return;
            }
            let interval = self.interval(now);
            let burst = self.burst.is_some() || self.state == State::Unknown;
            let only_pages = self.only_pages();
            let in_doubt = self.state == State::Down || burst;
            let wanted = self.wanted.map(TargetId::index);
            let targets = &self.targets;
            let turn = |index: usize| {
                let Some(target) = targets.get(index) else { return Turn { not_before: now, eligible: false } };
                let spacing = match target.kind {
                    _ if wanted == Some(index) => Duration::ZERO,
                    Kind::Page if target.failed_in_row > 0 || only_pages || in_doubt => POLITE,
                    Kind::Page => PAGE,
                    Kind::Icmp | Kind::Tcp | Kind::Dns if target.polite && !burst => POLITE,
                    Kind::Icmp | Kind::Tcp | Kind::Dns => Duration::ZERO,
                };
                let not_before = target.last_sent.map_or(Instant::ORIGIN, |sent| sent + spacing);
                Turn { not_before, eligible: true }
            };
            let index = self.schedule.take(now, interval, &mut self.random, targets.len(), turn);
            let Some(index) = index else { continue };
            if wanted == Some(index) {
                self.wanted = None;
            } else if self.may_skip(now) {
                continue;
            }
            self.send(index, burst, now, out);
        }
    }

    /// On a metered line that carries answered traffic a probe tells nothing new.
    fn may_skip(&mut self, now: Instant) -> bool {
        let quiet = self.metered && self.in_use && self.burst.is_none() && self.state == State::Up;
        let fresh = || {
            self.passive.grew().is_some_and(|grew| now < grew + self.profile.interval)
                && self.passive.is_moving(now, self.profile.interval)
                && self.passive.is_balanced()
                && self.targets.iter().all(|target| target.kind == Kind::Icmp || target.failed_in_row == 0)
        };
        if quiet && self.skipped < SKIP_MOST && fresh() {
            self.skipped += 1;
            return true;
        }
        self.skipped = 0;
        false
    }

    fn send(&mut self, index: usize, burst: bool, now: Instant, out: &mut Output) {
        let Some(target) = self.targets.get_mut(index) else { return };
        target.last_sent = Some(now);
        let id = TargetId(u8::try_from(index).unwrap_or(u8::MAX));
        let mut cookie = [0; 16];
        self.random.fill_bytes(&mut cookie);
        let cookie = Cookie(cookie);
        let (sequence, dropped) = self.flight.add(Pending {
            sequence: 0,
            target: id,
            cookie,
            sent: now,
            stage: Stage::Requested,
            next: now + self.settle_after(),
            burst,
            void: false,
        });
        if let Some(dropped) = dropped {
            self.settle_neutral(&dropped, Outcome::Void, out);
        }
        out.probes.push((id, sequence, cookie));
    }
}
