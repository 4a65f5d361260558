//! Page's cumulative sum on the packets that come in, against those which the traffic so far lets one expect (E. S. Page,
//! Continuous Inspection Schemes, 1954). Half of the answers missing is noticed after some twenty packets, long before the
//! next probe of an idle-looking line would tell. It only starts a burst: traffic changes for many reasons.

use std::time::Duration;

use crate::time::Instant;

/// What is remembered of the usual traffic.
const MEMORY: Duration = Duration::from_secs(2);
/// Fewer packets each way within the memory are no usual traffic.
const USUAL: f32 = 20.0;
/// One way traffic (a camera, a broadcast) expects nothing back.
const LEAST_SHARE: f32 = 0.25;
/// So many times the usual may be expected of one reading: the answers to a sudden upload take a round trip.
const SURGE: f32 = 2.0;
/// Half of the expected against all of it, each a Poisson count: `k ln ½ + e/2` for `k` that came of `e` expected.
const HALF: f32 = -std::f32::consts::LN_2;
/// Suspicious at `e⁵` (150) to one. At 60 % loss that is some 22 expected packets.
const SUSPICIOUS: f32 = 5.0;

#[derive(Clone, Debug, Default)]
pub struct Deficit {
    /// Packets within the memory, older ones fading away.
    received: f32,
    sent: f32,
    /// Readings within the memory, fading alike.
    readings: f32,
    last: Option<Instant>,
    score: f32,
}

impl Deficit {
    pub fn handle_reading(&mut self, received: u64, sent: u64, now: Instant) {
        #[expect(clippy::cast_precision_loss, reason = "packets of one reading")]
        let (received, sent) = (received as f32, sent as f32);
        let usual = self.received >= USUAL && self.sent >= USUAL && self.received >= self.sent * LEAST_SHARE;
        if usual {
            let share = (self.received / self.sent).min(1.0);
            let most = SURGE * self.sent / self.readings.max(1.0);
            self.score = (self.score + share * sent.min(most) / 2.0 + received * HALF).max(0.0);
        } else {
            self.score = 0.0;
        }
        let fade = self.last.map_or(0.0, |last| (1.0 - now.since(last).as_secs_f32() / MEMORY.as_secs_f32()).max(0.0));
        self.last = Some(now);
        for (sum, new) in [(&mut self.received, received), (&mut self.sent, sent), (&mut self.readings, 1.0)] {
            *sum = *sum * fade + new;
        }
    }

    pub fn is_suspicious(&self) -> bool {
        self.score >= SUSPICIOUS
    }

    /// It was looked into.
    pub fn forgive(&mut self) {
        self.score = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READING: Duration = Duration::from_millis(50);

    fn at(reading: u64) -> Instant {
        Instant::ORIGIN + READING * u32::try_from(reading).expect("small")
    }

    /// The first reading from `from` on that is suspicious.
    fn noticed(deficit: &mut Deficit, from: u64, until: u64, traffic: impl Fn(u64) -> (u64, u64)) -> Option<u64> {
        (from..until).find(|reading| {
            let (received, sent) = traffic(*reading);
            deficit.handle_reading(received, sent, at(*reading));
            deficit.is_suspicious()
        })
    }

    fn after_a_call() -> Deficit {
        let mut deficit = Deficit::default();
        assert_eq!(noticed(&mut deficit, 0, 200, |_| (5, 5)), None);
        deficit
    }

    #[test]
    fn most_answers_missing_are_noticed_within_half_a_second() {
        let found = noticed(&mut after_a_call(), 200, 300, |_| (2, 5)).expect("noticed");
        assert!(found <= 210, "{found}");
    }

    #[test]
    fn a_call_that_ends_or_starts_is_nothing() {
        assert_eq!(noticed(&mut after_a_call(), 200, 300, |_| (0, 0)), None);
        let mut quiet = Deficit::default();
        assert_eq!(noticed(&mut quiet, 0, 100, |_| (0, 0)), None);
        assert_eq!(noticed(&mut quiet, 100, 200, |reading| (if reading < 102 { 0 } else { 5 }, 5)), None);
    }

    #[test]
    fn one_way_streams_expect_nothing_back() {
        let mut camera = Deficit::default();
        assert_eq!(noticed(&mut camera, 0, 400, |reading| (u64::from(reading.is_multiple_of(10)), 50)), None);
        let mut download = Deficit::default();
        assert_eq!(noticed(&mut download, 0, 400, |reading| (40 + reading % 20, 10)), None);
    }

    #[test]
    fn a_little_loss_is_nothing() {
        assert_eq!(noticed(&mut after_a_call(), 200, 2_000, |reading| (if reading % 4 == 0 { 4 } else { 5 }, 5)), None);
    }
}
