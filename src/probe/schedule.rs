//! When the next probe of one uplink and family is due, and to which target. Targets take turns; a small seeded jitter
//! keeps a fleet from beating in step; a token bucket caps what one uplink may send, bursts included.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use crate::time::{Instant, nanos};

/// Tokens an idle uplink has saved: a burst to three targets every 10 ms runs 1.7 s before it is slowed down.
const BUCKET: f64 = 512.0;
/// Probes a second that an uplink may send for ever: 16 targets, 10 probes a second each.
const REFILL_PER_SECOND: f64 = 160.0;
/// A token surely comes back within this.
const ONE_TOKEN: Duration = Duration::from_millis(7);
/// Who is asked by everybody is asked at most this often in steady state: being polite is part of being reliable.
pub const POLITE: Duration = Duration::from_secs(1);
/// A page costs a connection and a kilobyte; it is there to find portals, not to be fast.
pub const PAGE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct Schedule {
    due: Instant,
    turn: usize,
    tokens: f64,
    filled: Instant,
}

/// What the schedule must know of a target.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Not asked again before this.
    pub not_before: Instant,
    /// Takes part in this round at all.
    pub eligible: bool,
}

impl Schedule {
    pub fn new(now: Instant) -> Self {
        Self { due: now, turn: 0, tokens: BUCKET, filled: now }
    }

    pub fn due(&self) -> Instant {
        self.due
    }

    /// Due within an eighth of the interval.
    pub fn is_nearly_due(&self, now: Instant, interval: Duration) -> bool {
        self.due <= now + interval / 8
    }

    pub fn hurry(&mut self, at: Instant) {
        self.due = self.due.min(at);
    }

    /// This target's turn is next.
    pub fn prefer(&mut self, index: usize) {
        self.turn = index;
    }

    /// The next probe is due then, whatever was planned.
    pub fn restart(&mut self, at: Instant) {
        self.due = at;
    }

    pub fn postpone(&mut self, until: Instant) {
        self.due = self.due.max(until);
    }

    /// The target whose turn it is, if one is due; afterwards the next probe is due `interval` (± 5 %) later.
    pub fn take(
        &mut self,
        now: Instant,
        interval: Duration,
        jitter: &mut ChaCha8Rng,
        count: usize,
        targets: impl Fn(usize) -> Turn,
    ) -> Option<usize> {
        if now < self.due {
            return None;
        }
        self.refill(now);
        if self.tokens < 1.0 {
            self.due = now + Duration::from_secs_f64(1.0 / REFILL_PER_SECOND);
            return None;
        }
        let turn = self.turn.min(count);
        let mut earliest = None;
        let open = |index: &usize| {
            let Turn { not_before, eligible } = targets(*index);
            if eligible && not_before > now {
                earliest = Some(earliest.map_or(not_before, |other: Instant| other.min(not_before)));
            }
            eligible && not_before <= now
        };
        let Some(index) = (turn..count).chain(0..turn).find(open) else {
            self.due = earliest.unwrap_or(now + interval).max(now + Duration::from_millis(1));
            return None;
        };
        self.turn = index + 1;
        self.tokens -= 1.0;
        // 5 % around the interval: enough to drift apart, too little to see.
        let share = 950 + ((u64::from(jitter.next_u32()) * 101) >> 32);
        // Counted from the planned time, so that late turns do not stretch the interval; never a crowd to catch up.
        let planned = self.due.max(now - interval);
        self.due = (planned + Duration::from_nanos(nanos(interval) / 1_000 * share)).max(now);
        Some(index)
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.since(self.filled);
        self.filled = now;
        // In steady state one token is missing, and comes back long before the next probe.
        self.tokens = if passed >= ONE_TOKEN && self.tokens >= BUCKET - 1.0 {
            BUCKET
        } else {
            (self.tokens + passed.as_secs_f64() * REFILL_PER_SECOND).min(BUCKET)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    fn run(seconds: u64, interval: Duration, targets: &[Turn]) -> Vec<(Instant, usize)> {
        let mut jitter = ChaCha8Rng::seed_from_u64(7);
        let mut schedule = Schedule::new(Instant::ORIGIN);
        let mut sent = Vec::new();
        let end = Instant::ORIGIN + Duration::from_secs(seconds);
        while schedule.due() < end {
            let now = schedule.due();
            if let Some(target) = schedule.take(now, interval, &mut jitter, targets.len(), |index| targets[index]) {
                sent.push((now, target));
            }
        }
        sent
    }

    const OPEN: Turn = Turn { not_before: Instant::ORIGIN, eligible: true };

    #[test]
    fn targets_take_turns_at_the_interval() {
        let sent = run(100, Duration::from_secs(1), &[OPEN, OPEN, OPEN]);
        assert!((95..=106).contains(&sent.len()), "{} probes in 100 s", sent.len());
        assert!(sent.windows(2).all(|pair| pair[1].1 == (pair[0].1 + 1) % 3));
    }

    #[test]
    fn who_is_not_eligible_is_left_out() {
        let sent = run(10, Duration::from_millis(100), &[OPEN, Turn { eligible: false, ..OPEN }, OPEN]);
        assert!(sent.iter().all(|(_, target)| *target != 1));
        assert!(sent.len() > 90);
    }

    #[test]
    fn nobody_eligible_does_not_spin() {
        let mut jitter = ChaCha8Rng::seed_from_u64(7);
        let mut schedule = Schedule::new(Instant::ORIGIN);
        let shut = [Turn { eligible: false, ..OPEN }];
        assert_eq!(schedule.take(Instant::ORIGIN, Duration::from_secs(1), &mut jitter, 1, |index| shut[index]), None);
        assert_eq!(schedule.due(), Instant::ORIGIN + Duration::from_secs(1));
    }

    #[test]
    fn the_bucket_caps_an_endless_burst() {
        let sent = run(60, Duration::from_millis(1), &[OPEN, OPEN]);
        let most = BUCKET + 60.0 * REFILL_PER_SECOND;
        assert!((sent.len() as f64) <= most + 1.0, "{} probes", sent.len());
        assert!((sent.len() as f64) > most * 0.9, "{} probes", sent.len());
    }
}
