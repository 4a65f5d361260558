//! How long to wait after a failure: decorrelated jitter, so that branches which lost head office together do not come
//! back together.

use std::time::Duration;

/// Short enough to ride out a restart of head office's server.
pub const LEAST: Duration = Duration::from_secs(5);
/// Long enough for ten thousand branches to ask a server that is down 33 times a second in all.
pub const MOST: Duration = Duration::from_mins(5);

#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    last: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { last: LEAST }
    }
}

impl Backoff {
    /// After one more failure: between [`LEAST`] and three times the last wait, never above [`MOST`].
    pub fn next(&mut self, random: u64) -> Duration {
        let most = (self.last * 3).min(MOST);
        self.last = LEAST + part(most.saturating_sub(LEAST), random);
        self.last
    }

    /// After a success, or when there is a reason to expect one.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// A random part of a time.
pub fn part(whole: Duration, random: u64) -> Duration {
    let millis = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % millis.saturating_add(1).max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_begin_anew() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..8).map(|_| backoff.next(u64::MAX / 2).as_secs()).collect();
        assert!(waits.windows(2).any(|pair| pair[0] < pair[1]), "{waits:?}");
        backoff.reset();
        assert!(backoff.next(u64::MAX) <= LEAST * 3);
    }

    proptest! {
        #[test]
        fn every_wait_is_within_its_bounds(randoms in proptest::collection::vec(any::<u64>(), 1..50)) {
            let mut backoff = Backoff::default();
            for random in randoms {
                let wait = backoff.next(random);
                prop_assert!((LEAST..=MOST).contains(&wait));
            }
        }
    }
}
