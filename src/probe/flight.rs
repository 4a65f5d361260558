//! Probes on their way, of one uplink and family, and the rule by which a reply belongs to one of them: the asked
//! address, our sequence number, the probe's own 128-bit cookie, inside the window.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::model::TargetId;
use crate::probe::Cookie;
use crate::time::Instant;

/// A burst of 16 targets every 10 ms for half a second fits; older ones are settled as void and counted.
pub const IN_FLIGHT: usize = 1_024;

#[derive(Clone, Debug)]
pub struct Pending {
    pub sequence: u32,
    pub target: TargetId,
    pub cookie: Cookie,
    pub sent: Instant,
    pub stage: Stage,
    /// When the stage ends by itself.
    pub next: Instant,
    /// Belongs to a burst, so that its end counts in the sequential tests.
    pub burst: bool,
    /// Our own process was late: its silence says nothing.
    pub void: bool,
}

impl Pending {
    /// Of a burst, late, and not yet given up.
    pub fn is_overdue_in_burst(&self) -> bool {
        self.burst && !self.void && self.stage == Stage::Overdue
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Asked for, the edge has not yet told when it left.
    Requested,
    Waiting,
    /// A reply now would be late.
    Overdue,
    /// Counted as lost in the burst; a reply now is still life.
    Lost,
}

/// Those that may still be answered in time are looked at with each event; in a brown-out many more only wait to be
/// forgotten, so they are kept apart.
#[derive(Clone, Debug)]
pub struct Flight {
    waiting: VecDeque<Pending>,
    /// In order of sending.
    lost: VecDeque<Pending>,
    next_sequence: u32,
    /// The first end by itself of those that wait; kept, because it is asked for after each event of the line.
    waiting_until: Instant,
}

impl Default for Flight {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), lost: VecDeque::new(), next_sequence: 0, waiting_until: Instant::NEVER }
    }
}

impl Flight {
    pub fn len(&self) -> usize {
        self.waiting.len() + self.lost.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.lost.iter().chain(&self.waiting)
    }

    /// Our own process was late: nothing that is on its way says anything.
    pub fn make_void(&mut self) {
        for pending in self.lost.iter_mut().chain(&mut self.waiting) {
            pending.void = true;
        }
    }

    /// All but the lost ones.
    pub fn waiting(&self) -> impl Iterator<Item = &Pending> {
        self.waiting.iter()
    }

    /// Moves on those whose stage has ended by itself.
    pub fn advance(&mut self, now: Instant, mut next: impl FnMut(&mut Pending)) {
        if self.waiting_until > now {
            return;
        }
        let mut lost = false;
        let mut until = Instant::NEVER;
        for pending in &mut self.waiting {
            if pending.next <= now {
                next(pending);
            }
            match pending.stage {
                Stage::Lost => lost = true,
                Stage::Requested | Stage::Waiting | Stage::Overdue => until = until.min(pending.next),
            }
        }
        self.waiting_until = until;
        if lost {
            self.part_lost();
        }
    }

    fn part_lost(&mut self) {
        while let Some(index) = self.waiting.iter().position(|pending| pending.stage == Stage::Lost) {
            let Some(lost) = self.waiting.remove(index) else { return };
            // Patience differs by target, so a later one may have been lost before.
            let after = self.lost.iter().rposition(|other| other.sent <= lost.sent);
            self.lost.insert(after.map_or(0, |index| index + 1), lost);
        }
    }

    /// Adds a probe and returns its sequence, and the oldest one if it had to make room.
    pub fn add(&mut self, mut probe: Pending) -> (u32, Option<Pending>) {
        let dropped = if self.len() >= IN_FLIGHT { self.take_oldest() } else { None };
        let sequence = self.next_sequence;
        self.next_sequence = self.next_sequence.wrapping_add(1);
        probe.sequence = sequence;
        self.waiting_until = self.waiting_until.min(probe.next);
        self.waiting.push_back(probe);
        (sequence, dropped)
    }

