//! Recovery back-off: a line that fails again and again must prove itself longer each time. Each flap doubles the
//! probation, a quiet hour halves it.

use std::time::Duration;

use crate::time::Instant;

/// 2⁵ = 32 times `recover_after` at the most (RFC 2439 §4.2 likewise caps its penalty).
const MOST: u32 = 5;
const QUIET: Duration = Duration::from_secs(3_600);

#[derive(Clone, Copy, Debug, Default)]
pub struct Flaps {
    level: u32,
    last: Instant,
}

impl Flaps {
    pub fn handle_down(&mut self, now: Instant) {
        self.level = (self.level(now) + 1).min(MOST + 1);
        self.last = now;
    }

    /// 1 after the first outage in a long time.
    pub fn level(&self, now: Instant) -> u32 {
        let hours = now.since(self.last).as_secs() / QUIET.as_secs();
        self.level.saturating_sub(u32::try_from(hours).unwrap_or(u32::MAX))
    }

    pub fn recover_after(&self, base: Duration, now: Instant) -> Duration {
        base * (1 << self.level(now).saturating_sub(1).min(MOST))
    }

    /// More than the one outage that everybody may have.
    pub fn is_flapping(&self, now: Instant) -> bool {
        self.level(now) > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_thirty_two_and_decays_by_the_hour() {
        let base = Duration::from_secs(30);
        let mut flaps = Flaps::default();
        let start = Instant::ORIGIN;
        assert_eq!(flaps.recover_after(base, start), base);
        let expected = [1, 2, 4, 8, 16, 32, 32, 32];
        for factor in expected {
            flaps.handle_down(start);
            assert_eq!(flaps.recover_after(base, start), base * factor);
        }
        assert!(flaps.is_flapping(start));
        assert_eq!(flaps.recover_after(base, start + QUIET * 2), base * 8);
        assert!(!flaps.is_flapping(start + QUIET * 6));
    }
}
