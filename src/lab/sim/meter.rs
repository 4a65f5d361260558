//! The packet counters of one device, and who reads them when.

use std::time::Duration;

use crate::time::{Instant, nanos};

/// Unanswered traffic that nobody adds to is looked at so many more times: silence ripens without new packets.
const AFTER_LOOKS: u8 = 8;

#[derive(Clone, Debug)]
pub(super) struct Meter {
    every: Option<Duration>,
    next: Instant,
    counted: Instant,
    received: f64,
    sent: f64,
    /// Packets a second, in and out.
    rates: (f64, f64),
    told: (u64, u64),
    looks: u8,
    /// Nothing moves: not read until something does. The last reading, so that the rhythm is kept.
    asleep_since: Option<Instant>,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            every: None,
            next: Instant::NEVER,
            counted: now,
            received: 0.0,
            sent: 0.0,
            rates: (0.0, 0.0),
            told: (0, 0),
            looks: 0,
            asleep_since: None,
        }
    }

    pub(super) fn next_at(&self) -> Instant {
        self.next
    }

    pub(super) fn watch(&mut self, every: Option<Duration>, now: Instant) {
        self.every = every;
        self.looks = AFTER_LOOKS;
        self.next = every.map_or(Instant::NEVER, |every| now + every);
        self.asleep_since = None;
    }

    pub(super) fn add_received(&mut self, now: Instant) {
        self.received += 1.0;
        self.wake(now);
        if self.looks == 0 && self.rates == (0.0, 0.0) && self.news() == (1, 1) {
            // The one probe that woke it is answered: a reading would find nothing new.
            self.told = self.counters();
            self.asleep_since = self.every.map(|every| self.next - every);
            self.next = Instant::NEVER;
        }
    }

    pub(super) fn add_sent(&mut self, now: Instant) {
        self.sent += 1.0;
        self.wake(now);
    }

    fn wake(&mut self, now: Instant) {
        if let (Some(since), Some(every)) = (self.asleep_since.take(), self.every) {
            let period = nanos(every).max(1);
            let passed = (now.nanos() - since.nanos()) / period + 1;
            self.next = Instant::from_nanos(since.nanos() + passed * period);
        }
    }

    pub(super) fn set_rates(&mut self, incoming: f64, outgoing: f64, now: Instant) {
        self.count(now);
        self.rates = (incoming, outgoing);
        if incoming + outgoing > 0.0 {
            self.wake(now);
        }
    }

    /// Counters received and sent, if reading them tells anything: unchanged ones say no more than those before.
    pub(super) fn read(&mut self, now: Instant) -> Option<(u64, u64)> {
        let every = self.every?;
        self.next = now + every;
        self.count(now);
        let counters = self.counters();
        let (received, sent) = self.news();
        if received == sent && sent <= 1 && sent > 0 && self.looks == 0 {
            // One probe and its answer, of which the engine knows already.
            self.told = counters;
            return None;
        }
        if counters != self.told {
            // An answered exchange needs no second look.
            self.looks = if counters.0 == self.told.0 { AFTER_LOOKS } else { 0 };
            self.told = counters;
            return Some(counters);
        }
        if self.looks == 0 && self.rates == (0.0, 0.0) {
            self.asleep_since = Some(now);
            self.next = Instant::NEVER;
        }
        self.looks = self.looks.checked_sub(1)?;
        Some(counters)
    }

    fn counters(&self) -> (u64, u64) {
        let whole = |count: f64| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "packets of some hours")]
            let packets = count as u64;
            packets
        };
        (whole(self.received), whole(self.sent))
    }

    /// What was not told yet.
    fn news(&self) -> (u64, u64) {
        let counters = self.counters();
        (counters.0 - self.told.0, counters.1 - self.told.1)
    }

    fn count(&mut self, now: Instant) {
        let passed = now.since(std::mem::replace(&mut self.counted, now));
        if self.rates == (0.0, 0.0) {
            return;
        }
        let seconds = passed.as_secs_f64();
        self.received += self.rates.0 * seconds;
        self.sent += self.rates.1 * seconds;
    }
}
