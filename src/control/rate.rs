//! A token bucket, time as an argument.

use std::time::Duration;

use crate::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    most: u32,
    every: Duration,
    tokens: u32,
    /// When the last token was added.
    filled: Instant,
}

impl Bucket {
    /// Holds at most `most` tokens, is full at first, gains one `every` so often.
    pub(super) const fn new(most: u32, every: Duration, now: Instant) -> Self {
        Self { most, every, tokens: most, filled: now }
    }

    /// Takes a token, or says how long it takes until there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        if self.tokens > 0 {
            self.tokens -= 1;
            return Ok(());
        }
        Err((self.filled + self.every).since(now).max(Duration::from_millis(1)))
    }

    fn fill(&mut self, now: Instant) {
        let gained = now.since(self.filled).as_nanos() / self.every.as_nanos().max(1);
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(gained).min(self.most);
        self.filled = if self.tokens == self.most { now } else { self.filled + self.every * gained };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut bucket = Bucket::new(3, Duration::from_millis(50), at(0));
        assert_eq!((0..3).map(|_| bucket.take(at(0))).collect::<Vec<_>>(), vec![Ok(()); 3]);
        assert_eq!(bucket.take(at(10)), Err(Duration::from_millis(40)));
        assert_eq!(bucket.take(at(50)), Ok(()));
        assert_eq!(bucket.take(at(60)), Err(Duration::from_millis(40)));
        assert_eq!(bucket.take(at(60_000)), Ok(()));
    }
}
