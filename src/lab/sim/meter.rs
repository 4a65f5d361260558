//! The packet counters of one device, and who reads them when.

use std::time::Duration;

use crate::time::Instant;

/// Unanswered traffic that nobody adds to is looked at so many more times: silence ripens without new packets.
const AFTER_LOOKS: u8 = 8;

#[derive(Clone, Debug)]
pub(super) struct Meter {
    every: Option<Duration>,
    next: Instant,
    counted: Instant,
    pub received: f64,
    pub sent: f64,
    /// Packets a second, in and out.
    rates: (f64, f64),
    told: (u64, u64),
    looks: u8,
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
        }
    }

    pub(super) fn next_at(&self) -> Instant {
        self.next
    }

    pub(super) fn watch(&mut self, every: Option<Duration>, now: Instant) {
        self.every = every;
        self.looks = AFTER_LOOKS;
        self.next = every.map_or(Instant::NEVER, |every| now + every);
    }

    pub(super) fn set_rates(&mut self, incoming: f64, outgoing: f64, now: Instant) {
        self.count(now);
        self.rates = (incoming, outgoing);
    }

    /// Counters received and sent, if reading them tells anything: unchanged ones say no more than those before.
    pub(super) fn read(&mut self, now: Instant) -> Option<(u64, u64)> {
        let every = self.every?;
        self.next = now + every;
        self.count(now);
        let whole = |count: f64| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "packets of some hours")]
            let packets = count as u64;
            packets
        };
        let counters = (whole(self.received), whole(self.sent));
        let (received, sent) = (counters.0 - self.told.0, counters.1 - self.told.1);
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
        self.looks = self.looks.checked_sub(1)?;
        Some(counters)
    }

    fn count(&mut self, now: Instant) {
        let seconds = now.since(self.counted).as_secs_f64();
        self.counted = now;
        self.received += self.rates.0 * seconds;
        self.sent += self.rates.1 * seconds;
    }
}