    /// It left at `at`; its target's reply is overdue after what `patience` says.
    pub fn handle_sent(
        &mut self,
        sequence: u32,
        at: Instant,
        patience: impl FnOnce(TargetId) -> Option<Duration>,
    ) -> bool {
        let Some(pending) = self.waiting.iter_mut().rev().find(|pending| pending.sequence == sequence) else {
            return false;
        };
        let Some(patience) = patience(pending.target) else { return false };
        let planned = std::mem::replace(&mut pending.next, at + patience);
        pending.sent = at;
        pending.stage = Stage::Waiting;
        let next = pending.next;
        self.handle_changed(planned, next);
        true
    }

    /// Its end counts in the burst that it started.
    pub fn join_burst(&mut self, sequence: u32) {
        if let Some(pending) = self.waiting.iter_mut().rev().find(|pending| pending.sequence == sequence) {
            pending.burst = true;
        }
    }

    fn handle_changed(&mut self, from: Instant, to: Instant) {
        if to <= self.waiting_until {
            self.waiting_until = to;
        } else if from <= self.waiting_until {
            self.waiting_until = self.waiting.iter().map(|pending| pending.next).min().unwrap_or(Instant::NEVER);
        }
    }

    pub fn take(&mut self, sequence: u32) -> Option<Pending> {
        self.take_newest(|pending| pending.sequence == sequence)
    }

    /// The probe that an echo reply answers: sequence as on the wire, cookie and asked address must all fit.
    pub fn take_echo(
        &mut self,
        wire_sequence: u16,
        cookie: Cookie,
        asked: impl Fn(TargetId) -> bool,
    ) -> Option<Pending> {
        self.take_newest(|pending| {
            pending.sequence & 0xffff == u32::from(wire_sequence)
                && pending.cookie == cookie
                && pending.stage != Stage::Requested
                && asked(pending.target)
        })
    }

    fn take_newest(&mut self, fits: impl Fn(&Pending) -> bool) -> Option<Pending> {
        if let Some(index) = self.waiting.iter().rposition(&fits) {
            let taken = self.waiting.remove(index)?;
            self.handle_changed(taken.next, Instant::NEVER);
            return Some(taken);
        }
        let index = self.lost.iter().rposition(fits)?;
        self.lost.remove(index)
    }

    fn oldest(&self) -> Option<&Pending> {
        match (self.lost.front(), self.waiting.front()) {
            (Some(lost), Some(waiting)) if waiting.sent < lost.sent => Some(waiting),
            (lost, waiting) => lost.or(waiting),
        }
    }

    fn take_oldest(&mut self) -> Option<Pending> {
        if self.oldest()?.stage == Stage::Lost {
            return self.lost.pop_front();
        }
        let taken = self.waiting.pop_front()?;
        self.handle_changed(taken.next, Instant::NEVER);
        Some(taken)
    }

    /// Removes the first probe that has come to its end by time.
    pub fn take_expired(&mut self, now: Instant, settle_after: Duration) -> Option<Pending> {
        if now < self.oldest()?.sent + settle_after {
            return None;
        }
        self.take_oldest()
    }

    /// The next instant at which something here changes by itself.
    pub fn deadline(&self) -> Instant {
        self.lost.front().map_or(Instant::NEVER, |pending| pending.next).min(self.waiting_until)
    }

    /// When the oldest probe of this target that was sent after `after` left.
    pub fn oldest_sent_after(&self, target: TargetId, after: Instant) -> Option<Instant> {
        let fits = |p: &&Pending| p.target == target && p.sent > after && !p.void && p.stage != Stage::Requested;
        let oldest = |pending: &VecDeque<Pending>| pending.iter().find(fits).map(|p| p.sent);
        match (oldest(&self.lost), oldest(&self.waiting)) {
            (Some(lost), Some(waiting)) => Some(lost.min(waiting)),
            (lost, waiting) => lost.or(waiting),
        }
    }

