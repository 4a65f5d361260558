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

#[derive(Clone, Debug, Default)]
pub struct Flight {
    pending: VecDeque<Pending>,
    next_sequence: u32,
}

impl Flight {
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Pending> {
        self.pending.iter_mut()
    }

    /// Adds a probe and returns its sequence, and the oldest one if it had to make room.
    pub fn add(&mut self, mut probe: Pending) -> (u32, Option<Pending>) {
        let dropped = if self.pending.len() >= IN_FLIGHT { self.pending.pop_front() } else { None };
        let sequence = self.next_sequence;
        self.next_sequence = self.next_sequence.wrapping_add(1);
        probe.sequence = sequence;
        self.pending.push_back(probe);
        (sequence, dropped)
    }

    pub fn find_mut(&mut self, sequence: u32) -> Option<&mut Pending> {
        self.pending.iter_mut().rev().find(|pending| pending.sequence == sequence)
    }

    pub fn take(&mut self, sequence: u32) -> Option<Pending> {
        let index = self.pending.iter().rposition(|pending| pending.sequence == sequence)?;
        self.pending.remove(index)
    }

    /// The probe that an echo reply answers: sequence as on the wire, cookie and asked address must all fit.
    pub fn take_echo(
        &mut self,
        wire_sequence: u16,
        cookie: Cookie,
        asked: impl Fn(TargetId) -> bool,
    ) -> Option<Pending> {
        let fits = |pending: &Pending| {
            pending.sequence & 0xffff == u32::from(wire_sequence)
                && pending.cookie == cookie
                && pending.stage != Stage::Requested
                && asked(pending.target)
        };
        let index = self.pending.iter().rposition(fits)?;
        self.pending.remove(index)
    }

    /// Removes the first probe that has come to its end by time.
    pub fn take_expired(&mut self, now: Instant, settle_after: Duration) -> Option<Pending> {
        let front = self.pending.front()?;
        if now.since(front.sent) < settle_after {
            return None;
        }
        self.pending.pop_front()
    }

    /// The next instant at which something here changes by itself.
    pub fn deadline(&self) -> Instant {
        self.pending.iter().map(|pending| pending.next).min().unwrap_or(Instant::NEVER)
    }

    /// When the oldest probe of this target that was sent after `after` left.
    pub fn oldest_sent_after(&self, target: TargetId, after: Instant) -> Option<Instant> {
        self.pending
            .iter()
            .find(|p| p.target == target && p.sent > after && !p.void && p.stage != Stage::Requested)
            .map(|p| p.sent)
    }

    /// How many probes of this target, sent after `after` and at `until` the latest, wait.
    pub fn sent_between(&self, target: TargetId, after: Instant, until: Instant) -> u32 {
        let fits = |p: &&Pending| {
            p.target == target && p.sent > after && p.sent <= until && !p.void && p.stage != Stage::Requested
        };
        u32::try_from(self.pending.iter().filter(fits).count()).unwrap_or(u32::MAX)
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
}