    /// How many probes of this target, sent after `after` and at `until` the latest, wait.
    pub fn sent_between(&self, target: TargetId, after: Instant, until: Instant) -> u32 {
        let fits = |p: &&Pending| {
            p.target == target && p.sent > after && p.sent <= until && !p.void && p.stage != Stage::Requested
        };
        u32::try_from(self.iter().filter(fits).count()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(target: u8, sent: u64, cookie: u8) -> Pending {
        Pending {
            sequence: 0,
            target: TargetId(target),
            cookie: Cookie([cookie; 16]),
            sent: Instant::from_nanos(sent),
            stage: Stage::Waiting,
            next: Instant::NEVER,
            burst: false,
            void: false,
        }
    }

    #[test]
    fn a_reply_needs_sequence_and_cookie_and_counts_once() {
        let mut flight = Flight::default();
        let (first, _) = flight.add(probe(0, 1, 1));
        let (second, _) = flight.add(probe(1, 2, 2));
        assert!(flight.take_echo(0, Cookie([2; 16]), |_| true).is_none(), "cookie of another probe");
        assert!(flight.take_echo(7, Cookie([1; 16]), |_| true).is_none(), "a sequence that we never sent");
        assert!(flight.take_echo(0, Cookie([1; 16]), |target| target == TargetId(1)).is_none(), "another's address");
        assert_eq!(flight.take_echo(0, Cookie([1; 16]), |_| true).map(|p| p.sequence), Some(first));
        assert!(flight.take_echo(0, Cookie([1; 16]), |_| true).is_none(), "a duplicate");
        assert_eq!(flight.take(second).map(|p| p.target), Some(TargetId(1)));
    }

    #[test]
    fn the_sixteen_bits_on_the_wire_may_wrap() {
        let mut flight = Flight { next_sequence: 0x1_0005, ..Flight::default() };
        flight.add(probe(0, 1, 9));
        assert_eq!(flight.take_echo(5, Cookie([9; 16]), |_| true).map(|p| p.sequence), Some(0x1_0005));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_makes_room() {
        let mut flight = Flight::default();
        let mut dropped = 0;
        for n in 0..IN_FLIGHT + 10 {
            dropped += usize::from(flight.add(probe(0, n as u64, 0)).1.is_some());
        }
        assert_eq!((flight.len(), dropped), (IN_FLIGHT, 10));
    }

    #[test]
    fn the_deadline_is_that_of_the_first_that_still_waits() {
        let mut flight = Flight::default();
        for n in 0..40u8 {
            let (sequence, _) = flight.add(probe(n % 3, u64::from(n), n));
            let at = Instant::from_nanos(u64::from(n));
            flight.handle_sent(sequence, at, |_| Some(Duration::from_nanos(50 + u64::from(n) * 37 % 60)));
            if n % 4 == 0 {
                flight.take(sequence / 2);
            }
            flight.advance(at, |pending| pending.next = at + Duration::from_nanos(5));
            let first = flight.waiting().map(|pending| pending.next).min();
            assert_eq!(flight.deadline(), first.unwrap_or(Instant::NEVER), "{n}");
        }
    }

    #[test]
    fn what_is_lost_is_still_answered_and_ends_in_order_of_sending() {
        let mut flight = Flight::default();
        for sent in 1..=4 {
            flight.add(probe(0, sent, u8::try_from(sent).expect("small")));
        }
        // The third is lost before the first.
        for sent in [3, 1] {
            flight.advance(Instant::NEVER, |pending| {
                if pending.sent == Instant::from_nanos(sent) {
                    pending.stage = Stage::Lost;
                }
            });
        }
        assert_eq!((flight.len(), flight.waiting().count()), (4, 2));
        assert_eq!(flight.take_echo(0, Cookie([1; 16]), |_| true).map(|p| p.stage), Some(Stage::Lost));
        let settled = Duration::from_nanos(10);
        let ended = std::iter::from_fn(|| flight.take_expired(Instant::from_nanos(14), settled));
        let order: Vec<u64> = ended.map(|pending| pending.sent.nanos()).collect();
        assert_eq!(order, [2, 3, 4]);
    }
}
